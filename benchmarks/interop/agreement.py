"""Comparison of another program's greedy continuation and log-probabilities with transformers'.

Scripts import it in environments of their own, so it needs only transformers.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

PROMPT = "The river runs down to the sea, and the"

Continue = Callable[[Path, int], tuple[list[int], list[float]]]
"""(checkpoint, count): `count` greedy tokens after `PROMPT`, and their log-probabilities."""


def comparing_parser(description: str | None) -> argparse.ArgumentParser:
    """The command-line parser of such a script."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", required=True, type=Path, metavar="DIR")
    parser.add_argument(
        "--against", type=Path, metavar="DIR", help="checkpoint for transformers, if another"
    )
    parser.add_argument("--tokens", default=16, type=int, metavar="N")
    return parser


def compare(given: argparse.Namespace, by_another: Continue) -> None:
    """Print how many tokens agree, and the largest difference of log-probabilities."""
    continuation, said = by_another(given.checkpoint, given.tokens)
    greedy, logs = by_transformers(given.against or given.checkpoint, continuation)
    agreed = sum(a == b for a, b in zip(greedy, continuation, strict=True))
    print(f"greedy tokens that agree: {agreed} of {len(continuation)}")
    difference = max(abs(a - b) for a, b in zip(said, logs, strict=True))
    print(f"largest difference of a log-probability: {difference:.2g}")


def by_transformers(checkpoint: Path, continuation: Sequence[int]) -> tuple[list[int], list[float]]:
    """The greedy choice at each token of the continuation, and the token's log-probability."""
    auto: Any = AutoModelForCausalLM
    model = auto.from_pretrained(checkpoint, dtype=torch.float32).eval()
    prompt = AutoTokenizer.from_pretrained(checkpoint)(PROMPT).input_ids
    with torch.no_grad():
        logits = model(torch.tensor([[*prompt, *continuation]])).logits[0, len(prompt) - 1 : -1]
    logs = logits.log_softmax(-1)
    return logits.argmax(-1).tolist(), logs[range(len(continuation)), continuation].tolist()
