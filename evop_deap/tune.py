"""Tune the settings of the evolution with Optuna, on landscapes or on a model.

Every trial runs the same searches, one for each landscape or model and each seed, with the same
budget. On a landscape a search takes about a second. On a model, all trials share their losses.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from evop_deap.settings.parser import Parser, add_flags, answer
from evop_deap.settings.search_config import SearchConfig
from evop_deap.tuning.tuning_options import (
    OPTIONS,
    TuningOptions,
    add_tuning_flags,
    of_a_problem,
)

_EXAMPLES = """examples:
  tune on a landscape file; no model is needed:
    python -m evop_deap.tune --landscape demo.npz --n-trials 200 --output runs/tuning
  use several processes: run this command once for each core
    python -m evop_deap.tune --landscape demo.npz --n-trials 1000 --output runs/tuning
  tune on a model, and search with the best settings:
    python -m evop_deap.tune --model demo --sparsity 0.2 --n-trials 50 --output runs/tuned
    python -m evop_deap.search --model demo --sparsity 0.2 --config runs/tuned/best.yaml \\
        --output runs/search
  view a study during or after its run (pip install optuna-dashboard):
    optuna-dashboard runs/tuning/study.jsonl
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    parser = _parser()
    given = vars(parser.parse_args(arguments))
    options = {name: given.pop(name) for name in OPTIONS}
    return answer(
        parser.prog,
        lambda: _tune(options, given),
        advice=lambda: _advice(TuningOptions(**options)),
    )


def _advice(options: TuningOptions) -> str:
    from evop_deap.tuning.study_storage import without_password

    where = shlex.quote(without_password(options.journal))
    return f"the same command continues the study in {where}"


def _tune(options: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    checked = TuningOptions(**options)

    from evop_deap.tuning.run_tuning import run_tuning

    return run_tuning(checked, settings)


def _parser() -> argparse.ArgumentParser:
    description, _, _ = (__doc__ or "").partition("\n\n")
    parser = Parser(
        prog="python -m evop_deap.tune",
        usage="%(prog)s (--landscape FILE ... | --model MODEL --sparsity SHARE) --output DIR "
        "[options]",
        description=description,
        epilog=_EXAMPLES,
    )
    add_tuning_flags(parser)
    add_flags(parser, SearchConfig, of_a_problem)
    return parser


if __name__ == "__main__":
    sys.exit(main())
