"""A run's state on disk: plain JSON with a checksum and the identity of the run."""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evop_deap.base.data_files import parse_json, read_utf8
from evop_deap.base.errors import CheckpointError, InputError, one_line
from evop_deap.base.files import sha256_of_text, write_json
from evop_deap.base.numbers import finite_or_none, finite_or_worst, infinite_if_none
from evop_deap.base.typed import typed
from evop_deap.base.user_text import shown
from evop_deap.evolution.genome import Genome
from evop_deap.evolution.state import EvolutionState
from evop_deap.runs.storage.checkpoint_shapes import StoredEvolution, StoredHeuristic
from evop_deap.runs.storage.heuristic_state import HeuristicState
from evop_deap.space import Pattern

FORMAT = 6
_ADVICE = "restore the file, or start again with --overwrite"

Names = Sequence[tuple[int, Sequence[tuple[int, ...]]]]
"""For each group of windows, prefixes of patterns."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The state that a run needs to resume.

    Attributes:
        identity: values that must match on resuming, by name: model, calibration set, settings,
            seed and versions.
        rows: (windows,) sums of every evaluated pattern and of the dense one, in nats; NaN for
            windows that were not evaluated.
        tokens: (windows,) predicted tokens of each window.
        dense_cost: cost of the dense model's evaluation.
        dense_executed: dense-forward equivalents executed for it.
        kept: names of the hidden states kept for the next generation, by window group.
        kept_alone: names of those that would be kept if no loss were shared.
        state: state of the evolution or of the heuristic.
        outputs: outputs of later stages as JSON values, by the stage's name.
    """

    identity: Mapping[str, Any]
    rows: Mapping[Pattern, NDArray[np.float64]]
    tokens: NDArray[np.int64]
    dense_cost: float
    dense_executed: float
    kept: Names
    kept_alone: Names
    state: EvolutionState | HeuristicState
    outputs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def evolution(self) -> EvolutionState | None:
        """The state of an evolution; None for a heuristic."""
        return self.state if isinstance(self.state, EvolutionState) else None

    @property
    def heuristic(self) -> HeuristicState | None:
        """The state of a heuristic; None for an evolution."""
        return self.state if isinstance(self.state, HeuristicState) else None

    @property
    def windows_known(self) -> int:
        """Number of known window losses, over all patterns."""
        return sum(int((~np.isnan(row)).sum()) for row in self.rows.values())


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write `checkpoint` at `path`, atomically."""
    state = checkpoint.state
    of_kind = _heuristic(state) if isinstance(state, HeuristicState) else _evolution(state)
    payload = {
        "format": FORMAT,
        "identity": dict(checkpoint.identity),
        "rows": {
            _bits(pattern): [_stored(value) for value in _known(sums).tolist()]
            for pattern, sums in checkpoint.rows.items()
        },
        "tokens": checkpoint.tokens.tolist(),
        "dense_cost": checkpoint.dense_cost,
        "dense_executed": checkpoint.dense_executed,
        "kept": _named(checkpoint.kept),
        "kept_alone": _named(checkpoint.kept_alone),
        "records": [
            {name: finite_or_none(value) for name, value in record.items()}
            for record in state.records
        ],
        "cost": state.cost,
        "cache_hits": state.cache_hits,
        "seconds": state.seconds,
        **of_kind,
        "outputs": dict(checkpoint.outputs),
    }
    write_json(path, {"sha256": _digest(payload), **payload})


def load_checkpoint(path: Path, identity: Mapping[str, Any]) -> Checkpoint:
    """Read the checkpoint at `path` for a run of this identity.

    Losses are not stored; they are computed from the window sums.

    Raises:
        CheckpointError: the file is damaged, was changed, or belongs to another run; the message
            names the first setting that differs.
    """
    payload = _read(path)
    if payload.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} has format {shown(payload.get('format'))}, but this version reads {FORMAT}: "
            "resume with the version that wrote it, or start again with --overwrite"
        )
    stored = payload.get("identity")
    known = stored if isinstance(stored, dict) else {}
    for name, wanted in identity.items():
        if (found := known.get(name)) != wanted:
            raise CheckpointError(
                f"{path} belongs to another run: its {name} is {_short(found)}, "
                f"but this run's is {_short(wanted)}; resume with the same, or use --overwrite"
            )
    _check_types(path, payload)
    try:
        return _restored(payload)
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path} contradicts itself ({one_line(error)}): {_ADVICE}"
        ) from error


def _restored(payload: Mapping[str, Any]) -> Checkpoint:
    """Return the checkpoint with this content, whose types were checked."""
    tokens = np.array(payload["tokens"], dtype=np.int64)
    rows = {_pattern(bits): _row(sums, len(tokens)) for bits, sums in payload["rows"].items()}
    common = {
        "records": tuple(
            {name: infinite_if_none(value) for name, value in record.items()}
            for record in payload["records"]
        ),
        "cost": payload["cost"],
        "cache_hits": payload["cache_hits"],
        "seconds": payload["seconds"],
    }
    state: EvolutionState | HeuristicState
    if "best" in payload:
        state = _heuristic_from(payload, common)
    else:
        state = _evolution_from(payload, common, rows, tokens)
    return Checkpoint(
        identity=payload["identity"],
        rows=rows,
        tokens=tokens,
        dense_cost=payload["dense_cost"],
        dense_executed=payload["dense_executed"],
        kept=_as_tuples(payload["kept"]),
        kept_alone=_as_tuples(payload["kept_alone"]),
        state=state,
        outputs=payload["outputs"],
    )


def _evolution(state: EvolutionState) -> dict[str, Any]:
    return {
        "generation": state.generation,
        "population": [_bits(genome.pattern) for genome in state.population],
        "evaluated": list(map(_bits, state.losses)),
        "lost": list(map(_bits, state.eliminated)),
        "beside": state.other_evaluations,
        "picks": {name: _bits(pattern) for name, pattern in state.picks.items()},
        "restarted": state.restarted,
        "best_since": state.best_since,
        "rng_state": _as_lists(state.rng_state),
    }


def _evolution_from(
    payload: Mapping[str, Any],
    common: Mapping[str, Any],
    rows: Mapping[Pattern, NDArray[np.float64]],
    tokens: NDArray[np.int64],
) -> EvolutionState:
    losses = {
        pattern: finite_or_worst(float(rows[pattern].sum() / tokens.sum()))
        for pattern in map(_pattern, payload["evaluated"])
    }
    rng_state = _as_tuples(payload["rng_state"])
    random.Random().setstate(rng_state)  # raises if it is none
    return EvolutionState(
        generation=payload["generation"],
        population=tuple(
            Genome(pattern, loss=losses[pattern])
            for pattern in map(_pattern, payload["population"])
        ),
        losses=losses,
        best_since=payload["best_since"],
        rng_state=rng_state,
        eliminated=tuple(map(_pattern, payload["lost"])),
        other_evaluations=payload["beside"],
        picks={name: _pattern(bits) for name, bits in payload["picks"].items()},
        restarted=payload["restarted"],
        **common,
    )


def _heuristic(state: HeuristicState) -> dict[str, Any]:
    return {
        "best": _bits(state.best.pattern),
        "loss": finite_or_none(state.best.loss),
        "evaluations": state.evaluations,
    }


def _heuristic_from(payload: Mapping[str, Any], common: Mapping[str, Any]) -> HeuristicState:
    best = Genome(_pattern(payload["best"]), loss=infinite_if_none(payload["loss"]))
    return HeuristicState(best=best, evaluations=payload["evaluations"], **common)


def _read(path: Path) -> dict[str, Any]:
    """Return the checkpoint's content after a check of its checksum."""
    try:
        payload = parse_json(read_utf8(path, "it"))
    except InputError as error:
        raise CheckpointError(f"{path} is damaged (not JSON): {error}: {_ADVICE}") from error
    digest = payload.pop("sha256", None) if isinstance(payload, dict) else None
    if digest is None or digest != _digest(payload):
        raise CheckpointError(f"{path} is damaged or was changed (wrong checksum): {_ADVICE}")
    checked: dict[str, Any] = payload
    return checked


