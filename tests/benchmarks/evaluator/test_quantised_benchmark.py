"""The benchmark of quantised weights ranks patterns by their true losses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("bitsandbytes")

from benchmarks.evaluator.quantised import BITS, DENSE, compared, main, table


def test_regret_is_what_the_chosen_pattern_loses() -> None:
    found = {
        DENSE: {"dense": 3.0, "losses": [3.5, 3.1, 3.3]},
        "4 bit": {"dense": 3.2, "losses": [3.6, 3.4, 3.3]},
    }
    dense, packed = compared(found)
    assert (dense["rank_correlation"], dense["regret"], dense["rank_chosen"]) == (1.0, 0.0, 1)
    assert packed["regret"] == pytest.approx(0.2)
    assert (packed["rank_chosen"], packed["rank_correlation"]) == (2, pytest.approx(0.5))
    assert "| 4 bit | 3.200 | 3.300 | 0.133 | 0.500 | 0.200 (rank 2) |" in table([dense, packed])


def test_all_precisions_see_the_same_patterns(
    run_settings: dict[str, Any], toy_checkpoint: Path, tmp_path: Path
) -> None:
    flags = ["--model", str(toy_checkpoint), "--corpus", run_settings["corpus"], "--patterns", "5"]
    file = tmp_path / "out.json"
    assert main([*flags, "--windows", "2", "--window", "16", "--json", str(file)]) == 0
    report = json.loads(file.read_text())
    assert report["found"].keys() == {DENSE, *BITS}
    assert len(set(report["patterns"])) == 5
    assert report["settings"]["corpus"] == "texts.jsonl"
    assert all(len(one["losses"]) == 5 for one in report["found"].values())
    assert all(row["difference"] > 0 for row in report["rows"][1:])
