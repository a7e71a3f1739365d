"""Curves of searches of a toy model: what is kept, what is made again, what is refused."""

from __future__ import annotations

import json
import math
import statistics
from pathlib import Path
from typing import Any

import pytest

from benchmarks.search.curve_reports import read_report
from benchmarks.search.curve_runs import steps
from benchmarks.search.curve_tables import main as show
from benchmarks.search.curve_tables import summary
from benchmarks.search.curves import main
from evop_deap.base.errors import InputError

METHODS = ["random", "greedy", "surrogate, racing", "seeded, racing"]


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("texts") / "wiki.txt"
    path.write_text(" ".join(f"Ship {i} sails by the tide." for i in range(200)))
    return path


def run(
    toy: Path, text: Path, folder: Path, *more: str, methods: tuple[str, ...] = tuple(METHODS)
) -> dict[str, Any]:
    """The report of a small run."""
    main([
        "--model", str(toy), "--text", str(text), "--window", "16", "--tokens", "64",
        "--drop", "2", "--evaluations", "6", "--seeds", "2", "--output", str(folder / "runs"),
        "--json", str(folder / "out.json"), *more, "--methods", *methods,
    ])  # fmt: skip
    report: dict[str, Any] = json.loads((folder / "out.json").read_text())
    return report


def test_a_run_is_a_file_with_its_curve_and_all_it_cost(
    toy_checkpoint: Path, text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = run(toy_checkpoint, text, tmp_path, "--target", "1e9")
    assert "| method | seeds | perplexity |" in capsys.readouterr().out
    assert {path.name for path in (tmp_path / "runs").iterdir()} == {
        "greedy.0.json",
        *(f"{m}.{seed}.json" for m in ("random", "surrogate-racing", "seeded-racing")
          for seed in (0, 1)),
    }  # fmt: skip
    assert report["settings"]["text"] == "wiki.txt"
    for one in report["runs"]:
        counts, costs, bests = zip(*one["events"], strict=True)
        assert list(counts) == sorted(counts)
        assert list(costs) == sorted(costs)
        assert list(bests) == sorted(set(bests), reverse=True)
        assert bests[-1] == one["loss"] == pytest.approx(math.log(one["perplexity"]))
        assert costs[-1] <= one["cost"] + 1e-4
        assert len(one["dropped"]) == 2
        assert one["seconds_deciding"] >= 0
        assert {"machine", "versions", "date"} <= set(one)
        assert one["dtype"] in ("torch.float32", "torch.bfloat16")
    # Two rules look into the model before anything is judged.
    first = {one["method"]: one["events"][0][1] for one in report["runs"]}
    assert first["seeded, racing"] > 2.0


def test_several_reports_are_one_table_and_a_picture(
    toy_checkpoint: Path, text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = run(toy_checkpoint, text, tmp_path / "few", "--drop", "1", methods=("random", "plain"))
    run(toy_checkpoint, text, tmp_path / "many", methods=("random", "greedy"))
    capsys.readouterr()
    reports = [str(tmp_path / name / "out.json") for name in ("many", "few")]
    show([*reports, "--png", str(tmp_path / "curves.png")])
    *_, said = capsys.readouterr().out.strip().split("\n\n")
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in said.splitlines()]
    assert rows[0] == ["", "1 block", "2 blocks", "s deciding"]
    cells = {row[0]: row[1:-1] for row in rows[2:]}
    assert set(cells) == {"random", "plain", "greedy"}
    assert (cells["plain"][1], cells["greedy"][0]) == ("-", "-")
    ends = [one["perplexity"] for one in few["runs"] if one["method"] == "random"]
    assert cells["random"][0].endswith(", 2 seeds)")
    assert f", {statistics.median(ends):.2f} (" in cells["random"][0]
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(InputError, match=r"has .*curves\.png, which"):
        show([str(tmp_path / "curves.png")])


def test_only_what_is_missing_is_made_and_other_settings_are_refused(
    toy_checkpoint: Path, text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = run(toy_checkpoint, text, tmp_path, methods=("random",))
    capsys.readouterr()
    more = run(toy_checkpoint, text, tmp_path, "--evaluations", "7", methods=("plain",))
    told = capsys.readouterr().err
    assert "plain 0" in told
    assert "random" not in told
    assert [one for one in more["runs"] if one["method"] == "random"] == first["runs"]
    for changed, says in (
        (["--drop", "1"], "drop 2, but now it is 1"),
        (["--tokens", "32"], "tokens 64, but now it is 32"),
        (["--evaluations", "7"], "evaluations 6, but now it is 7"),
    ):
        with pytest.raises(InputError, match=f"^`output` holds runs with {says}"):
            run(toy_checkpoint, text, tmp_path, *changed, methods=("random",))
    other = tmp_path / "other" / text.name
    other.parent.mkdir()
    other.write_text(text.read_text().replace("Ship", "Boat"))
    with pytest.raises(InputError, match="^`output` holds runs with another windows_sha256"):
        run(toy_checkpoint, other, tmp_path, methods=("random",))
    for path in (tmp_path / "runs").iterdir():  # as kept by earlier versions
        kept = json.loads(path.read_text())
        del kept["of"]["windows_sha256"], kept["of"]["model_sha256"]
        path.write_text(json.dumps(kept))
    assert run(toy_checkpoint, text, tmp_path, methods=("random",))["runs"] == more["runs"]
    (tmp_path / "runs" / "stray.json").write_text("[]")
    with pytest.raises(InputError, match=r"stray\.json, which"):
        run(toy_checkpoint, text, tmp_path, methods=("random",))


def test_a_curve_is_where_it_falls() -> None:
    events = [(1, 1.0, None), (2, 2.0, 5.0), (3, 3.0, 5.0), (4, 4.0, 4.5), (5, 5.0, 4.5)]
    assert steps(events) == [(2, 2.0, 5.0), (4, 4.0, 4.5)]
    assert steps([]) == []


def test_the_readme_shows_the_curves_that_are_kept() -> None:
    folder = Path(__file__).parents[3] / "benchmarks" / "search"
    names = ("blocks.6", "blocks.10", "halves.12")
    kept = [folder / f"results/curves.demo.{name}.json" for name in names]
    table = summary([read_report(path) for path in kept])
    assert table in (folder / "README.md").read_text(encoding="utf-8")
