"""A run's mergekit recipe names weights that mergekit finds and can read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from evop_deap.base.errors import InputError
from evop_deap.models.formats import Drops
from evop_deap.runs.recipe_of_run import recipe_of_run
from evop_deap.settings.search_config import SearchConfig

DROPS = Drops.named(4, ["2"])


def named(**settings: Any) -> Any:
    """The model of the recipe of a run with these settings."""
    text = recipe_of_run(SearchConfig(sparsity=0.25, **settings), DROPS, "float16")
    models = [piece["sources"][0]["model"] for piece in yaml.safe_load(text)["slices"]]
    assert models[0] == models[1]
    return models[0]


def test_a_recipe_names_the_revision_that_was_searched() -> None:
    assert named(model="some/model") == "some/model"
    parts = {"path": "some/model", "revision": "v1"}
    assert named(model="some/model", revision="v1") == {"model": parts}
    assert named(model="demo", revision="v1") == named(model="demo") != "demo"


def test_a_recipe_names_a_folder_in_the_home_folder_in_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "model").mkdir()
    assert named(model="~/model", revision="v1") == str(tmp_path / "model")


def test_a_recipe_names_the_dense_original_of_quantised_weights() -> None:
    assert named(model="some/packed", revision="v1", export_from="some/dense") == "some/dense"


@pytest.mark.parametrize(("model", "quantised"), [("some/packed", True), ("dense.gguf", False)])
def test_no_recipe_names_weights_that_mergekit_cannot_read(model: str, quantised: bool) -> None:
    config = SearchConfig(model=model, sparsity=0.25)
    with pytest.raises(InputError, match=f"mergekit cannot read the weights of {model}"):
        recipe_of_run(config, DROPS, "float16", quantised=quantised)
