"""Everything that decides what a search finds, as one frozen value.

The command line, the configuration file and the library share it: names, defaults, help and
bounds stand here and nowhere else.
"""

from __future__ import annotations

import dataclasses
import math
import operator
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evop_deap.errors import InputError
from evop_deap.fitness.kinds import FITNESSES

MODEL = "model"
CALIBRATION = "calibration"
BUDGET = "what to drop"
FITNESS = "how patterns are judged"
EVOLUTION = "evolution"
STOPPING = "when to stop (the first limit reached)"

_REQUIRED = object()
_BOUNDS = {
    "least": (operator.ge, "at least"),
    "most": (operator.le, "at most"),
    "above": (operator.gt, "above"),
    "below": (operator.lt, "below"),
}


def _option(
    default: Any,
    group: str,
    text: str,
    *,
    metavar: str | None = None,
    choices: tuple[str, ...] = (),
    **bounds: Any,
) -> Any:
    """A field with its help and bounds: `least` and `most` included, `above` and `below` not."""
    metadata = {
        "group": group,
        "help": text,
        "metavar": metavar,
        "choices": choices,
        "bounds": bounds,
    }
    if default is _REQUIRED:
        return field(metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """The settings of a search; see each field's help in `python -m evop_deap.search --help`.

    Example:
        >>> config = SearchConfig(model="demo", sparsity=0.2)
        >>> config.window, config.replace(seed=3).seed
        (256, 3)

    Raises:
        InputError: a value of the wrong type or out of its bounds.
    """

    model: str = _option(
        _REQUIRED, MODEL, "hub id, checkpoint folder, GGUF file, or demo (SmolLM2-135M-Instruct)"
    )
    revision: str | None = _option(None, MODEL, "branch, tag or commit of a hub id", metavar="REV")
    dtype: str = _option(
        "auto",
        MODEL,
        "auto, float32, bfloat16 or float16; auto is the fastest here that keeps what is stored",
    )
    device: str = _option("auto", MODEL, "auto, cpu, cuda, cuda:1, mps, ...")
    attn_implementation: str | None = _option(
        None,
        MODEL,
        "as transformers spells it: eager, sdpa, flash_attention_2, ...",
        metavar="NAME",
    )
    trust_remote_code: bool = _option(
        False, MODEL, "let code that comes with the checkpoint run on this machine"
    )

    corpus: str = _option(
        "demo",
        CALIBRATION,
        "text, jsonl, csv or parquet file, a folder of them, wikitext2, c4, fineweb-edu, or demo "
        "(prose and code that every Python carries, for trying out)",
    )
    text_column: str | None = _option(
        None,
        CALIBRATION,
        "column that holds the text (default: text, or the only one)",
        metavar="NAME",
    )
    calibration: str = _option(
        "random",
        CALIBRATION,
        "how calibration documents are chosen: random (uniform, seeded)",
        choices=("random",),
    )
    window: int = _option(256, CALIBRATION, "tokens of a window", metavar="N", least=2)
    tokens: int = _option(
        2048, CALIBRATION, "tokens to calibrate on, cut to whole windows", metavar="N", least=2
    )
    heldout_tokens: int = _option(
        8192, CALIBRATION, "tokens of other documents to report on", metavar="N", least=2
    )

    sparsity: float = _option(
        _REQUIRED, BUDGET, "share of the blocks to drop", metavar="SHARE", above=0, below=1
    )
    protect: tuple[str, ...] = _option(
        (), BUDGET, "blocks to keep: 0 5-7 -1 (the last)", metavar="BLOCK"
    )

    fitness: str = _option(
        "ce",
        FITNESS,
        "ce, cross-entropy of the text (its exponential is perplexity), or kl, divergence from "
        "the dense model's predictions",
        choices=FITNESSES,
    )
    racing: str = _option(
        "on",
        FITNESS,
        "judge children on a part of the windows first, and in full only those that may survive; "
        "off is the exact search",
        choices=("on", "off"),
    )
    racing_rungs: int = _option(
        8, FITNESS, "parts that a race sees the windows in, about", metavar="N", least=1
    )
    racing_confidence: float = _option(
        0.95,
        FITNESS,
        "how sure a race must be that a child does not survive",
        metavar="P",
        least=0.5,
        below=1,
    )
    memory_budget: int = _option(
        512, FITNESS, "MiB of hidden states held while patterns are judged", metavar="MIB", least=1
    )
    cache: bool = _option(
        True,
        FITNESS,
        "take losses that earlier searches kept in the user's cache, and keep new ones",
    )

    seed: int = _option(0, EVOLUTION, "of everything that is random", metavar="N", least=0)
    population: int = _option(
        8, EVOLUTION, "patterns that survive a generation (μ)", metavar="N", least=1
    )
    offspring: int = _option(
        16, EVOLUTION, "new patterns evaluated a generation (λ)", metavar="N", least=1
    )
    tournament: int = _option(
        3, EVOLUTION, "patterns that compete to be a parent", metavar="N", least=1
    )
    crossover: float = _option(
        0.5, EVOLUTION, "probability that a child has two parents", metavar="P", least=0, most=1
    )
    mutation: float = _option(
        0.5,
        EVOLUTION,
        "probability that a child of two is mutated too",
        metavar="P",
        least=0,
        most=1,
    )
    neighbour: float = _option(
        0.25,
        EVOLUTION,
        "share of mutations that move a dropped block to a neighbour",
        metavar="P",
        least=0,
        most=1,
    )
    more_swaps: float = _option(
        0.3,
        EVOLUTION,
        "probability of each further swap of a mutation",
        metavar="P",
        least=0,
        below=1,
    )

    generations: int | None = _option(
        20, STOPPING, "generations after the first population", metavar="N", least=0
    )
    max_evaluations: int | None = _option(
        None, STOPPING, "patterns evaluated", metavar="N", least=1
    )
    max_cost: float | None = _option(
        None,
        STOPPING,
        "work, in dense forward passes over the calibration set",
        metavar="COST",
        above=0,
    )
    max_seconds: float | None = _option(
        None, STOPPING, "time spent searching", metavar="S", above=0
    )
    patience: int | None = _option(
        None, STOPPING, "generations in a row without a better pattern", metavar="N", least=1
    )

    def __post_init__(self) -> None:
        hints = typing.get_type_hints(type(self))
        for option in dataclasses.fields(self):
            value, choices = getattr(self, option.name), option.metadata["choices"]
            value = _coerced(option.name, value, hints[option.name])
            _check_bounds(option.name, value, option.metadata["bounds"])
            if choices and value not in choices:
                known = " or ".join(f"'{choice}'" for choice in choices)
                raise InputError(f"`{option.name}` must be {known}, but got '{value}'")
            object.__setattr__(self, option.name, value)
        if self.tournament > self.population:
            raise InputError(
                f"`tournament` must be at most `population` ({self.population}), "
                f"but got {self.tournament}"
            )
        if self.tokens < self.window:
            raise InputError(
                f"`tokens` must be at least one `window` ({self.window}), but got {self.tokens}"
            )
        if self.heldout_tokens < self.window:
            raise InputError(
                f"`heldout_tokens` must be at least one `window` ({self.window}), "
                f"but got {self.heldout_tokens}"
            )

    def replace(self, **changes: Any) -> SearchConfig:
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    def as_dict(self) -> dict[str, Any]:
        """The fields as plain JSON and YAML values."""
        plain = dataclasses.asdict(self)
        return {name: list(v) if isinstance(v, tuple) else v for name, v in plain.items()}


def check_names(settings: Mapping[str, Any], *, source: str) -> None:
    """Refuse settings that no field has, naming the nearest one.

    Raises:
        InputError: an unknown name.
    """
    import difflib

    known = [option.name for option in dataclasses.fields(SearchConfig)]
    for name in settings:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(known)}"
            raise InputError(f"{source} has an unknown key '{name}': {hint}")


