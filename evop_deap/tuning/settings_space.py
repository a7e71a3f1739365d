"""What a study may set: the range of each setting of the evolution, and how to draw from it."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evop_deap.base.errors import InputError
from evop_deap.heuristics.registry import METHODS, SCORERS
from evop_deap.settings.config_files import read_mapping
from evop_deap.settings.search_config import BALANCED, SearchConfig

if TYPE_CHECKING:
    from optuna import Trial

Setting = int | float | str


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included, whole ones where `low` is.

    Attributes:
        low: the least.
        high: the most.
        log: drawn by their logarithm, for what matters in proportion.
    """

    low: int | float
    high: int | float
    log: bool = False

    @property
    def ends(self) -> tuple[Setting, ...]:
        """What must do for all of them to do."""
        return self.low, self.high

    def as_plain(self) -> dict[str, Any]:
        """As a YAML file gives it."""
        return dataclasses.asdict(self)

    def suggest(self, trial: Trial, name: str) -> Setting:
        """Optuna's choice."""
        if isinstance(self.low, int):
            return trial.suggest_int(name, self.low, int(self.high), log=self.log)
        return trial.suggest_float(name, self.low, self.high, log=self.log)

    def nearest(self, setting: Setting) -> Setting:
        """The one nearest to `setting`, which is a number."""
        assert not isinstance(setting, str)
        return min(max(setting, self.low), self.high)

    def narrowed(self, name: str, given: Mapping[str, Any]) -> Range:
        """This range with other ends.

        Raises:
            InputError: a name that a range has not, or ends in the wrong order.
        """
        for key in given:
            if key not in ("low", "high", "log"):
                raise InputError(f"`space` {name} must give low, high or log, but has '{key}'")
        low, high = (
            _same_kind(name, given.get(key, own), own)
            for key, own in (("low", self.low), ("high", self.high))
        )
        log = given.get("log", self.log)
        if not isinstance(log, bool):
            raise InputError(f"`space` {name}: log must be true or false, but got {log!r}")
        if low > high or (log and low <= 0):
            above = " and above 0" if log else ""
            raise InputError(
                f"`space` {name}: low must be at most high{above}, but got {low} and {high}"
            )
        return Range(low, high, log)


@dataclass(frozen=True)
class Choices:
    """One of a few values, with no order among them."""

    options: tuple[Setting, ...]

    @property
    def ends(self) -> tuple[Setting, ...]:
        """What must do for all of them to do."""
        return self.options

    def as_plain(self) -> list[Setting]:
        """As a YAML file gives it."""
        return list(self.options)

    def suggest(self, trial: Trial, name: str) -> Setting:
        """Optuna's choice."""
        chosen: Setting = trial.suggest_categorical(name, self.options)  # type: ignore[assignment]
        return chosen

    def nearest(self, setting: Setting) -> Setting:
        """`setting` where it is one of them, else the first."""
        return setting if setting in self.options else self.options[0]


def _as_setting(value: Any) -> Any:
    """A list of names in the one text that a choice is."""
    return " ".join(value) if isinstance(value, tuple | list) else value


DEFAULTS: Mapping[str, Setting] = {
    option.name: _as_setting(option.default)
    for option in dataclasses.fields(SearchConfig)
    if option.default is not dataclasses.MISSING
}

