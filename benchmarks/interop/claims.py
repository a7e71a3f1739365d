"""Claims on pruned checkpoints in other programs; they have no result files."""

from __future__ import annotations

from benchmarks.common.claim import Claim


def claims() -> list[Claim]:
    """Claims on re-packed layers, vLLM and llama.cpp."""
    return [
        Claim(
            "stock layers of EvoPress's patterns of Llama-2-7B re-packed, published, 25 %; 50 %",
            "25, 27; 17, 22",
            "benchmarks.interop.packing evopress/*.txt",
            "",
            "9e17e61",
        ),
        Claim(
            "greedy tokens of vLLM equal to transformers'; largest difference of log-probabilities",
            "16 of 16; 0.00003",
            "benchmarks.interop.vllm_cpu --checkpoint runs/deci --against runs/demo/model",
            "",
            "c028a8f",
        ),
        Claim(
            "greedy tokens of llama.cpp equal to transformers'; largest difference; dense model",
            "16 of 16; 0.005; 0.003",
            "benchmarks.interop.llama_cpp --checkpoint pruned/demo "
            "--converter llama.cpp/convert_hf_to_gguf.py",
            "",
            "9e17e61",
        ),
    ]
