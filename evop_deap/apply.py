"""Prune a model by a known pattern, without a search, and check the checkpoint.

The pattern is a list of units, a run of evop_deap, or a file of EvoPress, SLEB or another tool.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from evop_deap.base.errors import InputError
from evop_deap.recovery.compensation.form_names import AUTO, CHOICES, OFF
from evop_deap.settings.calibration_config import (
    CALIBRATION,
    COMPENSATION,
    RANDOMNESS,
    CalibrationConfig,
)
from evop_deap.settings.model_options import MODEL
from evop_deap.settings.parser import Parser, add_flags, answer, path_flag

_EXAMPLES = """examples:
  drop two blocks, the attention of a third and the MLP of a fourth:
    python -m evop_deap.apply --model demo --pattern 14,16,12.attn,20.mlp --output pruned/demo
  apply a pattern that EvoPress found:
    python -m evop_deap.apply --model meta-llama/Llama-2-7b-hf \\
        --pattern layer_drop_config.txt --output pruned/llama
  compensate the kept weights for what is dropped:
    python -m evop_deap.apply --model meta-llama/Llama-2-7b-hf --compensate --corpus c4 \\
        --pattern layer_drop_config.txt --output pruned/llama
  apply the pattern of a run to a fine-tuned model:
    python -m evop_deap.apply --model my/finetune --pattern runs/llama --output pruned/finetune
"""

_GROUPS = (MODEL, CALIBRATION, COMPENSATION, RANDOMNESS)
_RUN = ("pattern", "output", "overwrite", "compensate", "export_from", "quiet")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    parser = _parser()
    given = vars(parser.parse_args(arguments))
    run = argparse.Namespace(**{name: given.pop(name) for name in _RUN})
    return answer(parser.prog, lambda: _apply(given, run))


def _apply(given: dict[str, Any], run: argparse.Namespace) -> str:
    if "model" not in given:
        raise InputError("`model` is required: name the dense model that the pattern is for")
    _check_text(given, run.compensate)
    config = CalibrationConfig(**given)

    from evop_deap.runs.apply_pattern import apply_pattern
    from evop_deap.runs.listeners.progress import Progress, TerminalProgress

    folder = Path(run.output)
    how = {name: getattr(run, name) for name in ("overwrite", "compensate", "export_from")}
    progress = Progress() if run.quiet else TerminalProgress()
    report = apply_pattern(config, run.pattern, folder, progress=progress, **how)
    return f"{folder}: {report.summary}"


def _check_text(given: dict[str, Any], compensate: str) -> None:
    """Refuse compensation without text, and text without compensation."""
    groups = {option.name: option.metadata["group"] for option in fields(CalibrationConfig)}
    text = [name for name in given if groups[name] != MODEL]
    if compensate == OFF and text:
        raise InputError(f"`{text[0]}` is about text to compensate on: add --compensate")
    if compensate != OFF and not {"corpus", "calibration"} & given.keys():
        raise InputError(
            "`corpus` is required with --compensate: name text to solve the weights on, or a "
            "folder of evop_deap.calibrate with --calibration"
        )


def _parser() -> argparse.ArgumentParser:
    """Return a parser with the flags of the run, the model and the text."""
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
        help="a list such as 3,4,12.attn,20.mlp, a run or its result.json, layer_drop_config.txt, "
        "a result of SLEB, a mergekit recipe, or per_layer_config or block_configs as JSON",
    )
    run.add_argument(
        "--output", type=path_flag, required=True, metavar="DIR", help="folder of the checkpoint"
    )
    run.add_argument("--overwrite", action="store_true", help="replace the checkpoint in --output")
    run.add_argument(
        "--compensate",
        nargs="?",
        const=AUTO,
        default=OFF,
        choices=CHOICES,
        metavar="|".join(CHOICES),
        help="form of compensation on text of --corpus (auto if none is named)",
    )
    base = "dense original of a quantised --model, whose weights are written"
    run.add_argument("--export-from", metavar="MODEL", help=base)
    run.add_argument("--quiet", action="store_true", help="no progress on stderr")
    add_flags(parser, CalibrationConfig, lambda option: option.metadata["group"] in _GROUPS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
