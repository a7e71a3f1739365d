"""The calibration command, and searches with what it has written."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

import evop_deap.calibration.cluster_map as picture
from evop_deap.calibrate import main as calibrate
from evop_deap.search import main as search

SIZES = ["--window", "16", "--tokens", "64", "--heldout-tokens", "96"]
QUICK = ["--embedding", "tfidf", "--reducer", "none"]
KINDS = {"fruit": "apple pear plum cherry", "sea": "wave sail tide boat"}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("corpus") / "texts.jsonl"
    rows = [
        {"id": f"{kind}-{i}", "text": " ".join(rng.choice(words.split(), size=30))}
        for kind, words in KINDS.items()
        for i in range(40)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def command(toy_checkpoint: Path, corpus: Path, tmp_path: Path) -> list[str]:
    return [
        "--model", str(toy_checkpoint), "--corpus", str(corpus), *SIZES, *QUICK, "--quiet",
        "--output", str(tmp_path / "set"),
    ]  # fmt: skip


@pytest.fixture
def searching(toy_checkpoint: Path, tmp_path: Path) -> list[str]:
    return [
        "--model", str(toy_checkpoint), "--sparsity", "0.4", "--population", "2",
        "--tournament", "2", "--offspring", "1", "--generations", "1", "--quiet",
        "--output", str(tmp_path / "run"),
    ]  # fmt: skip


def refused(main, arguments: list[str], capsys: pytest.CaptureFixture[str], says: str) -> None:
    capsys.readouterr()
    try:
        code = main(arguments)
    except SystemExit as stop:
        code = stop.code
    out, err = capsys.readouterr()
    assert (code, out) == (2, ""), err
    assert len(err.strip().splitlines()) == 1, err
    assert says in err


def test_a_set_is_written_whole_and_told_in_a_table(command, tmp_path, capsys) -> None:
    assert calibrate(command) == 0
    out = capsys.readouterr().out
    assert "4 x 16 tokens of texts.jsonl" in out
    assert "cluster  documents  windows  words" in out
    names = {path.name for path in (tmp_path / "set").iterdir()}
    assert names == {"calibration.json", "windows.npz", "clusters.html", "clusters.png"}
    manifest = json.loads((tmp_path / "set" / "calibration.json").read_text())
    assert manifest["strategy"] == "ccds"
    assert manifest["settings"]["embedding"] == "tfidf"
    with np.load(tmp_path / "set" / "windows.npz", allow_pickle=False) as archive:
        assert archive["calibration"].shape == (4, 16)
        assert archive["heldout"].shape == (6, 16)
        assert archive["validation"].shape == (4, 16)


def test_the_map_is_a_page_that_fetches_nothing(command, tmp_path) -> None:
    calibrate(command)
    page = (tmp_path / "set" / "clusters.html").read_text()
    assert page.count("<circle") == 60
    assert 1 <= page.count('class="drawn"') <= 8
    assert not re.search(r"(src|href)=|https?://|@import|<script", page)
    assert "prefers-color-scheme: dark" in page
    assert (tmp_path / "set" / "clusters.png").read_bytes().startswith(b"\x89PNG")


def test_without_matplotlib_there_is_a_note_instead_of_an_image(
    command, tmp_path, capsys, monkeypatch
) -> None:
    monkeypatch.setattr(picture.importlib.util, "find_spec", lambda name: None)
    command.remove("--quiet")
    assert calibrate(command) == 0
    assert "no clusters.png: that needs matplotlib" in capsys.readouterr().err
    assert not (tmp_path / "set" / "clusters.png").exists()


def test_the_same_command_writes_the_same_set(command, tmp_path) -> None:
    calibrate(command)
    first = {p.name: p.read_bytes() for p in (tmp_path / "set").iterdir() if p.suffix != ".npz"}
    assert calibrate([*command, "--overwrite"]) == 0
    again = {p.name: p.read_bytes() for p in (tmp_path / "set").iterdir() if p.suffix != ".npz"}
    assert first == again


def test_a_search_takes_the_set_and_its_sizes(command, searching, tmp_path) -> None:
    calibrate(command)
    assert search([*searching, "--calibration", str(tmp_path / "set")]) == 0
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    manifest = json.loads((tmp_path / "set" / "calibration.json").read_text())
    for part in ("calibration", "heldout"):
        assert result[part]["fingerprint"] == manifest[part]["fingerprint"]
    assert result["corpus"] == "texts.jsonl"
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert (config["window"], config["tokens"], config["heldout_tokens"]) == (16, 64, 96)
    assert json.loads((tmp_path / "run" / "calibration.json").read_text()) == manifest
    again = ["--resume", "--generations", "2", "--output", str(tmp_path / "run"), "--quiet"]
    assert search(again) == 0


def test_a_search_draws_by_clusters_itself_and_finds_the_same_windows(
    command, searching, corpus, tmp_path
) -> None:
    calibrate(command)
    own = ["--calibration", "ccds", "--corpus", str(corpus), *SIZES, *QUICK]
    assert search([*searching, *own]) == 0
    ours, theirs = (
        json.loads((tmp_path / folder / "calibration.json").read_text())["calibration"]
        for folder in ("run", "set")
    )
    assert ours == theirs
    assert search([*searching, "--resume", "--generations", "2"]) == 0


def test_weights_reach_the_loss_that_is_searched_on(command, searching, corpus, tmp_path) -> None:
    own = ["--calibration", "ccds", "--corpus", str(corpus), *SIZES, *QUICK]
    losses = {}
    for weighting in ("none", "corpus"):
        output = ["--output", str(tmp_path / weighting)]
        shares = ["--allocation", "equal", "--weighting", weighting]
        assert search([*searching, *own, *shares, *output]) == 0
        losses[weighting] = json.loads((tmp_path / weighting / "result.json").read_text())
    assert (
        losses["none"]["heldout"]["loss"]["dense"] == losses["corpus"]["heldout"]["loss"]["dense"]
    )
    plain, weighted = (losses[name]["calibration"]["loss"]["dense"] for name in losses)
    assert plain != weighted
    # What others share are plain sums: the second search has found its windows in the cache.
    assert losses["corpus"]["cache_hits"] > 0


def test_windows_are_chosen_by_response_in_both_commands(
    command, searching, corpus, tmp_path
) -> None:
    assert calibrate([*command, "--select", "response"]) == 0
    made = json.loads((tmp_path / "set" / "calibration.json").read_text())
    assert made["select"] == {"by": "response", "pool": 4}
    own = ["--calibration", "ccds", "--corpus", str(corpus), *SIZES, *QUICK]
    assert search([*searching, *own, "--select", "response"]) == 0


def test_the_model_itself_can_embed(command, tmp_path) -> None:
    assert calibrate([*command, "--embedding", "model"]) == 0
    made = json.loads((tmp_path / "set" / "calibration.json").read_text())
    assert made["clustering"]["embedding"]["name"] == "model"
    assert len(made["clustering"]["embedding"]["fingerprint"]) == 64


@pytest.mark.slow
def test_a_sentence_encoder_and_umap_are_what_is_used_by_default(
    command, toy_encoder, tmp_path
) -> None:
    given = [*command, "--embedding", str(toy_encoder), "--reducer", "umap"]
    assert calibrate(given) == 0
    made = json.loads((tmp_path / "set" / "calibration.json").read_text())
    assert made["clustering"]["reducer"]["name"] == "umap"


def test_a_uniform_set_needs_no_clusters(command, tmp_path, capsys) -> None:
    unclustered = [flag for flag in command if flag not in QUICK]
    assert calibrate([*unclustered, "--calibration", "random"]) == 0
    names = {path.name for path in (tmp_path / "set").iterdir()}
    assert names == {"calibration.json", "windows.npz"}
    assert "cluster " not in capsys.readouterr().out


def test_documents_that_repeat_evaluation_data_are_listed_and_not_used(
    command, corpus, tmp_path
) -> None:
    text = json.loads(corpus.read_text().splitlines()[3])["text"]
    (tmp_path / "eval.txt").write_text(f"Something. {text.upper()}")
    assert calibrate([*command, "--check-against", str(tmp_path / "eval.txt")]) == 0
    made = json.loads((tmp_path / "set" / "calibration.json").read_text())
    assert [entry["document"] for entry in made["checked_against"]["refused"]] == ["fruit-3"]
    used = {entry["id"] for part in ("calibration", "heldout") for entry in made[part]["documents"]}
    assert "fruit-3" not in used


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--calibration", "best"], "`calibration` must be random, ccds or a folder"),
        (["--reducer", "tsne"], "`reducer` must be 'umap' or 'pca' or 'none'"),
        (["--min-cluster-size", "1"], "`min_cluster_size` must be at least 2"),
        (["--embedding", "./nowhere"], "`embedding` names ./nowhere"),
        (["--check-against", "nowhere.txt"], "`check_against` must name files"),
        (["--corpus", "nowhere.txt"], "nowhere.txt"),
        (["--tokens", "1000000"], "`tokens` (1000000)"),
        (["--window", "256", "--tokens", "512", "--heldout-tokens", "512"], "context of 128"),
        (["--model", "./nowhere"], "`model` names ./nowhere"),
        (["--sparsity", "0.2"], "--sparsity"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_arguments_end_in_one_line_and_write_nothing(
    command, tmp_path, capsys, more: list[str], says: str
) -> None:
    refused(calibrate, [*command, *more], capsys, says)
    assert not (tmp_path / "set").exists()


def test_what_is_there_already_is_left_alone(command, tmp_path, capsys) -> None:
    calibrate(command)
    refused(calibrate, command, capsys, "already holds calibration.json")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("precious")
    elsewhere = [*command, "--output", str(tmp_path / "other"), "--overwrite"]
    refused(calibrate, elsewhere, capsys, "is not the folder of a calibration set")
    assert (tmp_path / "other" / "thesis.txt").exists()
    stored = [*command, "--calibration", str(tmp_path / "set"), "--overwrite"]
    refused(calibrate, stored, capsys, "is a set already")


def test_overwriting_a_set_replaces_its_own_files_alone(command, tmp_path) -> None:
    made = tmp_path / "set"
    assert calibrate(command) == 0
    (made / "notes").mkdir()
    (made / "notes" / "thesis.txt").write_text("precious")
    uniform = [*command[: command.index("--embedding")], *command[command.index("--quiet") :]]
    assert calibrate([*uniform, "--calibration", "random", "--seed", "1", "--overwrite"]) == 0
    assert (made / "notes" / "thesis.txt").read_text() == "precious"
    # A uniform set has no map, so that of the earlier set is gone.
    assert {path.name for path in made.iterdir()} == {"calibration.json", "notes", "windows.npz"}
    assert json.loads((made / "calibration.json").read_text())["seed"] == 1


def test_a_place_that_cannot_be_written_is_refused_before_anything_is_done(
    command, tmp_path, capsys
) -> None:
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "file" / "set"):
        refused(calibrate, [*command, "--output", str(place)], capsys, str(place))
    if Path("/proc").is_dir():
        refused(calibrate, [*command, "--output", "/proc/set"], capsys, "cannot write /proc/set")


def test_what_a_killed_command_left_half_written_is_cleared_away(command, tmp_path) -> None:
    (tmp_path / ".set.0123abcd.part").mkdir()
    assert calibrate(command) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--window", "32"], "`window` is 32, but the calibration set in"),
        (["--corpus", "other.txt"], "`corpus` is other.txt, but the calibration set in"),
        (["--allocation", "equal"], "`allocation` is equal, but the calibration set in"),
    ],
)
def test_a_search_that_contradicts_its_set_is_refused(
    command, searching, tmp_path, capsys, more: list[str], says: str
) -> None:
    calibrate(command)
    refused(search, [*searching, "--calibration", str(tmp_path / "set"), *more], capsys, says)


def test_a_set_without_validation_windows_is_searched_on_without_them(
    command, searching, tmp_path
) -> None:
    calibrate(command)
    windows, manifest = tmp_path / "set" / "windows.npz", tmp_path / "set" / "calibration.json"
    said = json.loads(manifest.read_text())
    whole = said.pop("validation")
    manifest.write_text(json.dumps(said))
    with np.load(windows) as archive:
        np.savez(windows, **{n: archive[n] for n in ("calibration", "heldout", "compensation")})
    given = [*searching, "--calibration", str(tmp_path / "set")]
    assert search(given) == 0
    told = json.loads((tmp_path / "run" / "result.json").read_text())["validation"]
    assert (told["windows"], told["window"], told["fingerprint"]) == (0, None, None)
    assert told["cost"] == 0.0
    calibrate([*command, "--overwrite"])
    assert search([*given, "--overwrite"]) == 0
    told = json.loads((tmp_path / "run" / "result.json").read_text())["validation"]
    assert (told["windows"], told["window"]) == (4, 16)
    assert told["fingerprint"] == whole["fingerprint"]


@pytest.mark.parametrize("damage", ["tokens", "validation", "cut", "manifest", "weights"])
def test_a_damaged_set_is_refused(command, searching, tmp_path, capsys, damage: str) -> None:
    calibrate(command)
    windows, manifest = tmp_path / "set" / "windows.npz", tmp_path / "set" / "calibration.json"
    said = json.loads(manifest.read_text())
    if damage in ("tokens", "validation"):
        part = "heldout" if damage == "tokens" else damage
        with np.load(windows) as archive:
            arrays = {name: archive[name] + (name == part) for name in archive}
        np.savez(windows, **arrays)
    elif damage == "cut":
        windows.write_bytes(windows.read_bytes()[:-100])
    elif damage == "manifest":
        manifest.write_text("{}")
    else:
        said["calibration"]["weights"] = [1.0]
        manifest.write_text(json.dumps(said))
    refused(search, [*searching, "--calibration", str(tmp_path / "set")], capsys, "`calibration`")


@pytest.mark.parametrize("settings", [None, [], "seed"])
def test_a_set_whose_settings_are_no_mapping_is_refused(
    command, searching, tmp_path, capsys, settings
) -> None:
    calibrate(command)
    path = tmp_path / "set" / "calibration.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "settings": settings}))
    with_set = [*searching, "--calibration", str(tmp_path / "set")]
    refused(search, with_set, capsys, "is not a calibration set: calibration.json: settings")


def test_a_set_for_another_tokenizer_is_refused(command, searching, tmp_path, capsys) -> None:
    calibrate(command)
    manifest = tmp_path / "set" / "calibration.json"
    said = json.loads(manifest.read_text())
    said["tokenizer"]["fingerprint"] = "0" * 64
    manifest.write_text(json.dumps(said))
    given = [*searching, "--calibration", str(tmp_path / "set")]
    refused(search, given, capsys, "was made with the tokenizer of another model")


def test_resuming_with_another_choice_of_text_is_refused(
    command, searching, corpus, tmp_path, capsys
) -> None:
    own = ["--calibration", "ccds", "--corpus", str(corpus), *SIZES, *QUICK]
    assert search([*searching, *own]) == 0
    made = json.loads((tmp_path / "run" / "calibration.json").read_text())
    used = made["calibration"]["documents"][0]["id"]
    rows = (json.loads(line) for line in corpus.read_text().splitlines())
    (tmp_path / "eval.txt").write_text(next(row["text"] for row in rows if row["id"] == used))
    other = [*searching, *own, "--resume", "--check-against", str(tmp_path / "eval.txt")]
    refused(search, other, capsys, "its calibration set is")


def test_help_answers_without_loading_anything_heavy() -> None:
    code = (
        "import sys; from evop_deap.calibrate import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'transformers', 'datasets', 'numpy', 'sklearn'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for words in ("examples:", "--embedding", "--check-against", "python -m evop_deap.calibrate"):
        assert words in done.stdout


def test_skipped_files_are_told_and_kept_in_the_manifest(
    toy_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, output = tmp_path / "corpus", tmp_path / "set"
    folder.mkdir()
    rows = [{"text": f"The river runs down to the sea {i} times. " * 4} for i in range(40)]
    (folder / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "README.md").write_text("A data set of rivers.")
    given = ["--model", str(toy_checkpoint), "--corpus", str(folder), "--output", str(output)]
    assert calibrate([*given, *SIZES, *QUICK]) == 0
    assert "corpus: skipped README.md" in capsys.readouterr().err
    manifest = json.loads((output / "calibration.json").read_text())
    assert manifest["corpus"]["skipped"] == ["README.md"]
