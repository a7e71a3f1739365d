"""List a model's blocks with their halves, and which blocks can be dropped.

The command removes one block of each kind on a few tokens, as a search does before it starts. It
says what the weights take in memory, and with --measure what a generation takes. Whether halves can
be dropped, a search over them finds out.
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
  python -m evop_deap.inspect demo --measure
  python -m evop_deap.inspect meta-llama/Llama-3.1-8B --dtype bfloat16 --json
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    parser = _parser()
    given = vars(parser.parse_args(arguments))
    how = {name: given.pop(name) for name in ("json", "quiet", "measure")}
    return answer(parser.prog, lambda: _inspect(given, how))


def _inspect(given: dict[str, Any], how: dict[str, bool]) -> str:
    config = CalibrationConfig(**given)

    from evop_deap.models.loading.hardware import choose_devices
    from evop_deap.models.loading.memory_needs import allowed_memory
    from evop_deap.models.streaming.weights_needs import weights_needs
    from evop_deap.models.surgery.facts_table import facts_table
    from evop_deap.models.surgery.inspection import inspect_model
    from evop_deap.runs.listeners.progress import Progress, TerminalProgress
    from evop_deap.runs.measured_generation import measured_generation
    from evop_deap.runs.open_model import open_model

    progress = Progress() if how["quiet"] else TerminalProgress()
    devices = choose_devices(config.device)
    free = allowed_memory(*devices)
    loaded, anatomy = open_model(config, progress, weights="auto")
    progress.stage("rehearsing the removal of blocks")
    found = inspect_model(loaded.model, anatomy)
    found = dataclasses.replace(found, kept=loaded.beside.kept, left_out=loaded.beside.left_out)
    needs = weights_needs(loaded, anatomy, free, devices)
    measured = None
    if how["measure"]:
        progress.stage("measuring a generation")
        can_stream = any(way.weights == "streamed" and not way.obstacle for way in needs.ways)
        measured = measured_generation(loaded, anatomy, can_stream=can_stream)
    if how["json"]:
        took = {"generation": measured.as_dict()} if measured else {}
        return json.dumps({**found.as_dict(), "memory": needs.as_dict(), **took}, indent=2)
    return "\n".join([facts_table(found), *needs.lines(), *(measured.lines() if measured else ())])


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
    parser.add_argument(
        "--measure",
        action="store_true",
        help="measure how long a generation takes, by a few patterns and reads from the disk",
    )
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")
    add_flags(
        parser,
        CalibrationConfig,
        lambda option: option.metadata["group"] == MODEL and option.name != "model",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
