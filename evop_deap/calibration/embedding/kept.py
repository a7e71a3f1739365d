"""A cache of embeddings by content: no text is encoded twice by the same encoder."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evop_deap.base.files import sha256_of_text, write_bytes
from evop_deap.calibration.embedding.encoder import Vectors, as_encoder, normalised_vectors

_TEXTS_A_FILE = 1024


def embed(
    texts: Sequence[str],
    encoder: Any,
    *,
    folder: Path | None = None,
    fingerprint: str | None = None,
) -> Vectors:
    """Return unit vectors of texts, from the cache in `folder` if they are there.

    `folder` holds a folder for each encoder's fingerprint, and in it NumPy archives of these
    arrays: `texts` (rows, 32) uint8, the SHA-256 of each text, and `vectors` (rows, dimensions)
    float32. Texts of an unreadable archive are encoded again.

    Args:
        texts: at least one.
        encoder: an `Encoder`, a callable, or an object with a method `encode`.
        folder: the cache; None for no cache.
        fingerprint: the encoder's, if it has been computed before.

    Returns:
        (texts, dimensions), each of length 1; zeros if the encoder returned only zeros.

    Raises:
        InputError: the encoder does not return one finite vector for each text.
        OutputError: `folder` cannot be written.
    """
    encoder = as_encoder(encoder)
    if folder is not None and fingerprint is None:
        fingerprint = encoder.fingerprint
    if folder is None or fingerprint is None:
        return normalised_vectors(encoder.encode(texts), len(texts), encoder.name)
    place = folder / fingerprint[:32]
    keys = [bytes.fromhex(sha256_of_text(text)) for text in texts]
    known = _read(place)
    unknown = list({key: i for i, key in enumerate(keys) if key not in known}.items())
    for first in range(0, len(unknown), _TEXTS_A_FILE):
        some = unknown[first : first + _TEXTS_A_FILE]
        found = encoder.encode([texts[i] for _, i in some])
        vectors = normalised_vectors(found, len(some), encoder.name)
        _write(place, [key for key, _ in some], vectors)
        known.update(zip([key for key, _ in some], vectors, strict=True))
    return np.stack([known[key] for key in keys])


def _read(place: Path) -> dict[bytes, NDArray[np.float32]]:
    known: dict[bytes, NDArray[np.float32]] = {}
    for path in sorted(place.glob("*.npz")):
        try:
            with np.load(path, allow_pickle=False) as archive:
                keys, vectors = archive["texts"], archive["vectors"]
            if vectors.dtype != np.float32 or keys.shape != (len(vectors), 32):
                raise ValueError(f"{path} holds other arrays")
        except Exception:  # readers of archives and arrays raise many types
            path.unlink(missing_ok=True)
            continue
        known.update((key.tobytes(), vector) for key, vector in zip(keys, vectors, strict=True))
    return known


def _write(place: Path, keys: Sequence[bytes], vectors: Vectors) -> None:
    joined = b"".join(keys)
    buffer = io.BytesIO()
    rows = np.frombuffer(joined, dtype=np.uint8).reshape(len(keys), 32)
    np.savez(buffer, texts=rows, vectors=vectors)
    write_bytes(place / f"{hashlib.sha256(joined).hexdigest()[:32]}.npz", buffer.getvalue())
