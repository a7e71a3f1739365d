"""The commands that prune without a search and write what a search has found in other formats."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
import yaml
from toy_models import toy_logits
from transformers import AutoModelForCausalLM

from evop_deap.apply import main as apply
from evop_deap.base.errors import InputError
from evop_deap.export import main as export
from evop_deap.models.anatomy.find_anatomy import find_anatomy
from evop_deap.models.loading.fingerprint import fingerprint_model
from evop_deap.models.surgery.bypass import bypassed
from evop_deap.runs.export_run import FORMATS, export_run

Main = Callable[[Sequence[str]], int]


def finished_run(folder: Path, model: Path, dropped: list[str]) -> Path:
    """What the commands read of a run's folder."""
    (folder / "model").mkdir(parents=True)
    (folder / "result.json").write_text(json.dumps({"n_blocks": 5, "dropped": dropped}))
    settings = {"model": str(model), "sparsity": 0.4}
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    (folder / "model" / "config.json").write_text('{"dtype": "bfloat16"}')
    (folder / "model" / "README.md").write_text("# the card\n")
    return folder


@pytest.fixture
def halves(tmp_path: Path, toy_checkpoint: Path) -> Path:
    """A run that dropped the MLP of block 1, the attention of block 2 and block 4."""
    dropped = ["1.mlp", "2.attn", "4.attn", "4.mlp"]
    return finished_run(tmp_path / "halves", toy_checkpoint, dropped)


@pytest.fixture
def blocks(tmp_path: Path, toy_checkpoint: Path) -> Path:
    return finished_run(tmp_path / "blocks", toy_checkpoint, ["1", "3"])


def refused(
    main: Main, arguments: list[str], capsys: pytest.CaptureFixture[str], says: str
) -> None:
    capsys.readouterr()
    try:
        code = main(arguments)
    except SystemExit as stop:
        code = int(str(stop.code))
    out, err = capsys.readouterr()
    assert (code, out) == (2, ""), err
    assert len(err.strip().splitlines()) == 1, err
    assert says in err


def assert_is_the_bypassed_model(folder: Path, dense: Path, units: list[int]) -> None:
    model = AutoModelForCausalLM.from_pretrained(dense).eval()
    with bypassed(find_anatomy(model, "half"), units):
        expected = toy_logits(model)
    assert torch.equal(toy_logits(AutoModelForCausalLM.from_pretrained(folder).eval()), expected)


