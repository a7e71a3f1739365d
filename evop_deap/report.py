"""Write a report of one or more runs, as one page that opens offline.

The page shows several runs, or the budgets of one run, side by side. Every search writes its own
page: RUN/report.html.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from evop_deap.settings.parser import Parser, answer, path_flag

_EXAMPLES = """examples:
  python -m evop_deap.report runs/demo --output report.html
  compare runs with different seeds or budgets:
  python -m evop_deap.report runs/demo runs/seed1 runs/half --output compared.html
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    parser = _parser()
    given = parser.parse_args(arguments)
    return answer(parser.prog, lambda: _report([Path(run) for run in given.runs], given.output))


def _report(runs: list[Path], output: str) -> str:
    from evop_deap.reporting.page import write_report
    from evop_deap.runs.files_of_runs import check_outside_runs
    from evop_deap.runs.storage.folder import RunFolder

    # The page of a run is replaced by one about that run alone.
    about, beside = {run.resolve() for run in runs}, Path(output).parent.resolve()
    check_outside_runs(Path(output), "output", but=["report.html"] if about == {beside} else [])
    each = [
        one.path
        for folder in map(RunFolder, runs)
        for one in (folder.budgets if folder.is_several and folder.budgets else [folder])
    ]
    write_report(each, Path(output))
    return f"{output}  opens in any browser, offline"


def _parser() -> argparse.ArgumentParser:
    description, _, _ = (__doc__ or "").partition("\n\n")
    parser = Parser(
        prog="python -m evop_deap.report",
        usage="%(prog)s RUN [RUN ...] --output FILE",
        description=description,
        epilog=_EXAMPLES,
    )
    parser.add_argument(
        "runs", nargs="+", type=path_flag, metavar="RUN", help="folder of a run, finished or not"
    )
    parser.add_argument(
        "--output", type=path_flag, required=True, metavar="FILE", help="the page to write"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
