"""List a model's blocks and halves, and which of them can be dropped.

The command removes one block of each kind on a few tokens, as a search does before it starts.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from typing import Any

from evop_deap.settings.calibration_config import CalibrationConfig
from evop_deap.settings.model_options import MODEL
from evop_deap.settings.parser import Parser, add_flags, answer

_EXAMPLES = """examples:
  python -m evop_deap.inspect demo
  python -m evop_deap.inspect meta-llama/Llama-3.1-8B --dtype bfloat16 --json
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    parser = _parser()
    given = vars(parser.parse_args(arguments))
    as_json, quiet = given.pop("json"), given.pop("quiet")
    return answer(parser.prog, lambda: _inspect(given, as_json=as_json, quiet=quiet))


def _inspect(given: dict[str, Any], *, as_json: bool, quiet: bool) -> str:
    config = CalibrationConfig(**given)

    from evop_deap.models.surgery.facts_table import facts_table
    from evop_deap.models.surgery.inspection import inspect_model
    from evop_deap.runs.listeners.progress import Progress, TerminalProgress
    from evop_deap.runs.open_model import open_model

    progress = Progress() if quiet else TerminalProgress()
    loaded, anatomy = open_model(config, progress)
    progress.stage("rehearsing the removal of blocks")
    found = inspect_model(loaded.model, anatomy)
    facts = dataclasses.replace(found, kept=loaded.beside.kept, left_out=loaded.beside.left_out)
    return json.dumps(facts.as_dict(), indent=2) if as_json else facts_table(facts)


def _parser() -> argparse.ArgumentParser:
    description, _, _ = (__doc__ or "").partition("\n\n")
    parser = Parser(
        prog="python -m evop_deap.inspect",
        usage="%(prog)s MODEL [options]",
        description=description,
        epilog=_EXAMPLES,
    )
    parser.add_argument("model", metavar="MODEL", help="hub id, folder, GGUF file, or demo")
    parser.add_argument("--json", action="store_true", help="print JSON and nothing else")
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")
    add_flags(
        parser,
        CalibrationConfig,
        lambda option: option.metadata["group"] == MODEL and option.name != "model",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
