"""The files of the checkpoint that a model was loaded from: its folder, processor and tensors."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_PROCESSOR = (
    "preprocessor_config.json",
    "processor_config.json",
    "image_processor_config.json",
    "video_preprocessor_config.json",
    "feature_extractor_config.json",
    "audio_preprocessor_config.json",
    "chat_template.json",
    "chat_template.jinja",
    "additional_chat_templates/*.jinja",
)
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")


SAFETENSORS = ("model.safetensors", "model.safetensors.index.json", "model*-of-*.safetensors")


def checkpoint_folder(where: Mapping[str, Any], files: Sequence[str] = _PROCESSOR) -> Path | None:
    """Return the folder of a checkpoint; None for a GGUF file, or where the hub does not answer.

    Args:
        where: the arguments of `from_pretrained` that locate it.
        files: patterns of the files to fetch from the hub, by default those of its processor.
    """
    from huggingface_hub import snapshot_download

    if "gguf_file" in where:
        return None
    name = where["pretrained_model_name_or_path"]
    if Path(name).is_dir():
        return Path(name)
    try:
        return Path(
            snapshot_download(
                name,
                revision=where.get("revision"),
                local_files_only=where.get("local_files_only", False),
                allow_patterns=list(files),
            )
        )
    except Exception:  # the loading itself says what is wrong; hubs and caches raise many types
        return None


def processor_files(folder: Path | None) -> tuple[Path, ...]:
    """Return the files in a checkpoint's folder that its processor is loaded from."""
    if folder is None:
        return ()
    return tuple(sorted(path for name in _PROCESSOR for path in folder.glob(name)))


def stored_tensors(folder: Path | None) -> tuple[str, ...]:
    """Return the names of the tensors that transformers reads from a checkpoint's folder."""
    for path in () if folder is None else (folder / name for name in _WEIGHTS):
        index = path.with_name(f"{path.name}.index.json")
        if path.is_file():
            return _names_in(path)
        if index.is_file():
            return tuple(json.loads(index.read_text(encoding="utf-8"))["weight_map"])
    return ()


def _names_in(path: Path) -> tuple[str, ...]:
    if path.suffix == ".safetensors":
        from safetensors import safe_open

        with safe_open(path, "pt") as file:
            return tuple(file.keys())
    import torch

    return tuple(torch.load(path, map_location="meta", weights_only=True))
