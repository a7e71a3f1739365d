"""Compensation in a whole run: what is written, what is said, and what goes on after a kill."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from own_text import own_corpus, quick_search
from transformers import AutoModelForCausalLM

from evop_deap.apply import main as apply
from evop_deap.export import main as export
from evop_deap.models.anatomy.probe import run_forward
from evop_deap.runs.card_fields import card_field
from evop_deap.runs.run_search import run_search
from evop_deap.runs.stages import recover as stage
from evop_deap.runs.storage.result import SearchResult, result_table
from evop_deap.settings.search_config import SearchConfig


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A quick search of a toy model over text that it has written itself."""
    model, corpus = own_corpus(tmp_path_factory.mktemp("own"), 160)
    return quick_search(model, corpus)


@pytest.fixture(scope="module")
def run(settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run that is compensated."""
    output = tmp_path_factory.mktemp("runs") / "one"
    run_search(SearchConfig(**settings), output)
    return output


def _result(run: Path) -> SearchResult:
    return SearchResult.from_dict(json.loads((run / "result.json").read_text()))


def test_a_run_hands_over_the_compensated_model(run: Path):
    result = _result(run)
    about = result.compensation
    assert about is not None
    assert about["taken"]
    for text in (result.calibration, result.heldout):
        assert list(text.loss) == ["dense", "pruned", "compensated"]
        assert text.loss["compensated"] < text.loss["pruned"]
    validation = about["validation"]
    assert validation["compensated"] < validation["pruned"]
    assert about["cost"] > 0
    layers = [layer for cut in about["cuts"] for layer in cut["layers"]]
    assert layers
    dense = AutoModelForCausalLM.from_pretrained(result.model).state_dict()
    kept = [int(name) for name in result.kept]
    written = AutoModelForCausalLM.from_pretrained(run / "model").state_dict()
    for name, tensor in written.items():
        source = name
        if name.startswith("model.layers."):
            position, _, rest = name.removeprefix("model.layers.").partition(".")
            source = f"model.layers.{kept[int(position)]}.{rest}"
        changed = source.rpartition(".")[0] in layers
        assert torch.equal(tensor, dense[source]) != changed


def test_the_dense_model_has_one_loss_on_calibration_text(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    run_search(SearchConfig(**{**settings, "dtype": "bfloat16"}), tmp_path / "run")
    result = _result(tmp_path / "run")
    assert result.fitness.compensated
    assert result.calibration.loss["dense"] == result.fitness.dense


def test_what_is_reported_was_not_compensated_on(run: Path):
    manifest = json.loads((run / "calibration.json").read_text())
    used = {one["id"] for one in manifest["compensation"]["documents"]}
    for part in ("heldout", "validation"):
        assert not used & {one["id"] for one in manifest[part]["documents"]}


def test_table_card_notebook_and_page_show_all_three(run: Path):
    result = _result(run)
    figure = f"{result.heldout.perplexity['compensated']:.2f}"
    layer = result.compensation["cuts"][0]["layers"][0]  # type: ignore[index]
    table = result_table(result)
    assert "compensated" in table.splitlines()[0]
    assert figure in table
    assert "compensated in" in table
    card = (run / "model" / "README.md").read_text()
    assert "| pruned | compensated |" in card
    assert layer in card
    assert "nothing else was changed" not in card
    assert "compensated" in result._repr_html_()
    page = (run / "report.html").read_text()
    assert "What was changed before each cut" in page
    assert layer in page


def test_text_formats_say_that_they_carry_the_pattern_alone(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert (run / "mergekit.yaml").read_text().startswith("# The pattern alone")
    assert export([str(run), "--format", "mergekit"]) == 0
    assert capsys.readouterr().out.startswith("# The pattern alone")
    assert export([str(run), "--output", str(tmp_path / "again"), "--quiet"]) == 0
    assert "the pattern alone" in capsys.readouterr().out
    assert "nothing else was changed or trained" in (tmp_path / "again" / "README.md").read_text()
    # It can be read back as any pattern.
    words = ["--pattern", str(run / "mergekit.yaml"), "--output", str(tmp_path / "more")]
    assert apply(["--model", _result(run).model, *words, "--quiet"]) == 0


def test_off_is_the_pattern_and_nothing_else(settings: dict[str, Any], tmp_path: Path):
    result = run_search(SearchConfig(**settings, compensate="off"), tmp_path / "run")
    assert isinstance(result, SearchResult)
    assert result.compensation is None
    assert list(result.heldout.loss) == ["dense", "pruned"]
    assert "compensat" not in result_table(result)
    assert not (tmp_path / "run" / "mergekit.yaml").read_text().startswith("#")


def test_the_uncompensated_model_is_exported_where_validation_text_says_so(
    settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from evop_deap.runs import compensating

    worse = iter([1.0, 2.0])
    monkeypatch.setattr(compensating, "loss_of_changes", lambda *args: next(worse))
    result = run_search(SearchConfig(**settings), tmp_path / "run")
    assert isinstance(result, SearchResult)
    assert result.compensation is not None
    assert not result.compensation["taken"]
    assert "not compensated: it does not lower the loss on validation text" in result_table(result)
    dense = AutoModelForCausalLM.from_pretrained(result.model).state_dict()
    written = AutoModelForCausalLM.from_pretrained(tmp_path / "run" / "model").state_dict()
    assert all(any(torch.equal(t, other) for other in dense.values()) for t in written.values())


def test_a_run_killed_while_it_exports_goes_on_with_the_same_model(
    settings: dict[str, Any], run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from evop_deap.models.export import export_checkpoint as module

    def killed(*args: Any, **kwargs: Any) -> None:
        raise KeyboardInterrupt

    config, output = SearchConfig(**settings), tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(module, "export_checkpoint", killed)
        with pytest.raises(KeyboardInterrupt):
            run_search(config, output)
    calls: list[Any] = []
    with monkeypatch.context() as patch:
        made = stage.compensated
        patch.setattr(stage, "compensated", lambda *args: (calls.append(args), made(*args))[1])
        run_search(config, output, resume=True)
    assert calls  # the model was in the other process's memory
    one, two = _result(run), _result(output)
    assert one.heldout == two.heldout
    paths = (run / "model", output / "model")
    first, second = (AutoModelForCausalLM.from_pretrained(path).state_dict() for path in paths)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_too_little_text_is_said(settings: dict[str, Any], tmp_path: Path):
    config = SearchConfig(**{**settings, "compensation_tokens": 32})
    result = run_search(config, tmp_path / "run")
    assert isinstance(result, SearchResult)
    assert result.compensation is not None
    assert "2 or more" in result.compensation["reason"]


def test_apply_compensates_for_a_known_pattern(
    settings: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    sizes = ("window", "tokens", "heldout_tokens", "compensation_tokens")
    flags = [w for n in sizes for w in ("--" + n.replace("_", "-"), str(settings[n]))]
    words = ["--model", settings["model"], "--pattern", "2"]
    text = ["--corpus", settings["corpus"], *flags]
    assert apply([*words, *text, "--compensate", "--output", str(tmp_path / "with")]) == 0
    out, err = capsys.readouterr()
    (outcome,) = (line for line in err.splitlines() if line.startswith("compensated: "))
    assert out.strip().endswith(f"; {outcome}")
    assert apply([*words, "--output", str(tmp_path / "without"), "--quiet"]) == 0
    assert "compensated" not in capsys.readouterr().out
    card = (tmp_path / "with" / "README.md").read_text()
    assert "model.layers.1.mlp.down_proj" in card
    ids = torch.arange(3, 40)[None]
    paths = (tmp_path / "with", tmp_path / "without")
    one, two = (run_forward(AutoModelForCausalLM.from_pretrained(path), ids) for path in paths)
    assert not torch.allclose(one, two)
    # Both are of the same dense model, by which heal knows it.
    name = "evop_base_fingerprint"
    assert card_field(card, name, "one") == card_field(
        (tmp_path / "without" / "README.md").read_text(), name, "other"
    )


def test_bad_input_is_one_line(
    settings: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    words = ["--model", settings["model"], "--pattern", "2", "--output", str(tmp_path / "out")]
    assert apply([*words, "--compensate"]) == 2
    assert "`corpus` is required with --compensate" in capsys.readouterr().err
    assert apply([*words, "--corpus", settings["corpus"]]) == 2
    assert "`corpus` is about text to compensate on: add --compensate" in capsys.readouterr().err
    assert apply([*words, "--compensate", "--corpus", str(tmp_path / "no.txt")]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()[-1:]) == 1
    assert not (tmp_path / "out").exists()
    with pytest.raises(Exception, match="`compensate` must be 'auto' or 'full' or 'map'"):
        SearchConfig(**settings, compensate="most")


def test_a_run_is_not_resumed_with_another_compensation(
    settings: dict[str, Any], run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    from evop_deap.search import main as search

    assert search(["--resume", "--output", str(run), "--compensate", "off", "--quiet"]) == 2
    assert "has compensate auto, but got off" in capsys.readouterr().err
    config = SearchConfig(**settings, compensate="off")
    run_search(config, tmp_path / "off")
    flags = ["--resume", "--output", str(tmp_path / "off"), "--compensate", "auto", "--quiet"]
    assert search(flags) == 2
    assert "has compensate off, but got auto" in capsys.readouterr().err


def test_a_search_evaluates_patterns_compensated(settings: dict[str, Any], run: Path):
    result = _result(run)
    assert result.fitness.compensated
    assert result.fitness.pruned < result.calibration.loss["pruned"]
    assert "perplexity of compensated models" in (run / "model" / "README.md").read_text()
    assert result.runner_up is not None
    assert result.runner_up.compensated
    assert "both compensated" in result_table(result)


@pytest.mark.parametrize(
    "other", [{"compensate": "off"}, {"compensate": "scale"}, {"method": "last"}]
)
def test_what_does_not_compensate_in_its_search_evaluates_patterns_as_they_are(
    settings: dict[str, Any], tmp_path: Path, other: dict[str, str]
):
    result = run_search(SearchConfig(**settings, **other), tmp_path / "run")
    assert isinstance(result, SearchResult)
    assert not result.fitness.compensated
    assert result.fitness.pruned == pytest.approx(result.calibration.loss["pruned"], abs=1e-5)
    if result.runner_up is not None:
        assert not result.runner_up.compensated
    assert "both compensated" not in result_table(result)


def test_a_search_with_heuristics_compares_them_compensated(
    settings: dict[str, Any], tmp_path: Path
):
    config = SearchConfig(**settings, init=("last", "angular"))
    result = run_search(config, tmp_path / "run")
    assert isinstance(result, SearchResult)
    assert result.heuristics
    assert all(rival.compensated for rival in result.heuristics)
    assert "heuristic" not in result_table(result).splitlines()[0]
    assert SearchResult.from_dict(result.as_dict()).heuristics == result.heuristics


def test_fits_are_charged_alike_with_a_cold_and_a_warm_cache(
    settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("EVOP_CACHE", str(tmp_path / "cache"))
    costs = []
    for name in ("cold", "warm"):
        result = run_search(SearchConfig(**{**settings, "cache": True}), tmp_path / name)
        assert isinstance(result, SearchResult)
        costs.append(result.cost)
    assert costs[0] == costs[1]
    off = run_search(SearchConfig(**{**settings, "generations": 0}), tmp_path / "no")
    plain = SearchConfig(**{**settings, "generations": 0, "compensate": "off"})
    without = run_search(plain, tmp_path / "plain")
    assert off.cost > without.cost
