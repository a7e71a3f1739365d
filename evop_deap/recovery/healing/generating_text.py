"""Self-distillation: windows that the dense model writes itself, after beginnings from a corpus."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evop_deap.base.files import write_bytes
from evop_deap.text.tokens import Tokens

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_PROMPT_SHARE = 8  # the first eighth of a window is from the corpus
_WINDOWS_AT_ONCE = 16


def generated(
    model: PreTrainedModel,
    fingerprint: str,
    windows: Tokens,
    *,
    seed: int,
    folder: Path,
    on_done: Callable[[int], object] = lambda count: None,
) -> Tokens:
    """Return windows whose first eighth is as given, and whose rest the model has sampled.

    Args:
        model: the dense model.
        fingerprint: its hash, for the cache.
        windows: (windows, window) token ids.
        seed: seed of the sampling, which is from the whole distribution.
        folder: the cache.
        on_done: called with the number of windows that are done.

    Raises:
        OutputError: `folder` cannot be written.
    """
    parts = []
    for first in range(0, len(windows), _WINDOWS_AT_ONCE):
        rows = windows[first : first + _WINDOWS_AT_ONCE]
        digest = hashlib.sha256(f"{fingerprint} {seed} {first} {rows.shape}".encode())
        digest.update(rows.astype("<i8").tobytes())
        path = folder / f"generated-{digest.hexdigest()[:40]}.safetensors"
        found = _read(path, rows)
        if found is None:
            found = _sampled(model, rows, seed + first)
            _write(path, found)
        parts.append(found)
        on_done(first + len(rows))
    return np.concatenate(parts)


def _sampled(model: PreTrainedModel, rows: Tokens, seed: int) -> Tokens:
    import torch

    start = max(1, rows.shape[1] // _PROMPT_SHARE)
    ids = torch.as_tensor(rows[:, :start], device=model.device)
    generator = torch.Generator(device=ids.device).manual_seed(seed)
    cache: Any = None
    with torch.inference_mode():
        given = ids
        while ids.shape[1] < rows.shape[1]:
            output = model(input_ids=given, past_key_values=cache, use_cache=True)
            cache = getattr(output, "past_key_values", None)
            chances = output.logits[:, -1].float().softmax(-1)
            # The window will be left out: any token will do.
            chances[~chances.isfinite().all(-1)] = 1.0
            drawn = torch.multinomial(chances, 1, generator=generator)
            ids = torch.cat([ids, drawn], dim=1)
            given = ids if cache is None else drawn
    tokens: Tokens = ids.cpu().numpy()
    return tokens


def _write(path: Path, tokens: Tokens) -> None:
    from safetensors.numpy import save

    write_bytes(path, save({"tokens": tokens}))


def _read(path: Path, rows: Tokens) -> Tokens | None:
    from safetensors.numpy import load_file

    if not path.is_file():
        return None
    try:
        tokens = load_file(path)["tokens"]
    except Exception:  # readers of archives raise many types
        return None
    return tokens if tokens.shape == rows.shape and tokens.dtype == rows.dtype else None
