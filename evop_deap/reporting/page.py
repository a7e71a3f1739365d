"""The whole page: all sections, with styles and scripts embedded."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path

from evop_deap.base.files import write_text
from evop_deap.reporting.clusters import clusters_figures
from evop_deap.reporting.compared_patterns import rivals_figures
from evop_deap.reporting.compensation import compensation_table
from evop_deap.reporting.course import course_figure, foresight_figure
from evop_deap.reporting.drop_counts import drops_figures
from evop_deap.reporting.effects import effects_figure, pairs_figure
from evop_deap.reporting.losses import curve_figure, losses_figure
from evop_deap.reporting.page_parts import escaped, section
from evop_deap.reporting.settings import settings_parts
from evop_deap.reporting.strip import pattern_figure
from evop_deap.reporting.summary import summary, title_of
from evop_deap.reporting.theme import stylesheet
from evop_deap.reporting.work_done import totals_table, work_figure
from evop_deap.runs.storage.loaded_run import Run, load_run

_TOP = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; \
script-src 'unsafe-inline'; img-src data: blob:; connect-src {connect}">
<title>{title}</title>
<link rel="icon" href="data:,">
<style>
{style}
</style>
</head>
<body{live}>
<a class="skip" href="#content">To the content</a>
<header><span class="brand">evop_deap</span><span id="status" role="status">{status}</span>
<button type="button" id="theme" aria-pressed="false">Dark</button></header>
<main id="content" tabindex="-1">
"""
_END = """
</main>
<noscript><p>Without its script this page has tables instead of figures.</p></noscript>
<script>
{plotly}
</script>
<script>
{script}
</script>
</body>
</html>
"""


def write_report(runs: Sequence[Path], output: Path) -> None:
    """Write one page of the runs in these folders.

    Raises:
        InputError: one of them cannot be read.
        OutputError: the page cannot be written.
    """
    write_text(output, page([load_run(folder) for folder in runs]))


def page(runs: Sequence[Run], *, live: str | None = None, status: str = "") -> str:
    """Return a self-contained page of one run, or of several side by side.

    Args:
        runs: at least one run.
        live: version of the content, if the page is served during the run; else None.
        status: status line.
    """
    top = _TOP.format(
        title=escaped(title_of(runs)),
        style=f"{stylesheet()}\n{_asset('page.css')}",
        connect="'none'" if live is None else "'self'",
        live="" if live is None else f' data-version="{escaped(live)}"',
        status=escaped(status),
    )
    end = _END.format(plotly=_asset("plotly-cartesian.min.js"), script=_asset("page.js"))
    return f"{top}{content(runs)}{end}"


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


@cache
def _asset(name: str) -> str:
    return (files("evop_deap.reporting") / "assets" / name).read_text(encoding="utf-8")
