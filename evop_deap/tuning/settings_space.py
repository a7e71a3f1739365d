"""The settings of the evolution that a study chooses, with their ranges."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evop_deap.base.errors import InputError
from evop_deap.base.user_text import shown
from evop_deap.heuristics.registry import METHODS, SCORERS
from evop_deap.settings.config_files import read_mapping
from evop_deap.settings.heuristic_names import BALANCED
from evop_deap.settings.search_config import SearchConfig

if TYPE_CHECKING:
    from optuna import Trial

Setting = int | float | str


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, inclusive; integers if `low` is one.

    Attributes:
        low: smallest value.
        high: largest value.
        log: whether values are drawn on a logarithmic scale.
    """

    low: int | float
    high: int | float
    log: bool = False

    @property
    def ends(self) -> tuple[Setting, ...]:
        """Values that must be valid for all values to be valid."""
        return self.low, self.high

    def as_plain(self) -> dict[str, Any]:
        """The range as in a YAML file."""
        return dataclasses.asdict(self)

    def suggest(self, trial: Trial, name: str) -> Setting:
        """Return Optuna's choice."""
        if isinstance(self.low, int):
            return trial.suggest_int(name, self.low, int(self.high), log=self.log)
        return trial.suggest_float(name, self.low, self.high, log=self.log)

    def nearest(self, setting: Setting) -> Setting:
        """Return the value in the range nearest to the number `setting`."""
        assert not isinstance(setting, str)
        return min(max(setting, self.low), self.high)

    def narrowed(self, name: str, given: Mapping[str, Any]) -> Range:
        """Return this range with other ends.

        Raises:
            InputError: an unknown key, or ends in the wrong order.
        """
        for key in given:
            if key not in ("low", "high", "log"):
                raise InputError(f"`space` {name} must give low, high or log, but has {shown(key)}")
        low, high = (
            _same_kind(name, given.get(key, own), own)
            for key, own in (("low", self.low), ("high", self.high))
        )
        log = given.get("log", self.log)
        if not isinstance(log, bool):
            raise InputError(f"`space` {name}: log must be true or false, but got {shown(log)}")
        if low > high or (log and low <= 0):
            above = " and above 0" if log else ""
            raise InputError(
                f"`space` {name}: low must be at most high{above}, but got {low} and {high}"
            )
        return Range(low, high, log)


@dataclass(frozen=True)
class Choices:
    """A choice between a few values without an order."""

    options: tuple[Setting, ...]

    @property
    def ends(self) -> tuple[Setting, ...]:
        """Values that must be valid for all values to be valid."""
        return self.options

    def as_plain(self) -> list[Setting]:
        """The choices as in a YAML file."""
        return list(self.options)

    def suggest(self, trial: Trial, name: str) -> Setting:
        """Return Optuna's choice."""
        chosen: Setting = trial.suggest_categorical(name, self.options)  # type: ignore[assignment]
        return chosen

    def nearest(self, setting: Setting) -> Setting:
        """Return `setting` if it is one of the values, else the first value."""
        return setting if setting in self.options else self.options[0]


def _as_setting(value: Any) -> Any:
    """Return a list of names as one string, because Optuna's choices are scalars."""
    return " ".join(value) if isinstance(value, tuple | list) else value


DEFAULTS: Mapping[str, Setting] = {
    option.name: _as_setting(option.default)
    for option in dataclasses.fields(SearchConfig)
    if option.default is not dataclasses.MISSING
}

# Names are those of the search's settings, so that a trial is a configuration file.
RANGES: Mapping[str, Range | Choices] = {
    "population": Range(2, 48, log=True),
    "offspring": Range(1, 48, log=True),
    "tournament": Range(1, 8),
    "crossover": Range(0.0, 1.0),
    "mutation": Range(0.0, 1.0),
    "neighbour": Range(0.0, 1.0),
    "more_swaps": Range(0.0, 0.8),
    "surrogate": Choices(("none", "linear", "gp")),
    "restart": Choices((0, 4, 8, 16)),
    "init": Choices((BALANCED, *SCORERS, " ".join(SCORERS))),
    "racing": Choices(("on", "off")),
    "racing_rungs": Range(2, 16, log=True),
    "racing_confidence": Range(0.6, 0.99),
}