def read_settings(path: Path) -> dict[str, Any]:
    """The settings in a YAML file.

    Raises:
        InputError: the file cannot be read, is not a mapping, or has an unknown key.
    """
    import yaml

    try:
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"`config` {path} cannot be read: {reason}") from error
    if settings is None:
        return {}
    if not isinstance(settings, dict):
        raise InputError(
            f"`config` {path} must hold `name: value` lines, but holds a {type(settings).__name__}"
        )
    check_names(settings, source=f"`config` {path}")
    return {name: _word(name, value) for name, value in settings.items()}


def _word(name: str, value: Any) -> Any:
    """YAML takes the words on and off for true and false."""
    (option,) = (option for option in dataclasses.fields(SearchConfig) if option.name == name)
    if isinstance(value, bool) and "on" in option.metadata["choices"]:
        return "on" if value else "off"
    return value


def settings_as_yaml(config: SearchConfig) -> str:
    """The configuration as a YAML file that `--config` takes."""
    import yaml

    return yaml.safe_dump(config.as_dict(), sort_keys=False, allow_unicode=True)


def _coerced(name: str, value: Any, kind: Any) -> Any:
    """The value as its field's type; a whole number may stand for a float, a list for a tuple."""
    choices = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    if value is None and type(None) in choices:
        return None
    (plain,) = (choice for choice in choices if choice is not type(None))
    if plain == tuple[str, ...]:
        if isinstance(value, list | tuple) and not any(isinstance(v, bool) for v in value):
            return tuple(str(item) for item in value)
    elif plain is float:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
    elif isinstance(value, plain) and (plain is bool or not isinstance(value, bool)):
        return value
    words = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}
    raise InputError(f"`{name}` must be {words.get(plain, 'a list of texts')}, but got {value!r}")


def _check_bounds(name: str, value: Any, bounds: Mapping[str, float]) -> None:
    if value is None or not bounds:
        return
    holds = all(_BOUNDS[kind][0](value, bound) for kind, bound in bounds.items())
    if not holds or not math.isfinite(value):
        words = [f"{_BOUNDS[kind][1]} {bound}" for kind, bound in bounds.items()]
        finite = [] if math.isfinite(value) else ["finite"]
        raise InputError(f"`{name}` must be {' and '.join(words + finite)}, but got {value}")
