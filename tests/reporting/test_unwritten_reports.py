"""A report that cannot be written is told of, and nothing points at it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from toy_landscapes import write_toy_landscape

import evop_deap.search
import evop_deap.tune
from evop_deap.runs.drawn_page import draw_page
from evop_deap.runs.listeners.healing_display import HealingDisplay, QuietHealing
from evop_deap.runs.listeners.progress import Progress, QuietProgress, TerminalProgress, Together


@pytest.mark.parametrize("quiet", [["--quiet"], ["--quiet", "--json"], []])
def test_a_search_says_that_its_report_is_missing_and_does_not_point_at_it(
    finished_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], quiet: list[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished_run, run)
    (run / "report.html").unlink()
    (run / "report.html").mkdir()
    (run / "report.html" / "in the way").touch()
    (run / "result.json").unlink()  # as after a kill before the end
    assert evop_deap.search.main(["--resume", "--output", str(run), *quiet]) == 0
    out, err = capsys.readouterr()
    assert "no report.html, everything else is written" in err
    assert "look at it" not in out
    if "--json" in quiet:
        json.loads(out)
    else:
        assert f"{run / 'result.json'}; there is no report.html" in out
    if quiet:
        assert len(err.splitlines()) == 1
        assert err.startswith("warning: ")


@pytest.mark.parametrize("warn", [QuietProgress().warn, Together(QuietProgress()).warn,
                                  TerminalProgress().warn, QuietHealing().warn])  # fmt: skip
def test_an_older_page_goes_with_a_warning_and_the_error_stays_inside(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], warn: object
) -> None:
    page = tmp_path / "report.html"
    page.write_text("of an earlier run")
    draw_page(page, lambda: 1 / 0, warn)  # type: ignore[arg-type]
    assert not page.exists()
    err = capsys.readouterr().err
    assert "no report.html, everything else is written (ZeroDivisionError: division by" in err
    draw_page(page, lambda: page.write_text("new"), warn)  # type: ignore[arg-type]
    assert page.read_text() == "new"
    assert capsys.readouterr().err == ""


def test_a_listener_that_only_knows_stages_hears_of_it() -> None:
    said: list[str] = []

    class Mine(Progress):
        def stage(self, text: str) -> None:
            said.append(text)

    Mine().warn("no report.html")
    assert said == ["no report.html"]
    HealingDisplay().warn("on a terminal as well")


@pytest.mark.parametrize(("blocked", "trials"), [(True, "3"), (False, "2")])
def test_a_study_without_plots_does_not_point_at_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], blocked: bool, trials: str
) -> None:
    land = write_toy_landscape(tmp_path / "toy.npz", drops=(2,))
    output = tmp_path / "out"
    if blocked:
        (output / "plotly.min.js").mkdir(parents=True)
    command = ["--landscape", str(land), "--seeds", "1", "--max-cost", "3", "--seed", "0"]
    more = ["--n-trials", trials, "--quiet", "--output", str(output)]
    assert evop_deap.tune.main([*command, *more]) == 0
    out, err = capsys.readouterr()
    assert "best.yaml" in out
    assert "plots beside it" not in out
    assert err.startswith("warning: no plots, everything else is written (") == blocked
