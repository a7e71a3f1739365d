"""Choose calibration text for a model, and save it with a map of its clusters.

This is CCDS, the first half of EvoP (arXiv 2502.14910): it embeds and clusters the documents, and
draws text from every cluster. A search reads the folder with `--calibration DIR`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evop_deap.base.errors import InputError
from evop_deap.settings.calibration_config import CalibrationConfig
from evop_deap.settings.parser import Parser, add_flags, answer, path_flag

_EXAMPLES = """examples:
  try it on text that comes with Python; no model hub is needed:
    python -m evop_deap.calibrate --model demo --corpus demo --output calibrations/demo
  make a set for a hub model, and leave out documents that repeat the evaluation text:
    python -m evop_deap.calibrate --model meta-llama/Llama-3.1-8B --corpus texts/ \\
        --window 2048 --tokens 32768 --heldout-tokens 65536 --check-against wiki.test.raw \\
        --output calibrations/llama
  search with it:
    python -m evop_deap.search --model meta-llama/Llama-3.1-8B --sparsity 0.25 \\
        --calibration calibrations/llama --output runs/llama
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    parser = _parser()
    given = vars(parser.parse_args(arguments))
    run = {name: given.pop(name) for name in ("output", "overwrite", "quiet")}
    return answer(parser.prog, lambda: _calibrate(given, **run))


def _calibrate(given: dict[str, Any], *, output: str, overwrite: bool, quiet: bool) -> str:
    if "model" not in given:
        raise InputError("`model` is required: its tokenizer cuts the text into windows")
    config = CalibrationConfig(**{"calibration": "ccds", **given})

    from evop_deap.runs.calibration_folder import run_calibration, summary
    from evop_deap.runs.listeners.progress import Progress, TerminalProgress

    folder = Path(output)
    progress = Progress() if quiet else TerminalProgress()
    made = run_calibration(config, folder, overwrite=overwrite, progress=progress)
    return summary(made, folder)


def _parser() -> argparse.ArgumentParser:
    """Return a parser with a flag for each field of `CalibrationConfig`."""
    description, _, _ = (__doc__ or "").partition("\n\n")
    parser = Parser(
        prog="python -m evop_deap.calibrate",
        usage="%(prog)s --model MODEL --corpus CORPUS --output DIR [options]",
        description=description,
        epilog=_EXAMPLES,
    )
    run = parser.add_argument_group("run")
    run.add_argument(
        "--output",
        type=path_flag,
        required=True,
        metavar="DIR",
        help="folder of the calibration set",
    )
    run.add_argument("--overwrite", action="store_true", help="replace the set in --output")
    run.add_argument("--quiet", action="store_true", help="no progress on stderr")
    add_flags(parser, CalibrationConfig)
    return parser


if __name__ == "__main__":
    sys.exit(main())