# Each is a setting of the search by its own name: what a study finds is a configuration file.
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
    """Which settings a study draws, and from what.

    Attributes:
        ranges: what is drawn, by the setting's name.
        fixed: settings that every trial has.

    Example:
        >>> space = SettingsSpace.from_mapping({"population": {"high": 16}, "racing": "on"})
        >>> space.ranges["population"], space.fixed, space.defaults["offspring"]
        (Range(low=2, high=16, log=True), {'racing': 'on'}, 4)
    """

    ranges: Mapping[str, Range | Choices] = dataclasses.field(default_factory=lambda: dict(RANGES))
    fixed: Mapping[str, Setting] = dataclasses.field(default_factory=dict)

    @classmethod
    def from_mapping(cls, given: Mapping[str, Any]) -> SettingsSpace:
        """The whole space, narrowed: a mapping gives ends, a list choices, a value fixes.

        Raises:
            InputError: an unknown setting, or a value that the search does not take.
        """
        ranges, fixed = dict(RANGES), {}
        for name, value in given.items():
            if name not in RANGES:
                near = difflib.get_close_matches(str(name), RANGES, n=1)
                hint = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(RANGES)}"
                raise InputError(f"`space` has an unknown setting '{name}': {hint}")
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
        """The space in a YAML file.

        Raises:
            InputError: the file cannot be read, or says what cannot be.
        """
        return cls.from_mapping(read_mapping(path, argument="space", line="setting: range"))

    def offered(self, scored: Collection[str]) -> SettingsSpace:
        """This space without beginnings that need a model that is not there.

        Args:
            scored: the heuristics whose scores of the model are known.

        Raises:
            InputError: no beginning is left.
        """
        drawn = self.ranges.get("init")
        options = drawn.options if isinstance(drawn, Choices) else (self.fixed["init"],)
        left = tuple(option for option in options if not _unknown(option, scored))
        if left == options:
            return self
        if not left:
            raise InputError(
                f"`space` init asks {_unknown(options[0], scored)[0]}, which looks into a model, "
                "but a landscape keeps no look of it: "
                f"known are {', '.join([BALANCED, *scored])}"
            )
        if len(left) > 1:
            return dataclasses.replace(self, ranges={**self.ranges, "init": Choices(left)})
        ranges = {name: drawn for name, drawn in self.ranges.items() if name != "init"}
        return SettingsSpace(ranges, {**self.fixed, "init": left[0]})

    @property
    def defaults(self) -> dict[str, Setting]:
        """What a search does unless told otherwise, moved into ranges that leave it out."""
        return {name: drawn.nearest(DEFAULTS[name]) for name, drawn in self.ranges.items()}

    def suggest(self, trial: Trial) -> dict[str, Any]:
        """The settings of a trial, those that are fixed among them."""
        drawn = {name: drawn.suggest(trial, name) for name, drawn in self.ranges.items()}
        return self.effective(drawn)

    def effective(self, params: Mapping[str, Setting]) -> dict[str, Any]:
        """The settings that a trial with these parameters searches with."""
        settings: dict[str, Any] = {**DEFAULTS, **self.fixed, **params}
        # A tournament of more than there are is one of the whole population.
        settings["tournament"] = min(settings["tournament"], settings["population"])
        settings["init"] = settings["init"].split()
        return {name: settings[name] for name in RANGES}

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON of everything that decides what is drawn."""
        drawn = {name: drawn.as_plain() for name, drawn in self.ranges.items()}
        return {**drawn, **self.fixed}


def _unknown(init: Setting, scored: Collection[str]) -> list[str]:
    """The heuristics of a beginning that need a model, and whose scores are not known."""
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
        raise InputError(f"`space` {name} must list different values, but got {given}")
    return Choices(options)


def _checked(name: str, value: Any) -> Setting:
    """The value as the search takes it.

    Raises:
        InputError: it does not; the message says what would do.
    """
    if isinstance(RANGES[name], Choices) and isinstance(value, bool):
        value = "on" if value else "off"  # YAML takes these words for true and false
    if name == "init" and isinstance(value, str):
        value = value.split()
    # As many to choose from as compete: the study sees to that itself.
    competes = value if name == "tournament" and isinstance(value, int) else 1
    crowd = {"tournament": 1, "population": max(1, competes)}
    config = SearchConfig(model="", sparsity=(0.5,), **{**crowd, name: value})
    checked: Setting = _as_setting(getattr(config, name))
    return checked


def _same_kind(name: str, value: Any, like: int | float) -> int | float:
    """`value` as a number of the kind of `like`."""
    kinds = int if isinstance(like, int) else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds):
        kind = "a whole number" if isinstance(like, int) else "a number"
        raise InputError(f"`space` {name}: an end must be {kind}, but got {value!r}")
    return type(like)(value)
