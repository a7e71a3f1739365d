"""The page of runs: all sections."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from evop_deap.base.files import write_text
from evop_deap.reporting.clusters import clusters_figures
from evop_deap.reporting.compared_patterns import rivals_figures
from evop_deap.reporting.compensation import compensation_table
from evop_deap.reporting.course import course_figure, foresight_figure
from evop_deap.reporting.drop_counts import drops_figures
from evop_deap.reporting.effects import effects_figure, pairs_figure
from evop_deap.reporting.losses import curve_figure, losses_figure
from evop_deap.reporting.page_frame import framed
from evop_deap.reporting.page_parts import escaped, section
from evop_deap.reporting.settings import settings_parts
from evop_deap.reporting.strip import pattern_figure
from evop_deap.reporting.summary import summary, title_of
from evop_deap.reporting.work_done import totals_table, work_figure
from evop_deap.runs.storage.loaded_run import Run, load_run


def write_report(runs: Sequence[Path], output: Path) -> None:
    """Write one page of the runs in these folders; a folder named twice is one run.

    Raises:
        InputError: one of them cannot be read.
        OutputError: the page cannot be written.
    """
    different = {folder.resolve(): folder for folder in reversed(runs)}  # the first name stays
    write_text(output, page([load_run(folder) for folder in reversed(different.values())]))


def page(runs: Sequence[Run], *, live: str | None = None, status: str = "") -> str:
    """Return a self-contained page of one run, or of several side by side.

    Args:
        runs: at least one run.
        live: version of the content, if the page is served during the run; else None.
        status: status line.
    """
    return framed(title_of(runs), content(runs), live=live, status=status)


def content(runs: Sequence[Run]) -> str:
    """Return the part of the page that changes during a run."""
    sections = [
        section(
            "result",
            "The result",
            pattern_figure(runs),
            losses_figure(runs),
            compensation_table(runs),
            rivals_figures(runs),
            curve_figure(runs),
        ),
        section("units", "What the search learned", effects_figure(runs), pairs_figure(runs)),
        section(
            "search",
            "How it was found",
            course_figure(runs),
            drops_figures(runs),
            foresight_figure(runs),
        ),
        section("work", "Work", work_figure(runs), totals_table(runs)),
        section("text", "The calibration text", clusters_figures(runs)),
        section("again", "Repeat the run", settings_parts(runs)),
    ]
    return f"<h1>{escaped(title_of(runs))}</h1>{summary(runs)}{''.join(sections)}"
