"""Train a pruned model towards its dense model, and write it if it is better.

The training has a validation text of its own: it stops when the loss there stops falling, and
never hands over a model that is worse than the given one.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from textwrap import indent
from typing import Any

from evop_deap.recovery.healing.recipes import recipe_table
from evop_deap.runs.listeners.tracking import TRACKERS
from evop_deap.settings.healing_config import HealingConfig
from evop_deap.settings.parser import Parser, add_flags, answer, path_flag

_EXAMPLES = """examples:
  heal the model of a run:
    python -m evop_deap.heal runs/demo --output healed/demo
  go on after an interruption:
    python -m evop_deap.heal runs/demo --output healed/demo --resume
  heal a checkpoint that apply has written, by adapters:
    python -m evop_deap.heal pruned/llama --base meta-llama/Llama-3.1-8B --corpus texts/ \\
        --no-full --keep-adapter --output healed/llama
"""
_RUN = ("output", "resume", "overwrite", "quiet", "json", "tracker")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    parser = _parser()
    given = vars(parser.parse_args(arguments))
    run = argparse.Namespace(**{name: given.pop(name) for name in _RUN})
    return answer(parser.prog, lambda: _heal(given, run), lambda: _advice(given, run))


def _heal(given: dict[str, Any], run: argparse.Namespace) -> str:
    folder = Path(run.output)
    config = HealingConfig(**(_resumed(folder, given) if run.resume else given))

    from evop_deap.base.interruption import sigterm_interrupts
    from evop_deap.recovery.healing.healing_listener import HealingListeners
    from evop_deap.runs.files_of_runs import check_outside_runs
    from evop_deap.runs.heal.heal_run import heal
    from evop_deap.runs.listeners.healing_display import HealingDisplay, QuietHealing
    from evop_deap.runs.listeners.healing_tracking import HealingTracker
    from evop_deap.runs.storage.healing_result import healing_table

    check_outside_runs(folder, "output")
    display = QuietHealing() if run.quiet else HealingDisplay()
    with HealingTracker(run.tracker, folder, config.as_dict()) as tracker, sigterm_interrupts():
        listener = HealingListeners(display, tracker)
        result = heal(config, folder, listener=listener, resume=run.resume, overwrite=run.overwrite)
    if run.json:
        return _as_json(result.as_dict())
    places, page = f"load it    {folder / 'model'}", folder / "report.html"
    if page.is_file():
        places += f"\nlook at it {page}"
    return f"{healing_table(result)}\n\n{places}"


def _resumed(folder: Path, given: dict[str, Any]) -> dict[str, Any]:
    from evop_deap.runs.heal.heal_folder import HealFolder

    return HealFolder(folder).resumed_settings(given)


def _advice(given: dict[str, Any], run: argparse.Namespace) -> str:
    """Return how to go on after an interruption."""
    from evop_deap.runs.heal.heal_folder import HealFolder

    if not HealFolder(Path(run.output)).settings.is_file():
        return "nothing was written"
    words = [given["source"], "--output", run.output, "--resume"]
    return f"go on with python -m evop_deap.heal {shlex.join(words)}"


def _as_json(values: dict[str, Any]) -> str:
    return json.dumps(values, ensure_ascii=False, allow_nan=False)


def _parser() -> argparse.ArgumentParser:
    """Return a parser with a flag for each field of `HealingConfig`."""
    description, _, _ = (__doc__ or "").partition("\n\n")
    parser = Parser(
        prog="python -m evop_deap.heal",
        usage="%(prog)s RUN|CHECKPOINT --output DIR [options]",
        description=description,
        epilog=f"recipes:\n{indent(recipe_table(), '  ')}\n\n{_EXAMPLES}",
    )
    parser.add_argument(
        "source", metavar="RUN|CHECKPOINT", help="folder of a finished run, or of a checkpoint"
    )
    run = parser.add_argument_group("run")
    run.add_argument(
        "--output", type=path_flag, required=True, metavar="DIR", help="folder of the result"
    )
    run.add_argument("--resume", action="store_true", help="continue the training in --output")
    run.add_argument("--overwrite", action="store_true", help="replace the training in --output")
    run.add_argument("--quiet", action="store_true", help="no progress on stderr")
    run.add_argument("--json", action="store_true", help="print JSON and nothing else")
    run.add_argument(
        "--tracker",
        choices=TRACKERS,
        metavar="|".join(TRACKERS),
        default="none",
        help="log each step to a tracker as well (default: none)",
    )
    add_flags(parser, HealingConfig, lambda option: option.name != "source")
    return parser


if __name__ == "__main__":
    sys.exit(main())
