from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from evop_deap.base.errors import InputError
from evop_deap.settings.config_files import read_settings, settings_as_yaml
from evop_deap.settings.presets import layered_settings
from evop_deap.settings.search_config import SearchConfig


def config(**changes: Any) -> SearchConfig:
    return SearchConfig(**{"model": "demo", "sparsity": 0.2, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sparsity": 0}, "`sparsity` must be above 0 and below 1, but got 0"),
        ({"sparsity": 1.0}, "`sparsity` must be above 0 and below 1"),
        ({"sparsity": float("nan")}, "`sparsity` must be above 0 and below 1 and finite"),
        ({"sparsity": "0.2"}, "`sparsity` must be a number or a list of numbers, but got '0.2'"),
        ({"model": 3}, "`model` must be a text, but got 3"),
        ({"window": 1}, "`window` must be at least 2, but got 1"),
        ({"window": 2.5}, "`window` must be a whole number"),
        ({"window": True}, "`window` must be a whole number, but got True"),
        ({"tokens": 100}, "`tokens` must be at least one `window` \\(256\\), but got 100"),
        ({"heldout_tokens": 100}, "`heldout_tokens` must be at least one `window`"),
        ({"compensation_tokens": 100}, "`compensation_tokens` must be at least one `window`"),
        ({"method": "llm-drop"}, "`method` llm-drop is defined for `granularity` half"),
        ({"init": ("llm-drop",)}, "`init` llm-drop is defined for `granularity` half"),
        ({"init": ("angular",), "granularity": "half"}, "`granularity` block, but got half"),
        ({"tokens": -1}, "`tokens` must be at least 2, but got -1"),
        ({"seed": -1}, "`seed` must be at least 0"),
        ({"population": 0}, "`population` must be at least 1"),
        ({"offspring": 0}, "`offspring` must be at least 1"),
        ({"stop_when_sure": 0.4}, "`stop_when_sure` must be at least 0.5 and below 1"),
        ({"stop_when_sure": 1.0}, "`stop_when_sure` must be at least 0.5 and below 1"),
        ({"stop_when_sure": "of"}, "`stop_when_sure` must be a number"),
        ({"tournament": 13}, "`tournament` must be at most `population` \\(4\\), but got 13"),
        ({"crossover": 1.1}, "`crossover` must be at least 0 and at most 1"),
        ({"more_swaps": 1}, "`more_swaps` must be at least 0 and below 1"),
        ({"generations": -1}, "`generations` must be at least 0"),
        ({"max_evaluations": 0}, "`max_evaluations` must be at least 1"),
        ({"max_cost": 0}, "`max_cost` must be above 0"),
        ({"max_seconds": -3.0}, "`max_seconds` must be above 0"),
        ({"max_seconds": float("inf")}, "`max_seconds` must be above 0 and finite, but got inf"),
        ({"patience": 0}, "`patience` must be at least 1"),
        ({"protect": "0"}, "`protect` must be a list of texts"),
        ({"trust_remote_code": "yes"}, "`trust_remote_code` must be true or false"),
        ({"calibration": "best"}, "`calibration` must be random, ccds or a folder .* got 'best'"),
        ({"reducer": "pca"}, "`reducer` pca needs clusters, .*: add --calibration ccds"),
        ({"calibration": "a\0b"}, "`calibration` must be random, ccds or a folder"),
        ({"allocation": "fair"}, "`allocation` must be 'sqrt' or 'proportional' or 'equal'"),
        ({"min_cluster_size": 1}, "`min_cluster_size` must be at least 2, but got 1"),
    ],
)
def test_a_bad_value_is_refused_by_name_with_what_would_do(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        config(**changes)


def test_values_at_their_bounds_are_taken() -> None:
    config(crossover=0, mutation=1, neighbour=1.0, more_swaps=0, generations=0, window=2, tokens=2)
    assert config(max_cost=3).max_cost == 3.0
    assert config(generations=None).generations is None


def test_settings_survive_a_round_trip_through_yaml(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    first = config(protect=("0", "-1"), max_seconds=1.5, text_column="täxt")
    path.write_text(settings_as_yaml(first), encoding="utf-8")
    assert SearchConfig(**read_settings(path)) == first


@pytest.mark.parametrize("written", ["off", "null", "false"])
def test_the_limit_of_generations_is_switched_off_in_a_file(written: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"generations: {written}")
    assert read_settings(path) == {"generations": None}


@pytest.mark.parametrize("written", ["off", "null", "false"])
def test_the_rule_that_ends_a_sure_search_is_switched_off_in_a_file(
    written: str, tmp_path: Path
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"stop_when_sure: {written}")
    assert read_settings(path) == {"stop_when_sure": None}
    path.write_text(settings_as_yaml(config(stop_when_sure=None)))
    assert SearchConfig(**read_settings(path)).stopping.sure is None
    assert config().stopping.sure == 0.95


@pytest.mark.parametrize("name", ["compensate", "racing"])
def test_off_in_a_file_is_the_word_of_the_help(name: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"{name}: off")
    assert getattr(config(**read_settings(path)), name) == "off"


def test_numbers_in_a_list_of_blocks_are_names() -> None:
    assert config(protect=[0, -1]).protect == ("0", "-1")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("populaton: 3", "unknown key 'populaton': did you mean 'population'?"),
        ("xyz: 3", "unknown key 'xyz': known are model"),
        ("- 1", "must hold `name: value` lines, but holds a list"),
        ("a: [", "cannot be read"),
        ("!!python/object/apply:os.getcwd []", "cannot be read"),
    ],
)
def test_a_bad_configuration_file_is_refused(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_settings(path)


def test_a_missing_configuration_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere.yaml cannot be read"):
        read_settings(tmp_path / "nowhere.yaml")


def test_every_setting_has_help_and_plain_values() -> None:
    assert yaml.safe_load(settings_as_yaml(config())) == config().as_dict()


@pytest.mark.parametrize(
    ("written", "given"),
    [("sparsity: 0.3", {"budget": "units=1"}), ("budget: units=2", {"sparsity": "0.2"})],
)
def test_a_budget_by_flag_takes_the_place_of_one_of_the_other_kind_in_the_file(
    written: str, given: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(f"{written}\nwindow: 64\n")
    assert layered_settings(None, str(file), given) == {"window": 64, **given}
    more = layered_settings(None, str(file), {"seed": 1})
    assert more == {**read_settings(file), "seed": 1}
