"""Bad input to healing ends in one line and exit code 2, with nothing half-written."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from forked_searches import run_and_kill
from healed_runs import pruned_toy
from small_disk import files_of_at_most
from toy_models import toy_model, toy_tokenizer

from evop_deap.base.locks import LOCK_FILE
from evop_deap.heal import main
from evop_deap.runs.heal.heal_folder import HealFolder


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a dense and a pruned toy and a text."""
    folder = tmp_path_factory.mktemp("toy")
    pruned_toy(folder, toy_model("llama"))
    return folder


def command(toy: Path, output: Path, *, source: str = "pruned") -> list[str]:
    return [
        str(toy / source), "--corpus", str(toy / "texts.jsonl"), "--window", "16", "--tokens",
        "6144", "--learning-rate", "0.01", "--loss", "ce", "--quiet", "--output", str(output),
    ]  # fmt: skip


def times(folder: Path) -> dict[Path, int]:
    """When each file below a folder was written, but for its locks."""
    paths = (path for path in folder.rglob("*") if path.name != LOCK_FILE)
    return {path: path.stat().st_mtime_ns for path in paths}


@pytest.fixture
def refused(toy: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., None]:
    """Runs a command, and checks that it is refused on one line and leaves all as it was.

    But for the lock of a killed process, which goes.
    """

    def run(words: list[str], says: str) -> None:
        before = times(tmp_path)
        capfd.readouterr()
        try:
            code = main(words)
        except SystemExit as stop:
            code = int(str(stop.code))
        out, err = capfd.readouterr()
        assert code == 2
        assert out == ""
        assert len(err.strip().splitlines()) == 1, err
        assert says in err
        after = times(tmp_path)
        assert after.keys() == before.keys()
        assert all(after[path] == before[path] for path in before if path.is_file())

    return run


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ("--max-steps 0", "`max_steps` must be at least 1, but got 0"),
        ("--max-steps -3", "`max_steps` must be at least 1, but got -3"),
        ("--max-steps nan", "argument --max-steps: invalid int value: 'nan'"),
        ("--max-seconds 0", "`max_seconds` must be above 0, but got 0.0"),
        ("--max-seconds nan", "`max_seconds` must be above 0 and finite, but got nan"),
        ("--learning-rate -1", "`learning_rate` must be above 0, but got -1.0"),
        ("--learning-rate nan", "`learning_rate` must be above 0 and finite, but got nan"),
        ("--learning-rate inf", "`learning_rate` must be above 0 and finite, but got inf"),
        ("--tokens -5", "`tokens` must be at least 2, but got -5"),
        ("--tokens 8", "`tokens` (8) must be at least `window` (16)"),
        ("--window 1", "`window` must be at least 2, but got 1"),
        ("--window 100000", "`window` must be at most the model's context of 128 tokens"),
        ("--seed -1", "`seed` must be at least 0, but got -1"),
        ("--device xyz", "`device` must be 'auto' or a device of this machine"),
        ("--loss l2", "`loss` must be 'kl' or 'ce' or 'mix', but got 'l2'"),
        ("--recipe slow", "`recipe` must be 'fast' or 'thorough', but got 'slow'"),
        ("--resume", "holds no training; leave out --resume"),
        ("--resume --overwrite", "`resume` and `overwrite` exclude each other"),
        ("--base no/such-model", "`base` no/such-model "),
        ("--base ./nowhere", "`base` names ./nowhere, which does not exist"),
    ],
)
def test_a_flag_is_refused(
    flags: str,
    says: str,
    toy: Path,
    tmp_path: Path,
    refused: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    refused([*command(toy, tmp_path / "healed"), *flags.split()], says)


def copied(toy: Path, folder: Path, name: str) -> Path:
    return Path(shutil.copytree(toy / name, folder / name))


def test_a_checkpoint_of_unknown_origin_is_refused(
    toy: Path, tmp_path: Path, refused: Callable[..., None]
) -> None:
    (copied(toy, tmp_path, "pruned") / "README.md").unlink()
    words = command(toy, tmp_path / "healed")[1:]
    refused([str(tmp_path / "pruned"), *words], "no model card that names its dense model")


@pytest.mark.parametrize(
    ("name", "says"), [("mistral", "is a mistral, but"), ("gpt2", "is a gpt2, but")]
)
def test_a_base_of_another_architecture_is_refused(
    name: str, says: str, toy: Path, tmp_path: Path, refused: Callable[..., None]
) -> None:
    (copied(toy, tmp_path, "pruned") / "README.md").unlink()
    model, tokenizer = toy_model(name), toy_tokenizer()
    model.resize_token_embeddings(len(tokenizer))
    model.save_pretrained(tmp_path / "other")
    tokenizer.save_pretrained(tmp_path / "other")
    words = [*command(toy, tmp_path / "healed")[1:], "--base", str(tmp_path / "other")]
    refused([str(tmp_path / "pruned"), *words], says)


@pytest.mark.parametrize("method", ["awq", "gptq", "bitsandbytes", "compressed-tensors", "hqq"])
def test_a_quantised_checkpoint_is_refused_before_a_package_is_asked_for(
    method: str, toy: Path, tmp_path: Path, refused: Callable[..., None]
) -> None:
    path = copied(toy, tmp_path, "pruned") / "config.json"
    about = {"quant_method": method, "load_in_4bit": True, "bits": 4}
    path.write_text(json.dumps({**json.loads(path.read_text()), "quantization_config": about}))
    words = command(toy, tmp_path / "healed")[1:]
    refused([str(path.parent), *words], "is quantised: heal the checkpoint in float32")


def test_adapters_alone_are_refused(
    toy: Path, tmp_path: Path, refused: Callable[..., None]
) -> None:
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text("{}")
    words = command(toy, tmp_path / "healed")[1:]
    refused([str(tmp_path / "adapter"), *words], "holds adapters and no checkpoint")


def test_a_run_over_several_budgets_is_not_one_to_heal(
    toy: Path, tmp_path: Path, refused: Callable[..., None]
) -> None:
    one = tmp_path / "runs" / "sparsity-0.2"
    one.mkdir(parents=True)
    for folder, sparsity in ((one.parent, [0.2, 0.4]), (one, 0.2)):
        settings = {"model": "demo", "sparsity": sparsity}
        (folder / "config.yaml").write_text(json.dumps(settings))
    words = command(toy, tmp_path / "healed")[1:]
    refused([str(tmp_path / "runs"), *words], f"of several budgets: name one of them ({one})")
    shutil.rmtree(one)  # killed before the first of them
    refused([str(tmp_path / "runs"), *words], "name one of them (none so far)")


@pytest.mark.parametrize(
    ("documents", "says"),
    [
        ([], "holds no text"),
        (["apple pear"], "give at least 8 documents with about 128 tokens, or a smaller --window"),
        (["apple pear plum fruit " * 9] * 3, "give at least 8 documents with about 128 tokens"),
        (["apple"] * 8, "those for validation do not fill one `window` of 16 tokens"),
    ],
)
def test_too_little_text_says_what_is_needed(
    documents: list[str], says: str, toy: Path, tmp_path: Path, refused: Callable[..., None]
) -> None:
    corpus = tmp_path / "few.jsonl"
    rows = [json.dumps({"text": f"{text} {i}"}) for i, text in enumerate(documents)]
    corpus.write_text("".join(f"{row}\n" for row in rows))
    refused([*command(toy, tmp_path / "healed"), "--corpus", str(corpus)], says)


def test_as_much_text_as_is_asked_for_is_enough(toy: Path, tmp_path: Path) -> None:
    rows = [json.dumps({"text": f"apple pear plum fruit {i} {i * i}"}) for i in range(8)]
    (tmp_path / "few.jsonl").write_text("".join(f"{row}\n" for row in rows))
    words = command(toy, tmp_path / "healed")
    assert main([*words, "--corpus", str(tmp_path / "few.jsonl")]) == 0


def test_a_folder_of_something_else_is_left_alone(
    toy: Path, tmp_path: Path, refused: Callable[..., None]
) -> None:
    output = tmp_path / "healed"
    words = command(toy, output)
    (output / "model").mkdir(parents=True)
    (output / "model" / "mine.txt").write_text("x")
    refused(words, "already holds model: choose another folder")
    refused([*words, "--overwrite"], "is not the folder of a training (no healing.json)")
    refused([*words, "--resume"], "holds no training")
    (output / "notes.txt").write_text("x")
    refused([*words, "--overwrite"], "holds notes.txt, which is of no training")


def test_an_output_that_cannot_be_a_folder_is_refused(
    toy: Path, tmp_path: Path, refused: Callable[..., None]
) -> None:
    (tmp_path / "file").write_text("x")
    refused(command(toy, tmp_path / "file"), "`output` must be a folder, but")
    refused(command(toy, tmp_path / "file" / "below"), f"{tmp_path / 'file'} is not a folder")
    refused(command(toy, Path("/dev/null/healed")), "cannot write /dev/null/healed")
    refused(command(toy, Path("/proc/healed")), "cannot write /proc/healed")


@pytest.fixture(scope="module")
def begun(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training that was killed."""
    folder = HealFolder(tmp_path_factory.mktemp("begun") / "healed")
    saved = folder.work / "trainer" / "checkpoint-2" / "trainer_state.json"
    words = command(toy, folder.path)
    assert run_and_kill(words, saved.exists, command="heal") == -signal.SIGKILL
    return folder.path


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("settings.json", "{", "settings.json cannot be read: start again with --overwrite"),
        ("settings.json", "[]", "settings.json cannot be read: start again with --overwrite"),
        ("settings.json", '{"windows": 3}', "settings.json has an unknown setting 'windows'"),
        ("settings.json", '{"max_steps": "many"}', "`max_steps` must be a whole number"),
        ("identity.json", "{", "identity.json cannot be read: start again with --overwrite"),
        ("identity.json", '{"source": "x"}', "has source 'x', but this one has"),
    ],
)
def test_a_training_whose_files_were_edited_is_not_resumed(
    name: str,
    content: str,
    says: str,
    begun: Path,
    toy: Path,
    tmp_path: Path,
    refused: Callable[..., None],
) -> None:
    output = Path(shutil.copytree(begun, tmp_path / "healed"))
    (output / "work" / name).write_text(content)
    refused([str(toy / "pruned"), "--quiet", "--output", str(output), "--resume"], says)


def test_a_training_of_another_model_is_not_resumed(
    begun: Path, toy: Path, tmp_path: Path, refused: Callable[..., None]
) -> None:
    output = Path(shutil.copytree(begun, tmp_path / "healed"))
    words = command(toy, output, source="dense")
    refused([*words, "--base", str(toy / "dense"), "--resume"], "has source")


@pytest.mark.parametrize("damage", ["cut off", "of another model"])
def test_weights_that_do_not_fit_are_not_resumed(
    damage: str, begun: Path, toy: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    output = Path(shutil.copytree(begun, tmp_path / "healed"))
    for path in output.glob("work/trainer/checkpoint-*/trained.safetensors"):
        other = (toy / "dense" / "model.safetensors").read_bytes()
        path.write_bytes(other if damage == "of another model" else other[:1000])
    capfd.readouterr()
    assert main([*command(toy, output), "--resume"]) == 2
    err = capfd.readouterr().err
    assert "trained.safetensors does not fit this model: start again with --overwrite" in err
    assert len(err.strip().splitlines()) == 1


def test_what_was_there_stays_until_the_new_training_begins(
    toy: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "healed"
    words = command(toy, output)
    assert main([*words, "--max-steps", "1"]) == 0
    before = (output / "healing.json").read_bytes()
    capfd.readouterr()
    assert main([*words, "--overwrite", "--window", "100000"]) == 2
    assert len(capfd.readouterr().err.strip().splitlines()) == 1
    assert (output / "healing.json").read_bytes() == before
    left = sorted(path.name for path in output.iterdir())
    assert left == ["healing.json", "model", "report.html"]
    assert main([*words, "--overwrite"]) == 0
    assert (output / "healing.json").read_bytes() != before


def test_a_full_disk_is_one_line_and_the_training_goes_on_after_it(
    toy: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "healed"
    words = command(toy, output)
    assert main([*words, "--output", str(tmp_path / "whole")]) == 0  # it has filled the cache
    capfd.readouterr()
    with files_of_at_most(20_000):
        assert main(words) == 2
    err = capfd.readouterr().err
    assert "cannot write" in err
    assert len(err.strip().splitlines()) == 1
    assert [path.name for path in output.iterdir()] == ["work"]
    assert main([*words, "--resume"]) == 0
    assert weights(output) == weights(tmp_path / "whole")


def weights(output: Path) -> bytes:
    return (output / "model" / "model.safetensors").read_bytes()