@pytest.mark.parametrize(
    ("pattern", "units", "layers"),
    [("1,3", [2, 3, 6, 7], 3), ("1.mlp,2.attn,4", [3, 4, 8, 9], 3), ("0.mlp", [1], 5)],
)
def test_a_list_is_applied(
    pattern: str,
    units: list[int],
    layers: int,
    toy_checkpoint: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "pruned"
    arguments = ["--model", str(toy_checkpoint), "--pattern", pattern, "--output", str(folder)]
    assert apply([*arguments, "--quiet"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"{folder}: {layers} layers")
    assert (out.count("\n"), err) == (1, "")
    assert_is_the_bypassed_model(folder, toy_checkpoint, units)
    card = (folder / "README.md").read_text()
    assert all(name in card for name in pattern.split(","))


def test_a_run_and_a_file_are_applied_like_a_list(
    halves: Path, toy_checkpoint: Path, tmp_path: Path
) -> None:
    (tmp_path / "drops.txt").write_text("none\nmlp\nattn\nnone\nattn+mlp\n")
    for given in (halves, tmp_path / "drops.txt"):
        folder = tmp_path / f"{given.name}-applied"
        arguments = ["--model", str(toy_checkpoint), "--pattern", str(given)]
        assert apply([*arguments, "--output", str(folder), "--quiet"]) == 0
        assert_is_the_bypassed_model(folder, toy_checkpoint, [3, 4, 8, 9])


def test_what_cannot_be_applied_is_said_in_one_line(
    toy_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = ["--model", str(toy_checkpoint), "--quiet"]
    output = ["--output", str(tmp_path / "pruned")]
    refused(apply, [*output, "--pattern", "1", "--quiet"], capsys, "`model` is required")
    refused(apply, [*model, *output], capsys, "--pattern")
    refused(apply, [*model, *output, "--pattern", "5"], capsys, "from 0 to 4")
    refused(apply, [*model, *output, "--pattern", "no.txt"], capsys, "is neither a file nor a list")
    (tmp_path / "32.txt").write_text("none\n" * 31 + "mlp\n")
    refused(
        apply,
        [*model, *output, "--pattern", str(tmp_path / "32.txt")],
        capsys,
        "about 32 blocks",
    )
    assert not (tmp_path / "pruned").exists()


def test_what_stands_at_the_output_stays_unless_told(
    toy_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["--model", str(toy_checkpoint), "--pattern", "1", "--quiet"]
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years")
    refused(apply, [*command, "--output", str(folder)], capsys, "add --overwrite")
    refused(apply, [*command, "--output", str(folder), "--overwrite"], capsys, "not a checkpoint")
    assert (folder / "thesis.txt").read_text() == "years"
    assert apply([*command, "--output", str(tmp_path / "new")]) == 0
    refused(apply, [*command, "--output", str(tmp_path / "new")], capsys, "add --overwrite")
    assert apply([*command, "--output", str(tmp_path / "new"), "--overwrite"]) == 0


@pytest.mark.parametrize("name", ["notes.md", "scores.json", "runs/one.txt", ".git/HEAD"])
def test_a_checkpoint_with_other_files_beside_it_is_not_replaced(
    blocks: Path,
    toy_checkpoint: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
) -> None:
    command = ["--model", str(toy_checkpoint), "--pattern", "1", "--quiet"]
    output = ["--output", str(tmp_path / "new")]
    assert apply([*command, *output]) == 0
    other = tmp_path / "new" / name
    other.parent.mkdir(exist_ok=True)
    other.write_text("years")
    before = sorted((tmp_path / "new").rglob("*"))
    again = [*output, "--overwrite"]
    refused(apply, [*command, *again], capsys, "would be lost")
    refused(export, [str(blocks), *again, "--quiet"], capsys, "would be lost")
    assert sorted((tmp_path / "new").rglob("*")) == before
    assert other.read_text() == "years"


def test_no_file_is_replaced_by_a_checkpoint(
    blocks: Path, toy_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "thesis.txt"
    file.write_text("years")
    output = ["--output", str(file), "--overwrite", "--quiet"]
    command = ["--model", str(toy_checkpoint), "--pattern", "1", *output]
    refused(apply, command, capsys, "not a checkpoint")
    refused(export, [str(blocks), *output], capsys, "not a checkpoint")
    assert file.read_text() == "years"


def test_texts_go_to_stdout(
    blocks: Path, toy_checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = {}
    for format in ("layer-drop", "mergekit", "per-layer-config", "prune-layers"):
        assert export([str(blocks), "--format", format]) == 0
        said[format], err = capsys.readouterr()
        assert ("ignore" in err or "dense model" in err) == (format == "per-layer-config")
    assert said["layer-drop"] == "none\nattn+mlp\nnone\nattn+mlp\nnone\n"
    assert said["prune-layers"] == "1,3\n"
    skip = {"skip": ["attention", "mlp"]}
    assert json.loads(said["per-layer-config"]) == {"per_layer_config": {"1": skip, "3": skip}}
    recipe = yaml.safe_load(said["mergekit"])
    assert recipe["slices"][0]["sources"][0] == {
        "model": str(toy_checkpoint),
        "layer_range": [0, 1],
    }
    assert recipe["dtype"] == "bfloat16"


def test_a_text_is_written_to_a_file(halves: Path, tmp_path: Path) -> None:
    path = tmp_path / "drops.txt"
    arguments = [str(halves), "--format", "layer-drop", "--output", str(path)]
    assert export(arguments) == 0
    assert path.read_text() == "none\nmlp\nattn\nnone\nattn+mlp\n"
    assert export(arguments) == 2
    assert export([*arguments, "--overwrite"]) == 0


def test_checkpoints_are_made_again(
    halves: Path, toy_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stock, decilm = tmp_path / "stock", tmp_path / "decilm"
    assert export([str(halves), "--output", str(stock), "--quiet"]) == 0
    assert "3 layers" in capsys.readouterr().out
    assert_is_the_bypassed_model(stock, toy_checkpoint, [3, 4, 8, 9])
    assert (stock / "README.md").read_text() == "# the card\n"
    arguments = [str(halves), "--format", "block-configs", "--output", str(decilm), "--quiet"]
    assert export(arguments) == 0
    assert "5 layers (2 of one half)" in capsys.readouterr().out
    card = (decilm / "README.md").read_text()
    assert "vLLM reads the checkpoint" in card
    assert "library_name" not in card
    assert "plain transformers" not in card
    # A checkpoint with block_configs is itself a pattern.
    again = tmp_path / "again"
    command = ["--model", str(toy_checkpoint), "--pattern", str(decilm / "config.json")]
    assert apply([*command, "--output", str(again), "--quiet"]) == 0
    assert_is_the_bypassed_model(again, toy_checkpoint, [3, 4, 8, 9])


def test_a_card_tells_of_the_weights_beside_it(
    blocks: Path, toy_checkpoint: Path, tmp_path: Path
) -> None:
    other = shutil.copytree(toy_checkpoint, tmp_path / "other")
    model = AutoModelForCausalLM.from_pretrained(other)
    with torch.no_grad():
        model.lm_head.weight.mul_(2)
    model.save_pretrained(other)
    export_run(blocks, "transformers", tmp_path / "named", export_from=str(other))
    card = (tmp_path / "named/README.md").read_text()
    assert f"evop_base_fingerprint: {fingerprint_model(model)}" in card
    # The model of a run whose weights are others now.
    result = json.loads((blocks / "result.json").read_text())
    found = {"model_fingerprint": fingerprint_model(model), "dtype": "float32"}
    (blocks / "result.json").write_text(json.dumps(result | found))
    with pytest.raises(InputError, match="was made of other weights than"):
        export_run(blocks, "transformers", tmp_path / "changed")
    assert not (tmp_path / "changed").exists()


def test_what_cannot_be_exported_is_said_in_one_line(
    halves: Path, blocks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for format in ("mergekit", "prune-layers"):
        refused(
            export, [str(halves), "--format", format], capsys, "half of a block is dropped: 1.mlp"
        )
    refused(export, [str(tmp_path / "no")], capsys, "must be the folder of a finished run")
    refused(export, [str(halves), "--format", "zip"], capsys, "`format` must be one of")
    refused(export, [str(halves)], capsys, "`output` is required")
    text = [str(halves), "--format", "layer-drop", "--export-from", "m"]
    refused(export, text, capsys, "`export_from` is for a checkpoint")
    refused(export, [], capsys, "RUN")
    (blocks / "model" / "config.json").unlink()
    refused(export, [str(blocks), "--format", "mergekit"], capsys, "no checkpoint in model/")
    (blocks / "result.json").write_text("{")
    refused(export, [str(blocks), "--format", "layer-drop"], capsys, "result.json cannot be used")


def test_what_is_no_finished_run_is_told_apart(
    blocks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    must = "must be the folder of a finished run with a pattern, but"
    text = ["--format", "layer-drop"]
    refused(export, [str(tmp_path / "no"), *text], capsys, f"{must} it does not exist")
    named = f"{must} it holds several runs: name one of them ({blocks})"
    refused(export, [str(tmp_path), *text], capsys, named)
    (blocks / "result.json").unlink()
    refused(export, [str(blocks), *text], capsys, f"{must} it has no result.json yet: finish it")


def test_one_layer_and_one_unit_are_spoken_of_in_the_singular(
    toy_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["--model", str(toy_checkpoint), "--quiet", "--pattern"]
    assert apply([*command, "0,1,2,3", "--output", str(tmp_path / "one")]) == 0
    assert capsys.readouterr().out.startswith(f"{tmp_path / 'one'}: 1 layer, ")
    assert apply([*command, "2", "--output", str(tmp_path / "four")]) == 0
    assert ", 2 was removed (counted" in (tmp_path / "four/README.md").read_text()


def test_the_library_call_knows_the_same_formats(blocks: Path) -> None:
    assert export_run(blocks, "prune-layers") == "1,3"
    with pytest.raises(InputError, match=", ".join(FORMATS)):
        export_run(blocks, "onnx")


@pytest.mark.parametrize("command", ["apply", "export"])
def test_help_needs_no_torch(command: str) -> None:
    code = (
        f"import sys; from evop_deap.{command} import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: print('torch' in sys.modules, file=sys.stderr)"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert finished.stderr.strip() == "False"
