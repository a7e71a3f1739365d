"""Find the blocks that a language model can do without, and write the pruned model.

The search evolves binary patterns over the decoder blocks with DEAP (EvoP, arXiv 2502.14910);
the fitness of a pattern is the perplexity of the pruned model on calibration text. The pruned
model is an ordinary transformers checkpoint. The command reloads it and compares its logits
before it reports success.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evop_deap.base.errors import InputError
from evop_deap.base.interruption import sigterm_interrupts
from evop_deap.runs.listeners.tracking import TRACKERS
from evop_deap.runs.next_steps import how_to_go_on, next_steps, settings_written, table_of
from evop_deap.settings.parser import Parser, add_flags, answer, path_flag
from evop_deap.settings.presets import layered_settings, preset_names
from evop_deap.settings.search_config import SearchConfig

_EXAMPLES = """examples:
  try it on a small real model; no model hub is needed:
    python -m evop_deap.search --model demo --sparsity 0.2 --output runs/demo
  drop a quarter of a hub model, calibrate on your own text, keep both ends:
    python -m evop_deap.search --model meta-llama/Llama-3.1-8B --sparsity 0.25 \\
        --corpus texts/ --tokens 32768 --window 2048 --protect 0 -1 --output runs/llama
  search several budgets in one run; each learns from those before it:
    python -m evop_deap.search --model demo --sparsity 0.1,0.2,0.3 --output runs/curve
  search for the whole front of loss against size, and export three points of it:
    python -m evop_deap.search --model demo --pareto parameters --sparsity 0.1,0.2,0.3 \\
        --generations 60 --output runs/front
  continue an interrupted run, or search for longer:
    python -m evop_deap.search --resume --output runs/llama --generations 60
  repeat a run with another seed:
    python -m evop_deap.search --config runs/demo/config.yaml --seed 1 --output runs/seed1
"""

_RUN = ("output", "preset", "config", "resume", "overwrite", "quiet", "json", "live", "tracker")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    parser = _parser()
    given = vars(parser.parse_args(arguments))
    run = argparse.Namespace(**{name: given.pop(name) for name in _RUN})
    folder = Path(run.output)
    before = None if run.resume else settings_written(folder)
    with sigterm_interrupts():
        return answer(
            parser.prog, lambda: _search(given, run), advice=lambda: how_to_go_on(folder, before)
        )


def _search(given: Mapping[str, Any], run: argparse.Namespace) -> str:
    settings = layered_settings(run.preset, run.config, given)
    if run.resume:
        from evop_deap.runs.identity import resumed_settings

        settings = resumed_settings(run.output, settings)
    if "model" not in settings:
        none = f"`resume`: {run.output} holds no run to continue: name its folder, or begin one: "
        required = "`model` is required: give --model, or --config with it"
        raise InputError((none if run.resume else "") + required)
    config = SearchConfig(**settings)

    from evop_deap.runs.listening import listening
    from evop_deap.runs.run_search import run_search

    folder = Path(run.output)
    listeners = {"tracker": run.tracker, "live": run.live, "quiet": run.quiet}
    with listening(folder, config, **listeners) as progress:
        how = {"resume": run.resume, "overwrite": run.overwrite}
        found = run_search(config, folder, progress=progress, **how)
    if run.json:
        return json.dumps(found.as_dict(), ensure_ascii=False, allow_nan=False)
    return f"{table_of(found)}\n\n{next_steps(folder, config, found)}"


def _parser() -> argparse.ArgumentParser:
    """Return a parser with a flag for each field of `SearchConfig`."""
    description, _, _ = (__doc__ or "").partition("\n\n")
    parser = Parser(
        prog="python -m evop_deap.search",
        usage="%(prog)s --model MODEL --sparsity SHARE --output DIR [options]",
        description=description,
        epilog=_EXAMPLES,
    )
    run = parser.add_argument_group("run")
    run.add_argument(
        "--output", type=path_flag, required=True, metavar="DIR", help="folder of the run"
    )
    run.add_argument(
        "--config", type=path_flag, metavar="FILE", help="YAML file of settings; flags override it"
    )
    known = " or ".join(preset_names())
    run.add_argument("--preset", metavar="NAME", help=f"named settings: {known}")
    run.add_argument("--resume", action="store_true", help="continue the run in --output")
    run.add_argument("--overwrite", action="store_true", help="replace the run in --output")
    run.add_argument("--quiet", action="store_true", help="no progress on stderr")
    run.add_argument("--json", action="store_true", help="print JSON and nothing else")
    run.add_argument("--live", action="store_true", help="serve the report during the search")
    run.add_argument(
        "--tracker",
        choices=TRACKERS,
        metavar="|".join(TRACKERS),
        default="none",
        help="log each generation to a tracker as well (default: none)",
    )
    add_flags(parser, SearchConfig)
    return parser


if __name__ == "__main__":
    sys.exit(main())
