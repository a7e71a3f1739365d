"""A search's state on disk: plain JSON with a checksum, tied to the run that it belongs to."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evop_deap.base.errors import CheckpointError
from evop_deap.evolution.state import EvolutionState
from evop_deap.base.files import sha256_of_text, write_json
from evop_deap.evolution.genome import Genome
from evop_deap.space import Pattern

FORMAT = 4


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What a search needs to go on.

    Attributes:
        identity: what must be the same in the run that goes on: model, calibration set,
            settings, seed and versions, each by name.
        rows: (windows,) sums of every pattern judged, the dense one among them; those that
            were judged in part end in NaN.
        dense_cost: what the dense one cost.
        kept: names of the hidden states that wait for the next generation, by window group.
        state: the evolution's state.
    """

    identity: Mapping[str, Any]
    rows: Mapping[Pattern, NDArray[np.float64]]
    dense_cost: float
    kept: Sequence[tuple[int, Sequence[tuple[int, ...]]]]
    state: EvolutionState


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write `checkpoint` at `path`, atomically."""
    state = checkpoint.state
    payload = {
        "format": FORMAT,
        "identity": dict(checkpoint.identity),
        "generation": state.generation,
        "population": [_bits(genome.pattern) for genome in state.population],
        "rows": {
            _bits(pattern): [_finite(value) for value in _known(sums).tolist()]
            for pattern, sums in checkpoint.rows.items()
        },
        "dense_cost": checkpoint.dense_cost,
        "kept": _as_lists(tuple((group, tuple(names)) for group, names in checkpoint.kept)),
        "losses": {_bits(pattern): _finite(loss) for pattern, loss in state.losses.items()},
        "lost": [_bits(pattern) for pattern in state.eliminated],
        "beside": state.beside,
        "picks": {name: _bits(pattern) for name, pattern in state.picks.items()},
        "restarted": state.restarted,
        "records": [
            {name: _finite(value) for name, value in record.items()} for record in state.records
        ],
        "cost": state.cost,
        "cache_hits": state.cache_hits,
        "seconds": state.seconds,
        "best_since": state.best_since,
        "rng_state": _as_lists(state.rng_state),
    }
    write_json(path, {"sha256": _digest(payload), **payload})


def load_checkpoint(path: Path, identity: Mapping[str, Any]) -> Checkpoint:
    """Read the checkpoint at `path` for a run of this identity.

    Raises:
        CheckpointError: it is damaged, was changed, or belongs to another run; the message
            says which setting differs.
    """
    payload = _read(path)
    if payload.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} has format {payload.get('format')!r}, but this version reads {FORMAT}: "
            "resume with the version that wrote it, or start again with --overwrite"
        )
    for name, wanted in identity.items():
        if (found := payload["identity"].get(name)) != wanted:
            raise CheckpointError(
                f"{path} belongs to another run: its {name} is {_short(found)}, "
                f"but this run's is {_short(wanted)}; resume with the same, or use --overwrite"
            )
    losses = {_pattern(bits): _number(loss) for bits, loss in payload["losses"].items()}
    windows = max(map(len, payload["rows"].values()))
    rows = {
        _pattern(bits): np.array(
            [*map(_number, sums), *[math.nan] * (windows - len(sums))], dtype=np.float64
        )
        for bits, sums in payload["rows"].items()
    }
    state = EvolutionState(
        generation=payload["generation"],
        population=tuple(
            Genome(pattern, loss=losses[pattern])
            for pattern in map(_pattern, payload["population"])
        ),
        losses=losses,
        records=tuple(
            {name: _number(value) for name, value in record.items()}
            for record in payload["records"]
        ),
        cost=payload["cost"],
        cache_hits=payload["cache_hits"],
        seconds=payload["seconds"],
        best_since=payload["best_since"],
        rng_state=_as_tuples(payload["rng_state"]),
        eliminated=tuple(map(_pattern, payload["lost"])),
        beside=payload["beside"],
        picks={name: _pattern(bits) for name, bits in payload["picks"].items()},
        restarted=payload["restarted"],
    )
    kept = _as_tuples(payload["kept"])
    return Checkpoint(payload["identity"], rows, payload["dense_cost"], kept, state)


def _read(path: Path) -> dict[str, Any]:
    """The checkpoint's content, once its checksum was found right."""
    advice = "restore the file, or start again with --overwrite"
    try:
        payload = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise CheckpointError(f"{path} is damaged (not JSON): {advice}") from error
    digest = payload.pop("sha256", None) if isinstance(payload, dict) else None
    if digest is None or digest != _digest(payload):
        raise CheckpointError(f"{path} is damaged or was changed (wrong checksum): {advice}")
    checked: dict[str, Any] = payload
    return checked


def _digest(payload: Mapping[str, Any]) -> str:
    return sha256_of_text(json.dumps(payload, sort_keys=True))


def _bits(pattern: Pattern) -> str:
    return "".join(map(str, pattern))


def _pattern(bits: str) -> Pattern:
    return tuple(map(int, bits))


def _known(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """The sums before the first that is not known: a race sees windows in their order."""
    unknown = np.flatnonzero(np.isnan(sums))
    return sums[: unknown[0]] if len(unknown) else sums


def _finite(value: Any) -> Any:
    """JSON has no infinity and no NaN: both are written as null."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _number(value: Any) -> Any:
    return math.inf if value is None else value


def _as_lists(value: Any) -> Any:
    return [_as_lists(item) for item in value] if isinstance(value, tuple) else value


def _as_tuples(value: Any) -> Any:
    return tuple(_as_tuples(item) for item in value) if isinstance(value, list) else value


def _short(value: Any) -> str:
    text = "missing" if value is None else str(value)
    return text if len(text) <= 60 else text[:12] + "…"