@dataclass(frozen=True)
class SettingsSpace:
    """The settings that a study draws, and those it fixes.

    Attributes:
        ranges: ranges of the drawn settings, by name.
        fixed: values of the settings that are equal in every trial.

    Example:
        >>> space = SettingsSpace.from_mapping({"population": {"high": 16}, "racing": "on"})
        >>> space.ranges["population"], space.fixed, space.defaults["offspring"]
        (Range(low=2, high=16, log=True), {'racing': 'on'}, 4)
    """

    ranges: Mapping[str, Range | Choices] = dataclasses.field(default_factory=lambda: dict(RANGES))
    fixed: Mapping[str, Setting] = dataclasses.field(default_factory=dict)

    @classmethod
    def from_mapping(cls, given: Mapping[str, Any]) -> SettingsSpace:
        """Return the default space, narrowed by ends (a mapping), choices (a list) or a value.

        Raises:
            InputError: an unknown setting, or a value that the search does not accept.
        """
        ranges, fixed = dict(RANGES), {}
        for name, value in given.items():
            if name not in RANGES:
                near = difflib.get_close_matches(str(name), RANGES, n=1)
                hint = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(RANGES)}"
                raise InputError(f"`space` has an unknown setting {shown(name)}: {hint}")
            if isinstance(value, Mapping):
                ranges[name] = _with_ends(name, value)
            elif isinstance(value, list):
                ranges[name] = _choices(name, value)
            else:
                fixed[name] = _checked(name, value)
                del ranges[name]
        for name, drawn in ranges.items():
            for end in drawn.ends:
                _checked(name, end)
        if not ranges:
            raise InputError("`space` fixes every setting: leave one for the study to choose")
        return cls(ranges, fixed)

    @classmethod
    def from_file(cls, path: Path) -> SettingsSpace:
        """Return the space in a YAML file.

        Raises:
            InputError: the file cannot be read, or is invalid.
        """
        return cls.from_mapping(read_mapping(path, argument="space", line="setting: range"))

    def offered(self, scored: Collection[str]) -> SettingsSpace:
        """Return this space without values of `init` whose heuristics cannot run.

        Args:
            scored: heuristics with known scores, which need no model.

        Raises:
            InputError: no value of `init` is left.
        """
        drawn = self.ranges.get("init")
        options = drawn.options if isinstance(drawn, Choices) else (self.fixed["init"],)
        left = tuple(option for option in options if not _unknown(option, scored))
        if left == options:
            return self
        if not left:
            raise InputError(
                f"`space` init names {_unknown(options[0], scored)[0]}, which needs a model or "
                "scores in the landscape: "
                f"known are {', '.join([BALANCED, *scored])}"
            )
        if len(left) > 1:
            return dataclasses.replace(self, ranges={**self.ranges, "init": Choices(left)})
        ranges = {name: drawn for name, drawn in self.ranges.items() if name != "init"}
        return SettingsSpace(ranges, {**self.fixed, "init": left[0]})

    @property
    def defaults(self) -> dict[str, Setting]:
        """The defaults of the search, moved into the ranges if necessary."""
        return {name: drawn.nearest(DEFAULTS[name]) for name, drawn in self.ranges.items()}

    def suggest(self, trial: Trial) -> dict[str, Any]:
        """Return the settings of a trial, with the fixed ones."""
        drawn = {name: drawn.suggest(trial, name) for name, drawn in self.ranges.items()}
        return self.effective(drawn)

    def effective(self, params: Mapping[str, Setting]) -> dict[str, Any]:
        """Return the settings of the search for a trial's parameters."""
        settings: dict[str, Any] = {**DEFAULTS, **self.fixed, **params}
        # A tournament cannot be larger than the population.
        settings["tournament"] = min(settings["tournament"], settings["population"])
        settings["init"] = settings["init"].split()
        return {name: settings[name] for name in RANGES}

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values of the ranges and the fixed settings."""
        drawn = {name: drawn.as_plain() for name, drawn in self.ranges.items()}
        return {**drawn, **self.fixed}


def _unknown(init: Setting, scored: Collection[str]) -> list[str]:
    """Return the heuristics in `init` that need a model and have no known scores."""
    named = [METHODS[name] for name in str(init).split() if name in METHODS]
    return [method.name for method in named if method.needs_model and method.name not in scored]


def _with_ends(name: str, given: Mapping[str, Any]) -> Range:
    whole = RANGES[name]
    if not isinstance(whole, Range):
        options = ", ".join(map(str, whole.options))
        raise InputError(f"`space` {name} has no order: give a list of {options}")
    return whole.narrowed(name, given)


def _choices(name: str, given: list[Any]) -> Choices:
    options = tuple(_checked(name, value) for value in given)
    if not options or len(set(options)) < len(options):
        raise InputError(f"`space` {name} must list different values, but got {shown(given)}")
    return Choices(options)


def _checked(name: str, value: Any) -> Setting:
    """Return the value in the search's form.

    Raises:
        InputError: the search does not accept it; the message names valid values.
    """
    if isinstance(RANGES[name], Choices) and isinstance(value, bool):
        value = "on" if value else "off"  # YAML reads these words as booleans
    if name == "init" and isinstance(value, str):
        value = value.split()
    # A population that fits the tournament; `effective` limits it in a trial.
    competes = value if name == "tournament" and isinstance(value, int) else 1
    crowd = {"tournament": 1, "population": max(1, competes)}
    config = SearchConfig(model="demo", sparsity=(0.5,), **{**crowd, name: value})
    checked: Setting = _as_setting(getattr(config, name))
    return checked


def _same_kind(name: str, value: Any, like: int | float) -> int | float:
    """Return `value` as a number of the type of `like`."""
    kinds = int if isinstance(like, int) else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds):
        kind = "a whole number" if isinstance(like, int) else "a number"
        raise InputError(f"`space` {name}: an end must be {kind}, but got {shown(value)}")
    return type(like)(value)