def _check_types(path: Path, payload: Mapping[str, Any]) -> None:
    try:
        typed(StoredHeuristic if "best" in payload else StoredEvolution, payload)
    except InputError as error:
        raise CheckpointError(f"{path}: {error}: {_ADVICE}") from error


def _digest(payload: Mapping[str, Any]) -> str:
    return sha256_of_text(json.dumps(payload, sort_keys=True))


def _bits(pattern: Pattern) -> str:
    return "".join(map(str, pattern))


def _pattern(bits: str) -> Pattern:
    if not re.fullmatch("[01]+", bits):
        raise ValueError(f"a pattern must be written in 0 and 1, found {shown(bits)}")
    return tuple(map(int, bits))


def _stored(value: float) -> float | bool | None:
    """Return a sum as a JSON value: None for infinity, False for a window not evaluated."""
    return False if math.isnan(value) else None if math.isinf(value) else value


def _row(sums: Sequence[float | bool | None], windows: int) -> NDArray[np.float64]:
    """Return the sums of all windows, with NaN for those not evaluated."""
    if len(sums) > windows:
        raise ValueError(f"{len(sums)} sums of {windows} windows")
    known = (math.nan if value is False else infinite_if_none(value) for value in sums)
    return np.array([*known, *[math.nan] * (windows - len(sums))], dtype=np.float64)


def _known(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sums up to the last known one."""
    known = np.flatnonzero(~np.isnan(sums))
    return sums[: known[-1] + 1] if len(known) else sums[:0]


def _named(kept: Names) -> Any:
    return _as_lists(tuple((group, tuple(names)) for group, names in kept))


def _as_lists(value: Any) -> Any:
    return [_as_lists(item) for item in value] if isinstance(value, tuple) else value


def _as_tuples(value: Any) -> Any:
    return tuple(_as_tuples(item) for item in value) if isinstance(value, list) else value


def _short(value: Any) -> str:
    text = "missing" if value is None else str(value)
    return text if len(text) <= 60 else text[:12] + "…"
