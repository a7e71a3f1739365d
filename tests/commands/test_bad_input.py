"""Bad input ends in one clear line and exit code 2, with nothing written."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from small_disk import files_of_at_most
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    T5Config,
    T5ForConditionalGeneration,
    ViTConfig,
)

from evop_deap.base.files import sha256_of_text
from evop_deap.runs.storage.checkpoint import FORMAT
from evop_deap.search import main

README = Path(__file__).parents[2] / "README.md"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("corpus") / "texts.jsonl"
    rows = [{"text": f"Text {i} is about the number {i * i}. " * 4} for i in range(30)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def good_command(model: Path, corpus: Path, output: Path) -> list[str]:
    return [
        "--model", str(model), "--corpus", str(corpus), "--sparsity", "0.4",
        "--window", "16", "--tokens", "64", "--heldout-tokens", "64", "--population", "2",
        "--tournament", "2", "--offspring", "1", "--generations", "1", "--quiet",
        "--output", str(output),
    ]  # fmt: skip


@pytest.fixture
def good(toy_checkpoint: Path, corpus: Path, tmp_path: Path) -> list[str]:
    """A command that works; tests add what spoils it."""
    return good_command(toy_checkpoint, corpus, tmp_path / "run")


@pytest.fixture(scope="module")
def finished_once(
    toy_checkpoint: Path, corpus: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """What the good command writes."""
    output = tmp_path_factory.mktemp("once") / "run"
    assert main(good_command(toy_checkpoint, corpus, output)) == 0
    return output


@pytest.fixture
def finished(finished_once: Path, tmp_path: Path) -> Path:
    """The folder of the good command, which has run."""
    return Path(shutil.copytree(finished_once, tmp_path / "run"))


@pytest.fixture
def refused(good: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    """Runs the good command with more arguments and checks how it is refused."""

    def run(*more: str, says: str) -> None:
        before = sorted(path.name for path in tmp_path.iterdir())
        capfd.readouterr()
        try:
            code = main([*good, *more])
        except SystemExit as stop:
            code = stop.code
        out, err = capfd.readouterr()
        assert code == 2, (out, err)
        assert out == ""
        assert len(err.strip().splitlines()) == 1, err
        assert says in err
        assert sorted(path.name for path in tmp_path.iterdir()) == before

    return run


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--model", "no-such/model"], "`model` no-such/model cannot be loaded"),
        (["--model", "./nowhere"], "`model` names ./nowhere, which does not exist"),
        (["--model", "nothing.gguf"], "`model` names nothing.gguf, which does not exist"),
        (["--corpus", "nowhere.txt"], "`corpus` must be a file, a folder, or one of"),
        # Loading a model can take minutes: whether there is text is known before.
        (["--corpus", "nowhere.txt", "--model", "./nowhere"], "`corpus` must be a file, a folder"),
        (["--check-against", "nowhere.txt", "--model", "./nowhere"], "`check_against` must name"),
        (["--text-column", "body"], "'body' is not among its columns: text"),
        (["--sparsity", "0"], "`sparsity` must be above 0 and below 1, but got 0.0"),
        (["--sparsity", "1"], "`sparsity` must be above 0 and below 1, but got 1.0"),
        (["--sparsity", "-0.2"], "`sparsity` must be above 0 and below 1, but got -0.2"),
        (["--sparsity", "nan"], "`sparsity` must be above 0 and below 1"),
        (["--sparsity", "much"], "argument --sparsity: 'much' must be a share"),
        (["--sparsity", "0.05"], "rounds to none of 5 units"),
        (["--sparsity", "0.95"], "rounds to all of 5 units"),
        (["--protect", "0-3"], "`protect` leaves 1 of 5 units, fewer than the 2 to drop"),
        (["--protect", "17"], "`protect` has the unknown unit '17'"),
        (["--window", "1"], "`window` must be at least 2"),
        (["--window", "256", "--tokens", "512", "--heldout-tokens", "512"], "context of 128"),
        (["--tokens", "8"], "`tokens` must be at least one `window` (16), but got 8"),
        (["--tokens", "-64"], "`tokens` must be at least 2"),
        (["--tokens", "1000000"], "`tokens` (1000000)"),
        (["--heldout-tokens", "1000000"], "`heldout_tokens` (1000000)"),
        (["--seed", "-1"], "`seed` must be at least 0"),
        (["--population", "0"], "`population` must be at least 1"),
        (["--offspring", "-1"], "`offspring` must be at least 1"),
        (["--generations", "-1"], "`generations` must be at least 0"),
        (["--max-evaluations", "0"], "`max_evaluations` must be at least 1"),
        (["--max-cost", "-1"], "`max_cost` must be above 0"),
        (["--max-seconds", "0"], "`max_seconds` must be above 0"),
        (["--patience", "-2"], "`patience` must be at least 1"),
        (["--tournament", "3"], "`tournament` must be at most `population` (2), but got 3"),
        (["--crossover", "2"], "`crossover` must be at least 0 and at most 1"),
        (
            ["--calibration", "best"],
            "`calibration` must be random, ccds or a folder written by evop_deap.calibrate",
        ),
        (["--device", "abacus"], "`device` must be 'auto' or a device of this machine"),
        (["--device", "meta"], "`device` must hold numbers"),
        (["--dtype", "float7"], "`dtype` must be 'auto' or 'float32' or 'bfloat16' or 'float16'"),
        (["--attn-implementation", "psychic"], '"psychic"` is not supported'),
        (["--no-such-flag"], "unrecognized arguments: --no-such-flag"),
        (["--patience", "many"], "argument --patience: invalid int value: 'many'"),
        (
            ["--generations", "many"],
            "argument --generations: 'many' must be a whole number such as 60, or off",
        ),
        (["--config", "nowhere.yaml"], "nowhere.yaml cannot be read"),
        (["--resume", "--overwrite"], "`resume` and `overwrite` exclude each other"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_bad_argument_is_refused(refused, more: list[str], says: str) -> None:
    refused(*more, says=says)


def test_a_device_that_is_not_here_is_refused(refused) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    refused("--device", "cuda", says="`device` must be 'auto' or a device of this machine")


def test_an_encoder_decoder_is_refused(refused, tmp_path: Path) -> None:
    config = T5Config(vocab_size=32, d_model=8, d_kv=4, d_ff=16, num_layers=2, num_heads=2)
    T5ForConditionalGeneration(config).save_pretrained(tmp_path / "t5")
    refused("--model", str(tmp_path / "t5"), says="is an encoder-decoder (t5)")


def test_a_model_that_sees_the_future_is_refused(
    refused, toy_checkpoint: Path, tmp_path: Path
) -> None:
    config = BertConfig(
        vocab_size=300, hidden_size=8, intermediate_size=8, num_hidden_layers=2,
        num_attention_heads=2, initializer_range=1.0,
    )  # fmt: skip
    BertForMaskedLM(config).save_pretrained(tmp_path / "bert")
    AutoTokenizer.from_pretrained(toy_checkpoint).save_pretrained(tmp_path / "bert")
    refused("--model", str(tmp_path / "bert"), says="not a causal language model")


def test_a_model_of_pictures_is_refused(refused, tmp_path: Path) -> None:
    ViTConfig(hidden_size=8, num_hidden_layers=2).save_pretrained(tmp_path / "vit")
    refused("--model", str(tmp_path / "vit"), says="does not list as a causal language model")


def test_a_model_that_overflows_is_refused(refused, toy_checkpoint: Path, tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(toy_checkpoint)
    with torch.no_grad():
        model.lm_head.weight *= 1e38
        model.lm_head.weight *= 1e38
    model.save_pretrained(tmp_path / "huge")
    AutoTokenizer.from_pretrained(toy_checkpoint).save_pretrained(tmp_path / "huge")
    refused("--model", str(tmp_path / "huge"), says="LlamaForCausalLM")


def halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ("files", "spoil", "says"),
    [
        ("config.json", Path.unlink, "has no config.json"),
        ("model.safetensors", Path.unlink, "no file named model.safetensors"),
        ("model.safetensors", halve, "incomplete metadata"),
        ("tokenizer*", Path.unlink, "tokenizer"),
    ],
    ids=["no config", "no weights", "half the weights", "no tokenizer"],
)
def test_an_incomplete_checkpoint_is_refused(
    refused,
    toy_checkpoint: Path,
    tmp_path: Path,
    files: str,
    spoil: Callable[[Path], None],
    says: str,
) -> None:
    broken = shutil.copytree(toy_checkpoint, tmp_path / "broken")
    for path in broken.glob(files):
        spoil(path)
    refused("--model", str(broken), says=says)


def test_a_tokenizer_of_another_model_is_refused(
    refused, toy_checkpoint: Path, tmp_path: Path
) -> None:
    small = AutoModelForCausalLM.from_pretrained(toy_checkpoint)
    small.resize_token_embeddings(50)
    small.save_pretrained(tmp_path / "small")
    AutoTokenizer.from_pretrained(toy_checkpoint).save_pretrained(tmp_path / "small")
    refused("--model", str(tmp_path / "small"), says="has embeddings for 50 tokens")


def test_weights_that_the_checkpoint_lacks_are_not_made_up(
    refused, toy_checkpoint: Path, tmp_path: Path
) -> None:
    broken = shutil.copytree(toy_checkpoint, tmp_path / "broken")
    config = json.loads((broken / "config.json").read_text())
    config["num_hidden_layers"] += 1
    (broken / "config.json").write_text(json.dumps(config))
    refused("--model", str(broken), says="lacks 9 weights")


def test_code_that_comes_with_a_checkpoint_does_not_run_unasked(
    refused, toy_checkpoint: Path, tmp_path: Path
) -> None:
    remote = shutil.copytree(toy_checkpoint, tmp_path / "remote")
    config = json.loads((remote / "config.json").read_text())
    config |= {"model_type": "evil", "auto_map": {"AutoConfig": "evil.EvilConfig"}}
    (remote / "config.json").write_text(json.dumps(config))
    (remote / "evil.py").write_text(f"open({str(tmp_path / 'owned')!r}, 'w')")
    refused("--model", str(remote), says="trust_remote_code")
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("empty.txt", "", "`corpus` empty.txt holds no text"),
        ("blank.jsonl", '{"text": " "}\n', "`corpus` blank.jsonl holds no text"),
        ("one.jsonl", '{"text": "only one document"}\n', "must hold at least 2 documents"),
        ("small.jsonl", '{"text": "a b"}\n{"text": "c d"}\n', "`heldout_tokens` (64) asks for"),
        ("broken.jsonl", '{"text": "a"}\n{"text": ', "broken.jsonl: JSON parse error"),
    ],
)
def test_a_corpus_that_is_empty_too_small_or_broken_is_refused(
    refused, tmp_path: Path, name: str, content: str, says: str
) -> None:
    (tmp_path / name).write_text(content)
    refused("--corpus", str(tmp_path / name), says=says)


def test_a_missing_column_lists_those_that_are_there(refused, tmp_path: Path) -> None:
    (tmp_path / "two.csv").write_text("title,body\na,b\nc,d\n")
    refused("--corpus", str(tmp_path / "two.csv"), says="its columns: title, body")


@pytest.mark.parametrize(
    ("text", "says"),
    [("populaton: 3", "did you mean 'population'?"), ("seed: wide", "`seed` must be a whole")],
)
def test_a_bad_configuration_file_is_refused(refused, tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    refused("--config", str(tmp_path / "config.yaml"), says=says)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--seed", "3"], "has seed 0, but got 3"),
        (["--sparsity", "0.2"], "has sparsity 0.4, but got 0.2"),
        (["--corpus", str(README)], "its calibration set is"),
        (["--protect", "0"], "has protect [], but got ['0']"),
    ],
)
def test_resuming_with_other_settings_is_refused(
    finished: Path, refused, more: list[str], says: str
) -> None:
    refused("--resume", *more, says=says)


def test_resuming_with_another_model_or_corpus_at_the_same_place_is_refused(
    good: list[str], refused, toy_checkpoint: Path, corpus: Path, tmp_path: Path
) -> None:
    model, text = tmp_path / "model", tmp_path / "texts.jsonl"
    shutil.copytree(toy_checkpoint, model)
    shutil.copy(corpus, text)
    places = ["--model", str(model), "--corpus", str(text)]
    assert main([*good, *places]) == 0
    shutil.copy(corpus, text)
    text.write_text(text.read_text().replace("number", "figure"))
    refused(*places, "--resume", says="belongs to another run: its calibration set is")
    shutil.copy(corpus, text)
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "rms_norm_eps": 1e-3}))
    refused(*places, "--resume", says="belongs to another run: its model is")


def of_another_version(text: str) -> str:
    payload = {**json.loads(text), "format": 99}
    del payload["sha256"]
    return json.dumps({"sha256": sha256_of_text(json.dumps(payload, sort_keys=True)), **payload})


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda text: text[: len(text) // 2], "checkpoint.json is damaged (not JSON)"),
        (lambda text: text.replace('"generation": 1', '"generation": 0'), "wrong checksum"),
        (of_another_version, f"has format 99, but this version reads {FORMAT}"),
    ],
    ids=["cut", "changed", "another version"],
)
def test_a_damaged_checkpoint_is_refused_and_left_alone(
    finished: Path, refused, damage: Callable[[str], str], says: str
) -> None:
    path = finished / "checkpoint.json"
    path.write_text(damage(path.read_text()))
    damaged = path.read_bytes()
    refused("--resume", says=says)
    assert path.read_bytes() == damaged


def test_an_output_below_a_file_is_refused(good: list[str], refused, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    refused("--output", str(tmp_path / "file" / "run"), says="cannot write")
    refused("--output", str(tmp_path / "file"), says="must be a folder")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_an_output_without_rights_is_refused(refused, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o555)
    refused("--output", str(tmp_path / "locked" / "run"), says="Permission denied")


def test_an_output_on_a_read_only_file_system_is_refused(refused) -> None:
    if not Path("/proc").is_dir():
        pytest.skip("no file system here that nobody can write to")
    refused("--output", "/proc/run", says="cannot write /proc/run")


@pytest.mark.parametrize(
    ("limit", "what"), [(7_500, "checkpoint.json"), (20_000, "model")], ids=["text", "weights"]
)
def test_a_full_disk_is_reported_and_earlier_files_stay_whole(
    good: list[str], tmp_path: Path, limit: int, what: str, capfd: pytest.CaptureFixture[str]
) -> None:
    less = ["--compensation-tokens", "64"]  # the manifest names every document
    with files_of_at_most(limit):
        assert main([*good, *less]) == 2
    (said,) = capfd.readouterr().err.strip().splitlines()
    assert f"cannot write {tmp_path / 'run' / what}: " in said
    assert "File too large" in said
    written = list((tmp_path / "run").iterdir())
    assert {"calibration.json", "config.yaml"} <= {path.name for path in written}
    for path in written:
        assert not path.name.startswith(".")
        assert path.name not in ("model", "result.json")
        if path.suffix == ".json":
            json.loads(path.read_text())
    assert main([*good, *less, "--resume"]) == 0
    assert (tmp_path / "run" / "result.json").exists()
