"""Files of one's own folders, changed in any leaf, are read or refused in one line; seeded."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hostile_values import as_file, changed, fuzzed, values, words
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from evop_deap.base.errors import EvopError
from evop_deap.base.files import sha256_of_text
from evop_deap.calibration import CalibrationSet, load_calibration
from evop_deap.fitness.landscape import Landscape, save_landscape
from evop_deap.runs.storage.checkpoint import Checkpoint, load_checkpoint
from evop_deap.runs.storage.folder import RunFolder
from evop_deap.search import main as search
from evop_deap.settings.calibration_config import CalibrationConfig
from evop_deap.space import Unit
from evop_deap.tuning.problems import Problem, landscape_problem


@settings(fuzzed, max_examples=150)
@given(data=st.data())
def test_a_changed_checkpoint_with_a_right_checksum_is_read_or_refused(
    finished_run: Path, tmp_path: Path, data: st.DataObject
) -> None:
    payload = json.loads((finished_run / "checkpoint.json").read_text())
    del payload["sha256"]
    other = changed(payload, data)
    if isinstance(other, dict):
        digest = sha256_of_text(json.dumps(other, sort_keys=True))
        other = {"sha256": digest, **other}
    (tmp_path / "checkpoint.json").write_text(as_file(other), errors="surrogatepass")
    with contextlib.suppress(EvopError):
        assert isinstance(load_checkpoint(tmp_path / "checkpoint.json", {}), Checkpoint)


@pytest.fixture(scope="session")
def stored_set(run_settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    from evop_deap.runs.calibration_folder import run_calibration

    names = {"model", "corpus", "window", "tokens", "heldout_tokens", "calibration", "embedding",
             "reducer", "min_cluster_size"}  # fmt: skip
    folder = tmp_path_factory.mktemp("sets") / "set"
    run_calibration(
        CalibrationConfig(**{n: v for n, v in run_settings.items() if n in names}), folder
    )
    return folder


@settings(fuzzed, max_examples=150)
@given(data=st.data())
def test_a_changed_calibration_set_is_read_or_refused(
    stored_set: Path, tmp_path: Path, data: st.DataObject, tokenizer: PreTrainedTokenizerFast
) -> None:
    shutil.copy(stored_set / "windows.npz", tmp_path)
    manifest = json.loads((stored_set / "calibration.json").read_text())
    text = as_file(changed(manifest, data))
    (tmp_path / "calibration.json").write_text(text, errors="surrogatepass")
    with contextlib.suppress(EvopError):
        found = load_calibration(tmp_path, tokenizer)
        assert isinstance(found, CalibrationSet)
        assert isinstance(found.manifest["corpus"]["name"], str)


def small_landscape() -> Landscape:
    patterns = np.array([[1, 1, 1], [0, 1, 1], [1, 0, 1], [1, 1, 0]], np.uint8)
    units = tuple(Unit(f"{i}", 10, 10) for i in range(3))
    looks = {"last-blocks": {"scores": {"0": 1.0, "1": 2.0, "2": 0.0}, "cost": 1.0}}
    about = {"looks": looks, "protected": [0], "model": "toy"}
    sums = np.arange(4.0)[:, None] + 1
    return Landscape(units, patterns, sums, np.array([2]), head_work=5, about=about)


@settings(fuzzed, max_examples=150)
@given(data=st.data())
def test_a_changed_landscape_is_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    save_landscape(tmp_path / "one.npz", small_landscape())
    with np.load(tmp_path / "one.npz") as archive:
        arrays = dict(archive)
    name = data.draw(st.sampled_from(sorted(arrays)))
    if name == "about":
        about = json.loads(str(arrays.pop("about")))
        del about["fingerprint"]
        arrays["about"] = np.array(as_file(changed(about, data)).replace("\0", ""))
    else:
        arrays[name] = data.draw(
            st.sampled_from(
                [arrays[name] * 0, arrays[name] - 5, arrays[name][..., None], arrays[name][:0]
                 if arrays[name].ndim else arrays[name], arrays[name].astype(np.float64) * np.nan,
                 np.array("text"), np.array([2**62] * 3)]
            )
        )  # fmt: skip
    np.savez(tmp_path / "two.npz", **arrays)
    with contextlib.suppress(EvopError):
        assert isinstance(landscape_problem(tmp_path / "two.npz"), Problem)


TABLE = "0,1,2,loss\n0,1,1,3.5\n1,0,1,3.25\n1,1,0,4\n"


@fuzzed
@given(at=st.integers(0, len(TABLE)), word=words | values.map(as_file), bom=st.booleans())
def test_a_changed_table_of_losses_is_read_or_refused(
    tmp_path: Path, at: int, word: str, bom: bool
) -> None:
    path = tmp_path / "land.csv"
    text = ("\ufeff" if bom else "") + TABLE[:at] + word + TABLE[at:]
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with contextlib.suppress(EvopError):
        assert landscape_problem(path).space.n_drop == 1


NEAR = {"pattern": [1, 1, 0, 1, 0], "loss": 6.5, "behind": 0.0, "error": 0.0}


@pytest.mark.parametrize(
    ("stage", "output", "place"),
    [
        ("compensate", {"about": {"taken": True}}, "outputs.compensate: about.asked: is missing"),
        ("compensate", {"about": "none"}, "outputs.compensate: about: expected an object"),
        ("validate", {"near_equals": [], "tied": "1"}, "outputs.validate: tied"),
        ("validate", {"near_equals": []}, "outputs.validate: near_equals"),
        ("validate", {"near_equals": [NEAR], "refused": ["so", "so"]}, "outputs.validate: near_"),
        ("validate", {"near_equals": [{**NEAR, "pattern": [1]}]}, "outputs.validate: near_equals"),
        ("validate", {"near_equals": [{**NEAR, "pattern": [2] * 5}]}, "outputs.validate: near_"),
        ("export", [], "outputs.export: expected an object"),
    ],
)
def test_a_changed_output_of_a_stage_is_named_on_resuming(
    finished_run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    stage: str,
    output: Any,
    place: str,
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished_run, folder)
    (folder / "result.json").unlink()  # as after a kill before the end
    payload = json.loads((folder / "checkpoint.json").read_text())
    del payload["sha256"]
    payload["outputs"][stage] = output
    digest = sha256_of_text(json.dumps(payload, sort_keys=True))
    (folder / "checkpoint.json").write_text(json.dumps({"sha256": digest, **payload}))
    assert search(["--resume", "--output", str(folder), "--quiet"]) == 2
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert place in said


@fuzzed
@given(
    line=st.sampled_from(["", "[" * 9000, '{"gen": ' + "9" * 5000 + "}", '{"gen": NaN}'])
    | st.builds(lambda gen: as_file({"gen": gen}), values)
    | values.map(as_file)
)
def test_lines_of_a_history_that_are_no_generation_are_cut(tmp_path: Path, line: str) -> None:
    folder = RunFolder(tmp_path)
    rows = ['{"gen": 0}', line, '{"gen": 1}', '{"gen": 2}']
    folder.history.write_text("\n".join(rows), encoding="utf-8", errors="surrogatepass")
    folder.cut_history(1)
    kept = [json.loads(row) for row in folder.history.read_text().splitlines()]
    assert [kept[0], kept[-1]] == [{"gen": 0}, {"gen": 1}]
    assert all(type(row["gen"]) is int and row["gen"] <= 1 for row in kept)
