"""The calibration of the rule that ends a sure search, and the timing of whole runs."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from toy_landscapes import write_toy_landscape

from benchmarks.search import time_to_quality, when_sure
from benchmarks.search.when_sure import Course, ending, figures, patient, sure
from evop_deap.base.errors import InputError


def rows(chances: list[float], losses: list[float]) -> list[dict[str, Any]]:
    return [
        {"trusted": True, "chance": chance, "min": loss, "cost": 1.0 + i, "tolerance": 0.01}
        for i, (chance, loss) in enumerate(zip(chances, losses, strict=True))
    ]


def test_a_search_ends_when_the_surrogate_was_sure_often_enough() -> None:
    course = Course("one", rows([1.0, 0.02, 0.3, 0.02, 0.01, 0.0], [3, 3, 2.5, 2.5, 2.5, 2.4]), 2.4)
    once, twice = ending(course, sure(0.95, 1)), ending(course, sure(0.95))
    assert once is not None
    assert twice is not None
    assert (once["generation"], twice["generation"]) == (1, 4)
    assert twice["cost"] == pytest.approx(5 / 6)
    assert twice["regret"] == pytest.approx(0.1)
    assert ending(course, sure(0.999)) is None
    waited = ending(course, patient(2))
    assert waited is not None
    assert waited["generation"] == 4
    doubted = [{**row, "trusted": False} for row in course.rows]
    assert ending(Course("two", doubted, 2.4), sure(0.5)) is None


def test_a_search_that_is_not_ended_counts_whole() -> None:
    one = {"generation": 3, "cost": 0.5, "regret": 0.0, "bound": 0.01}
    assert figures([one, None, None]) == ["33.3%", "100.0%", "100.0%", "1.00"]
    late = {**one, "regret": 0.005}
    assert figures([one, late]) == ["100.0%", "100.0%", "50.0%", "0.50"]
    assert figures([None]) == ["0%", "-", "-", "1.00"]


def test_the_command_tables_every_rule_and_every_landscape(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, out = write_toy_landscape(tmp_path / "toy.npz", drops=(0, 3)), tmp_path / "out.json"
    monkeypatch.setattr(when_sure, "KINDS", {})
    when_sure.main(["--landscape", str(path), "--seeds", "2", "--json", str(out)])
    shown = capsys.readouterr().out
    for words in (*when_sure.RULES, "| toy |"):
        assert words in shown
    written = json.loads(out.read_text())
    assert len(written["runs"]) == 2
    for run in written["runs"]:
        for found in filter(None, run["endings"].values()):
            assert 0 < found["cost"] <= 1
            assert math.isfinite(found["regret"])


def test_a_run_that_was_ended_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no history.jsonl"):
        when_sure.recorded(tmp_path)
    (tmp_path / "history.jsonl").write_text(json.dumps({"min": 3.0}) + "\n")
    with pytest.raises(InputError, match="has 0 generations: search 60 with --stop-when-sure off"):
        when_sure.recorded(tmp_path)
    (tmp_path / "history.jsonl").write_text((json.dumps({"cost": 3.0}) + "\n") * 61)
    with pytest.raises(InputError, match="`run` .* must have a history.jsonl of a search"):
        when_sure.recorded(tmp_path)


def test_a_search_of_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="`landscape` and `run` name nothing"):
        when_sure.main(["--landscape"])


@pytest.mark.slow
def test_a_run_is_timed_from_its_start_to_the_target_and_to_the_end(
    toy_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = tmp_path / "texts.jsonl"
    texts = [{"text": f"Text {i} is about the number {i * i}. " * 4} for i in range(30)]
    corpus.write_text("".join(json.dumps(row) + "\n" for row in texts))
    sizes = "--window 16 --tokens 64 --heldout-tokens 32 --compensation-tokens 64 --generations 2"
    common = ["--model", str(toy_checkpoint), "--sparsity", "0.4", "--seeds", "1"]
    out = tmp_path / "out.json"
    places = ["--output", str(tmp_path / "runs"), "--json", str(out)]
    flags = ["--flags", "--corpus", str(corpus), *sizes.split()]
    time_to_quality.main([*common, "--perplexity", "1e9", *places, *flags])
    (run,) = json.loads(out.read_text())["runs"]
    assert 0 < run["first"] == run["found"] <= run["searched"] <= run["done"]
    assert {"prepare", "search", "export"} <= set(run["stages"])
    assert "| median |" in capsys.readouterr().out
    with pytest.raises(InputError, match="the search failed: .*`corpus`"):
        time_to_quality.main([*common, "--perplexity", "9", *places, "--flags", "--corpus", "no"])
