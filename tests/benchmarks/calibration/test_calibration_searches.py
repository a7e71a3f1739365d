"""What calibration text does to a search, on a toy model: equal tokens, judged kind by kind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.calibration.searches import main, part, table
from evop_deap.base.errors import InputError

FOLDER = Path(__file__).parents[3] / "benchmarks" / "calibration"


def corpus(folder: Path) -> Path:
    """Two kinds of text in turn."""
    kinds = {"law": "The court found for party {} in case {}. ", "maths": "{} plus one is {}. "}
    rows = [
        {"id": f"{kind}-{i}", "domain": kind, "text": text.format(i, i * i) * 6}
        for i in range(30)
        for kind, text in kinds.items()
    ]
    path = folder / "mixed.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_what_is_judged_on_is_not_searched_on(tmp_path: Path) -> None:
    pool, judged = (
        {json.loads(line)["id"] for line in path.read_text().splitlines()}
        for path in part(str(corpus(tmp_path)), tmp_path)
    )
    assert (len(pool), len(judged)) == (40, 20)
    assert pool.isdisjoint(judged)
    assert {name.split("-")[0] for name in judged} == {"law", "maths"}


def test_another_corpus_makes_another_pool_and_the_same_one_the_same(tmp_path: Path) -> None:
    mixed = corpus(tmp_path)
    first = part(str(mixed), tmp_path)
    assert part(str(mixed), tmp_path) == first
    before = [path.read_text() for path in first]
    mixed.write_text(mixed.read_text().replace("party", "side"))
    assert not {*part(str(mixed), tmp_path)} & {*first}
    assert [path.read_text() for path in first] == before


@pytest.mark.slow
def test_each_set_is_searched_on_at_equal_cost_and_judged_on_every_text(
    toy_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other, test = tmp_path / "other.txt", tmp_path / "test.txt"
    other.write_text("\n\n".join(f"Number {i} stands alone here. " * 9 for i in range(20)))
    test.write_text("The river runs down to the sea. " * 40)
    output = tmp_path / "out.json"
    places = ["--model", toy_checkpoint, "--corpus", corpus(tmp_path), "--other", other]
    places += ["--text", test, "--output", tmp_path / "runs", "--json", output]
    sizes = "--window 16 --tokens 64 --judged-window 32 --judged-tokens 64 --sparsity 0.4"
    arguments = [*map(str, places), *sizes.split(), "--seeds", "0", "--max-cost", "6"]
    arguments += ["--embedding", "tfidf"]
    with pytest.raises(InputError, match=r"`judged-tokens` .* 1000000"):
        main([*arguments, "--judged-tokens", "1000000"])
    assert not list(tmp_path.rglob("result.json"))
    main(arguments)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("result.json")}
    main(arguments)
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("result.json")}
    changed = tmp_path / "changed.jsonl"
    changed.write_text(corpus(tmp_path).read_text().replace("party", "side"))
    with pytest.raises(InputError, match=r"`output` .*random-0 .*corpus"):
        main([*arguments, "--corpus", str(changed)])
    found = json.loads(output.read_text())
    assert [run["set"] for run in found["runs"]] == ["random", "ccds", "other"]
    assert list(found["dense"]) == ["law", "maths", "test.txt"]
    assert all(run["losses"].keys() == found["dense"].keys() for run in found["runs"])
    assert all(run["cost"] >= 6 for run in found["runs"])
    assert "| ccds |" in capsys.readouterr().out


def test_the_readme_shows_the_table_of_the_committed_file() -> None:
    report = json.loads((FOLDER / "results/searches.demo.json").read_text())
    assert table(report) in (FOLDER / "README.md").read_text(encoding="utf-8")
