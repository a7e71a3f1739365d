"""The protocol of encoders, and the adapter for other objects that embed texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from evop_deap.base.errors import InputError

Vectors: TypeAlias = NDArray[np.float32]


class Encoder(Protocol):
    """Embeds texts, one vector each."""

    @property
    def name(self) -> str:
        """Its name in the manifest."""
        ...

    @property
    def fingerprint(self) -> str | None:
        """Hash of all that determines a text's vector; None if it also depends on other texts."""
        ...

    def encode(self, texts: Sequence[str]) -> Any:
        """Return one vector for each text: (texts, dimensions)."""
        ...


@dataclass(frozen=True)
class _Foreign:
    name: str
    function: Callable[[list[str]], Any]
    fingerprint: str | None = None

    def encode(self, texts: Sequence[str]) -> Any:
        return self.function(list(texts))


def as_encoder(encoder: Any) -> Encoder:
    """Return `encoder` itself, or an adapter for a callable or an object with a method `encode`.

    A model of sentence-transformers is such an object. Vectors of an object without a
    `fingerprint` are not cached.

    Raises:
        InputError: it is none of these.

    Example:
        >>> as_encoder(lambda texts: [[len(text), 1.0] for text in texts]).encode(["four"])
        [[4, 1.0]]
    """
    if all(hasattr(encoder, part) for part in ("name", "fingerprint", "encode")):
        whole: Encoder = encoder
        return whole
    name = getattr(encoder, "__name__", None) or type(encoder).__name__
    if hasattr(encoder, "encode"):
        return _Foreign(name, encoder.encode)
    if callable(encoder):
        return _Foreign(name, encoder)
    raise InputError(
        f"`encoder` must be callable or have a method `encode`, but got a {type(encoder).__name__}"
    )


def normalised_vectors(found: Any, count: int, name: str) -> Vectors:
    """Return an encoder's output as (count, dimensions) float32 unit vectors; zeros stay zero.

    Raises:
        InputError: the output is not one finite vector for each text.
    """
    vectors = np.asarray(found, dtype=np.float32)
    if vectors.ndim != 2 or len(vectors) != count or vectors.shape[1] < 1:
        raise InputError(
            f"`embedding` {name} must give one vector for each of {count} texts, "
            f"but gave an array of shape {vectors.shape}"
        )
    if not np.isfinite(vectors).all():
        raise InputError(f"`embedding` {name} gave a vector that is not finite: choose another")
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Vectors = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    return unit
