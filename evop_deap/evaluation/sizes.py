"""Sizes of a checkpoint: blocks, parameters, bytes on disk."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evop_deap.base.user_paths import existing_path
from evop_deap.models.loading.demo_model import DEMO_MODELS, demo_checkpoint
from evop_deap.models.loading.memory_needs import weights_in

if TYPE_CHECKING:
    from evop_deap.models.loading.load_model import LoadedModel


@dataclass(frozen=True)
class Sizes:
    """Sizes of a model.

    Attributes:
        blocks: number of decoder blocks.
        parameters: number of parameters, tied ones counted once.
        file_bytes: bytes of the weight files; None where they are not on this machine.

    Example:
        >>> Sizes(blocks=30, parameters=134_515_008, file_bytes=269_060_552).blocks
        30
    """

    blocks: int
    parameters: int
    file_bytes: int | None

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def measure_sizes(loaded: LoadedModel) -> Sizes:
    """Return the sizes of a loaded model."""
    from evop_deap.models.anatomy.element_counts import elements

    config = loaded.model.config.get_text_config(decoder=True)
    return Sizes(
        blocks=int(config.num_hidden_layers),
        parameters=elements(loaded.model),
        file_bytes=file_bytes(loaded.name),
    )


def file_bytes(name: str) -> int | None:
    """Return the bytes of a model's weight files; None where they are not on this machine."""
    path = demo_checkpoint(name) if name in DEMO_MODELS else existing_path(name, "checkpoint")
    if path is not None and path.is_file():
        return path.stat().st_size
    folder = path or _in_hub_cache(name)
    if folder is None:
        return None
    files = weights_in(folder) or folder.glob("*.gguf")
    return sum(file.stat().st_size for file in files) or None


def _in_hub_cache(name: str) -> Path | None:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, local_files_only=True))
    except Exception:  # the library raises many errors for a missing model
        return None
