"""Prune a model by a pattern that is known already, and check the checkpoint.

The pattern is a result of evop_deap, an EvoPress or SLEB file, another pattern file, or a list.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evop_deap.base.errors import InputError
from evop_deap.settings.calibration_config import CalibrationConfig
from evop_deap.settings.model_options import MODEL
from evop_deap.settings.parser import Parser, add_flags, answer

_EXAMPLES = """examples:
  without two blocks, the attention of a third and the MLP of a fourth:
    python -m evop_deap.apply --model demo --pattern 14,16,12.attn,20.mlp --output pruned/demo
  what EvoPress has found:
    python -m evop_deap.apply --model meta-llama/Llama-2-7b-hf \\
        --pattern layer_drop_config.txt --output pruned/llama
  what a search has found, on a fine-tuned model:
    python -m evop_deap.apply --model my/finetune --pattern runs/llama --output pruned/finetune
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit code."""
    parser = _parser()
    given = vars(parser.parse_args(arguments))
    run = {name: given.pop(name) for name in ("pattern", "output", "overwrite", "quiet")}
    return answer(parser.prog, lambda: _apply(given, **run))


def _apply(
    given: dict[str, Any], *, pattern: str, output: str, overwrite: bool, quiet: bool
) -> str:
    if "model" not in given:
        raise InputError("`model` is required: the dense model that the pattern is meant for")
    config = CalibrationConfig(**given)

    from evop_deap.runs.apply_pattern import apply_pattern
    from evop_deap.runs.listeners.progress import Progress, TerminalProgress

    folder = Path(output)
    progress = Progress() if quiet else TerminalProgress()
    report = apply_pattern(config, pattern, folder, overwrite=overwrite, progress=progress)
    return f"{folder}: {report.summary}"


def _parser() -> argparse.ArgumentParser:
    """The model's flags are those of every command."""
    description, _, _ = (__doc__ or "").partition("\n\n")
    parser = Parser(
        prog="python -m evop_deap.apply",
        usage="%(prog)s --model MODEL --pattern FILE|LIST --output DIR [options]",
        description=description,
        epilog=_EXAMPLES,
    )
    run = parser.add_argument_group("run")
    run.add_argument(
        "--pattern",
        required=True,
        metavar="FILE|LIST",
        help="result.json or folder of a run, layer_drop_config.txt, SLEB's result, mergekit "
        "recipe, per_layer_config or block_configs as JSON, or a list: 3,4,12.attn,20.mlp",
    )
    run.add_argument("--output", required=True, metavar="DIR", help="folder of the checkpoint")
    run.add_argument("--overwrite", action="store_true", help="replace the checkpoint in --output")
    run.add_argument("--quiet", action="store_true", help="no progress on stderr")
    add_flags(parser, CalibrationConfig, lambda option: option.metadata["group"] == MODEL)
    return parser


if __name__ == "__main__":
    sys.exit(main())
