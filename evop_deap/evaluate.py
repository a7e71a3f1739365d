"""Evaluate a checkpoint, alone or against the dense model it was pruned from.

It measures size, perplexity on any text, zero-shot tasks of lm-evaluation-harness, arithmetic,
speed and peak memory, and repetition in greedy continuations (degeneracy). By default it measures
size, speed and degeneracy.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evop_deap.base.errors import InputError
from evop_deap.base.files import check_writable, write_json
from evop_deap.settings.evaluation_config import EvaluationConfig
from evop_deap.settings.parser import Parser, add_flags, answer, path_flag

_EXAMPLES = """examples:
  measure what pruning cost and what it saved:
    python -m evop_deap.evaluate runs/demo/model --against demo --perplexity wiki.test.raw \\
        --window 512 2048 --speed --degeneracy --json runs/demo/evaluation.json
  measure zero-shot accuracy on questions in a folder:
    python -m evop_deap.evaluate runs/demo/model --against demo \\
        --tasks piqa arc_easy arc_challenge winogrande hellaswag openbookqa --tasks-from tasks/
  get a quick estimate from the first windows and questions:
    python -m evop_deap.evaluate runs/demo/model --perplexity wikitext2 --max-windows 20 \\
        --tasks piqa --limit 100
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    parser = _parser()
    given = vars(parser.parse_args(arguments))
    run = {name: given.pop(name) for name in ("json", "quiet")}
    return answer(parser.prog, lambda: _evaluate(given, **run))


def _evaluate(given: dict[str, Any], *, json: str | None, quiet: bool) -> str:
    config = EvaluationConfig(**given)
    if json is not None:
        _check_output(Path(json), config)

    from evop_deap.evaluation.evaluating import run_evaluation
    from evop_deap.evaluation.evaluation_report import report_dict, report_table

    found = run_evaluation(config, (lambda stage: None) if quiet else _print)
    if json is not None:
        write_json(Path(json), report_dict(found))
    return report_table(found)


def _check_output(path: Path, config: EvaluationConfig) -> None:
    """Refuse a file that cannot be written, before the work begins."""
    from evop_deap.runs.files_of_runs import check_outside_runs
    from evop_deap.runs.files_read import check_not_read
    from evop_deap.runs.folders_of_models import check_outside_models

    if path.is_dir():
        raise InputError(f"`json` must name a file, but {path} is a folder")
    check_outside_models(path, "json", (config.checkpoint, config.against))
    check_outside_runs(path, "json")
    check_not_read(path, "json", "perplexity", config.perplexity)
    if config.tasks_from is not None:
        check_not_read(path, "json", "tasks_from", [config.tasks_from], suffixes=(".jsonl",))
    check_writable(path.parent)


def _print(stage: str) -> None:
    print(stage, file=sys.stderr, flush=True)  # noqa: T201


def _parser() -> argparse.ArgumentParser:
    """Return a parser with a flag for each field of `EvaluationConfig`."""
    parser = Parser(
        prog="python -m evop_deap.evaluate",
        usage="%(prog)s CHECKPOINT [--against DENSE] [options]",
        description=__doc__,
        epilog=_EXAMPLES,
    )
    parser.add_argument(
        "checkpoint", metavar="CHECKPOINT", help="hub id, checkpoint folder, GGUF file, or demo"
    )
    run = parser.add_argument_group("run")
    run.add_argument(
        "--json", type=path_flag, metavar="FILE", help="file for all figures, settings and versions"
    )
    run.add_argument("--quiet", action="store_true", help="no progress on stderr")
    add_flags(parser, EvaluationConfig, lambda option: option.name != "checkpoint")
    return parser


if __name__ == "__main__":
    sys.exit(main())
