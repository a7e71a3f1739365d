"""The comparison of dropping halves with dropping blocks, on a toy model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.search.block_or_half import main, table
from evop_deap.base.errors import InputError
from evop_deap.runs.storage.loaded_run import load_run


def test_halves_and_blocks_drop_equal_parameters_and_finished_runs_stay(
    toy_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = tmp_path / "texts.jsonl"
    rows = [{"text": f"Text {i} is about the number {i * i}. " * 4} for i in range(30)]
    texts.write_text("".join(json.dumps(row) + "\n" for row in rows))
    test = tmp_path / "test.txt"
    test.write_text("The river runs down to the sea. " * 20)
    output = tmp_path / "out.json"
    sizes = "--window 16 --tokens 64 --heldout-tokens 32 --test-window 32 --test-tokens 64"
    small = "--drop 2 --seeds 0 --batches 1 --repeats 1 --max-cost"
    places = ["--model", toy_checkpoint, "--corpus", texts, "--text", test]
    places += ["--output", tmp_path / "runs", "--json", output]
    arguments = [*map(str, places), *sizes.split(), *small.split()]
    with pytest.raises(InputError, match="missing.txt"):
        main([*arguments, "8", "--text", str(tmp_path / "missing.txt")])
    assert not (tmp_path / "runs").exists()
    main([*arguments, "8"])
    found = json.loads(output.read_text())
    assert [(run["granularity"], run["blocks"]) for run in found["runs"]] == [
        ("block", 2), ("half", 2),
    ]  # fmt: skip
    block, half = found["runs"]
    assert block["parameters"] == half["parameters"] < found["dense"]["parameters"]
    assert len(half["dropped"]) == 2 * len(block["dropped"])
    assert block["layers"] <= half["layers"]
    assert {row["model"] for row in found["speed"]} == {"block-2", "half-2"}
    assert "| 2 | half |" in capsys.readouterr().out
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("result.json")}
    main([*arguments, "8"])
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("result.json")}
    with pytest.raises(InputError, match="`output` .*max_cost"):
        main([*arguments, "9"])
    kept = load_run(tmp_path / "runs/block-2-0").settings["dtype"]
    other = next(name for name in ("bfloat16", "float32") if name != kept)
    with pytest.raises(InputError, match="`output` .*dtype"):
        main([*arguments, "8", "--dtype", other])


def test_the_page_on_halves_shows_the_table_of_the_committed_file() -> None:
    folder = Path(__file__).parents[3] / "benchmarks" / "search"
    report = json.loads((folder / "results/block_or_half.demo.json").read_text())
    assert table(report) in (folder / "halves.md").read_text(encoding="utf-8")
