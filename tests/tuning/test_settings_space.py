"""Which settings a study draws, and what narrows them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evop_deap.base.errors import InputError
from evop_deap.heuristics.registry import SCORERS
from evop_deap.settings.search_config import SearchConfig
from evop_deap.tuning.settings_space import DEFAULTS, RANGES, Choices, Range, SettingsSpace


def drawn(space: SettingsSpace, seed: int) -> dict[str, Any]:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    return space.suggest(study.ask())


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000))
def test_whatever_is_drawn_is_a_configuration_of_the_search(seed: int) -> None:
    SearchConfig(model="demo", sparsity=0.2, **drawn(SettingsSpace(), seed))


def test_the_defaults_are_those_of_the_search_and_lie_in_their_ranges() -> None:
    config = SearchConfig(model="demo", sparsity=0.2).as_dict()
    space = SettingsSpace()
    assert space.effective(space.defaults) == {name: config[name] for name in RANGES}


def test_first_patterns_are_by_rules_that_need_no_model_or_have_looked_at_it() -> None:
    space = SettingsSpace()
    assert space.offered(SCORERS) is space
    fewer = space.offered(["block-influence"])
    assert fewer.ranges["init"] == Choices(("balanced", "block-influence"))
    assert fewer.defaults["init"] == "balanced"
    blind = space.offered([])
    assert blind.fixed == {"init": "balanced"}
    assert drawn(blind, 0)["init"] == ["balanced"]
    asking = SettingsSpace.from_mapping({"init": ["balanced", "sleb", "sleb taylor"]})
    assert asking.offered([]).ranges["init"] == Choices(("balanced", "sleb"))
    fixed = SettingsSpace.from_mapping({"init": "taylor"})
    assert fixed.effective({})["init"] == ["taylor"]
    with pytest.raises(InputError, match="init names taylor, .* known are balanced"):
        fixed.offered([])


@settings(max_examples=30)
@given(population=st.integers(2, 48), tournament=st.integers(1, 8))
def test_a_tournament_is_never_of_more_than_there_are(population: int, tournament: int) -> None:
    effective = SettingsSpace().effective({"population": population, "tournament": tournament})
    assert effective["tournament"] == min(tournament, population)
    assert effective.keys() == RANGES.keys()


def test_a_file_gives_ends_choices_or_a_value(tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(
        "population: {low: 4, high: 16}\ncrossover: {high: 0.5}\noffspring: [8, 16]\n"
        "racing: off\nmutation: 1\n"
    )
    space = SettingsSpace.from_file(path)
    assert space.ranges["population"] == Range(4, 16, log=True)
    assert space.ranges["crossover"] == Range(0.0, 0.5)
    assert space.ranges["offspring"] == Choices((8, 16))
    assert space.fixed == {"racing": "off", "mutation": 1.0}
    assert space.ranges.keys() | space.fixed.keys() == RANGES.keys()
    found = drawn(space, 0)
    assert 4 <= found["population"] <= 16
    assert found["offspring"] in (8, 16)
    assert (found["racing"], found["mutation"]) == ("off", 1.0)


def test_an_empty_file_narrows_nothing(tmp_path: Path) -> None:
    (tmp_path / "space.yaml").write_text("")
    assert SettingsSpace.from_file(tmp_path / "space.yaml") == SettingsSpace()


def test_defaults_that_a_narrower_range_leaves_out_are_moved_into_it() -> None:
    given = {"population": {"low": 20, "high": 30}, "offspring": [2, 3], "racing": [True, False]}
    space = SettingsSpace.from_mapping(given)
    assert space.defaults["population"] == 20
    assert space.defaults["offspring"] == 2
    assert space.defaults["racing"] == "on"
    assert space.defaults["crossover"] == DEFAULTS["crossover"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"populaton": 3}, "unknown setting 'populaton': did you mean 'population'?"),
        ({"xyz": 3}, "unknown setting 'xyz': known are population, offspring"),
        ({"population": {"low": 0}}, "low must be at most high and above 0, but got 0 and 48"),
        ({"population": {"low": 0, "log": False}}, "`population` must be at least 1, but got 0"),
        ({"population": {"low": 9, "high": 8}}, "low must be at most high and above 0"),
        ({"population": {"low": 2.5}}, "an end must be a whole number, but got 2.5"),
        ({"population": {"least": 2}}, "must give low, high or log, but has 'least'"),
        ({"population": {"log": 2}}, "log must be true or false, but got 2"),
        ({"crossover": {"low": "a"}}, "an end must be a number, but got 'a'"),
        ({"crossover": {"high": 1.5}}, "`crossover` must be at least 0 and at most 1"),
        ({"crossover": {"high": float("nan")}}, "`crossover` must be at least 0 and at most 1"),
        ({"crossover": {"log": True}}, "low must be at most high and above 0"),
        ({"crossover": -1}, "`crossover` must be at least 0 and at most 1"),
        ({"crossover": []}, "must list different values"),
        ({"crossover": [0.5, 0.5]}, "must list different values"),
        ({"tournament": 0}, "`tournament` must be at least 1, but got 0"),
        ({"tournament": "x"}, "`tournament` must be a whole number"),
        ({"init": "shortgpt"}, "`init` must be balanced, heuristics or some of"),
        ({"init": [""]}, "`init` must be balanced, heuristics or some of"),
        ({"restart": -1}, "`restart` must be at least 0, but got -1"),
        ({"racing": "maybe"}, "`racing` must be 'on' or 'off', but got 'maybe'"),
        ({"racing": {"low": 1}}, "racing has no order: give a list of on, off"),
        ({name: DEFAULTS[name] for name in RANGES}, "fixes every setting"),
    ],
)
def test_a_space_that_cannot_be_is_refused_by_name(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        SettingsSpace.from_mapping(given)


@pytest.mark.parametrize(("text", "message"), [("- 1", "holds a list"), ("a: [", "cannot be read")])
def test_a_file_that_is_no_space_is_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "space.yaml").write_text(text)
    with pytest.raises(InputError, match=message):
        SettingsSpace.from_file(tmp_path / "space.yaml")
    with pytest.raises(InputError, match="none.yaml cannot be read"):
        SettingsSpace.from_file(tmp_path / "none.yaml")


def test_a_whole_tournament_can_be_fixed_however_large() -> None:
    assert SettingsSpace.from_mapping({"tournament": 20}).fixed == {"tournament": 20}
