"""The flags of a board."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.board.making.cells import ALL
from evop_deap.base.errors import InputError
from evop_deap.evaluation.task_files import TASKS
from evop_deap.recovery.compensation.form_names import CHOICES, OFF
from evop_deap.settings.parser import Parser

DEMO = "demo"
QUICK: dict[str, Any] = {
    "sparsity": [0.1],
    "granularity": ["block"],
    "methods": [
        "search", "last", "block-influence", "angular", "relative-magnitude", "sleb", "evopress",
    ],
    "seeds": 1,
    "tokens": 1024,
    "max_cost": 25.0,
    "wiki_window": [512],
    "wiki_tokens": 4096,
    "heldout_window": 256,
    "heldout_tokens": 512,
    "tasks": [],
    "output": Path("runs/board.quick"),
}  # fmt: skip
"""Values that `--quick` sets; flags given override them."""


def parsed(
    arguments: Sequence[str] | None,
    description: str | None = None,
    *,
    prog: str = "benchmarks.board",
    defaults: Mapping[str, Any] | None = None,
    add_flags: Callable[[argparse.ArgumentParser], object] = lambda parser: None,
    without: Collection[str] = (),
) -> argparse.Namespace:
    """Parse the settings of a board.

    Args:
        arguments: the words of the command line; None takes those of the process.
        description: what the command does.
        prog: the module that is run.
        defaults: values that take the place of the board's own defaults.
        add_flags: adds flags of another command to those of the board.
        without: flags of the board that the command does not have.
    """
    parser = Parser(prog=f"python -m {prog}", description=description)
    add_flags(parser)
    add = _adder(parser, parser, without)
    add("--quick", action="store_true", help="a small board, in ten minutes on two cores")
    add(
        "--output",
        type=Path,
        default=Path("runs/board"),
        metavar="DIR",
        help="default: %(default)s",
    )
    add("--model", default=DEMO, help="as for evop_deap.search (default: demo)")
    add("--dtype", default="auto", help="number format (default: %(default)s)")
    add("--device", default="auto", help="where to compute (default: %(default)s)")
    add(
        "--weights",
        choices=("resident", "streamed", "auto"),
        default="resident",
        help="as for evop_deap.search (default: %(default)s)",
    )

    group = parser.add_argument_group("cells")
    add = _adder(parser, group, without)
    add("--sparsity", type=float, nargs="+", default=[0.1, 0.2, 0.33], metavar="SHARE")
    add("--granularity", nargs="+", choices=("block", "half"), default=["block", "half"])
    add("--methods", nargs="+", default=list(ALL), metavar="NAME", help=", ".join(ALL))
    add("--seeds", type=int, default=5, metavar="N", help="seeds of random methods")

    add(
        "--patterns-from",
        type=Path,
        metavar="DIR",
        help="evaluate what the cells of this folder dropped, without pruning anew; all flags but "
        "those of the evaluation must be as they were",
    )

    group = parser.add_argument_group("what every method is given")
    add = _adder(parser, group, without)
    add("--corpus", nargs="+", default=[DEMO], metavar="TEXT", help="one or several, joined")
    add("--window", type=int, default=256, metavar="N", help="tokens (default: %(default)s)")
    add("--tokens", type=int, default=2048, metavar="N", help="in all (default: %(default)s)")
    add(
        "--fitness",
        default="ce",
        metavar="NAME",
        help="what methods that ask for losses minimise, as for evop_deap.search "
        "(default: %(default)s)",
    )
    add("--questions", nargs="+", default=[], metavar="FILE", help="of the fitness answers")
    add("--calibration-seed", type=int, default=0, metavar="N", help="draws the text")
    add(
        "--max-cost",
        type=float,
        default=60.0,
        metavar="COST",
        help="limit of methods that search, in dense forward passes (default: %(default)s)",
    )
    add(
        "--equal-cost",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="end every other method that searches at the cost of the search with its seed",
    )
    add(
        "--compensate",
        choices=CHOICES,
        default=OFF,
        help="compensate what every method leaves; the search compensates each pattern "
        "(default: %(default)s)",
    )
    add("--compensation-tokens", type=int, default=40960, metavar="N", help="default: %(default)s")

    group = parser.add_argument_group("what every pruned model is evaluated on")
    add = _adder(parser, group, without)
    add("--wiki-test", metavar="FILE", help="wiki.test.raw, or wikitext2 for the hub's")
    add("--wiki-window", type=int, nargs="+", default=[512, 2048], metavar="N")
    add("--wiki-tokens", type=int, metavar="N", help="the first ones (default: all)")
    add(
        "--heldout",
        metavar="FILE",
        help="JSON lines with id, domain and text, without the calibration documents; or demo",
    )
    add(
        "--exam-share",
        type=float,
        metavar="SHARE",
        help="keep this share of the documents for the held-out text, the same ones whatever is "
        "calibrated on (default: %(default)s; a board without a share keeps all that decide "
        "nothing)",
    )
    add("--heldout-window", type=int, default=512, metavar="N")
    add("--heldout-tokens", type=int, default=8192, metavar="N", help="of each domain")
    add("--tasks-from", type=Path, metavar="DIR", help="files of the zero-shot tasks")
    add("--tasks", nargs="*", default=None, metavar="TASK", help=", ".join(TASKS))
    add("--limit", type=int, metavar="N", help="questions of each task (default: all)")
    add(
        "--arithmetic",
        type=int,
        default=0,
        metavar="N",
        help="word problems of each of four levels, answered in free text (default: %(default)s)",
    )
    add(
        "--prompts",
        type=int,
        default=0,
        metavar="N",
        help="continuations that show how far a model repeats itself (default: %(default)s)",
    )
    add("--batch-size", type=int, default=8, metavar="N", help="choices scored together")

    parser.set_defaults(**(defaults or {}))
    if parser.parse_args(arguments).quick:
        parser.set_defaults(**QUICK)
    given: argparse.Namespace = parser.parse_args(arguments)
    if given.wiki_test is given.heldout is None:
        given.heldout = DEMO
    if given.tasks is None:
        given.tasks = list(TASKS) if given.tasks_from else []
    return given


def _adder(
    parser: argparse.ArgumentParser, group: argparse._ActionsContainer, without: Collection[str]
) -> Callable[..., object]:
    """Return `group.add_argument`; a flag that is left out has its default alone."""

    def add(flag: str, **how: Any) -> None:
        if flag in without:
            parser.set_defaults(**{flag.lstrip("-").replace("-", "_"): how.get("default")})
        else:
            group.add_argument(flag, **how)

    return add


def check_one_cell(given: argparse.Namespace) -> None:
    """Check that a command which varies something else has a single budget.

    Raises:
        InputError: there are several.
    """
    for name in ("sparsity", "granularity"):
        if len(values := getattr(given, name)) > 1:
            raise InputError(
                f"`{name}` must be one value here, but got {' '.join(map(str, values))}"
            )
