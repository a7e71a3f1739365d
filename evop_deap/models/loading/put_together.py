"""Weights that transformers puts together from several stored tensors, such as fused experts.

A model whose weights stay in their files has a stand-in for such a weight. It has its shape and
takes no memory; `whole` puts the weight together when it is used. All numbers of a stand-in are
NaN, so that a use without that shows.
"""

from __future__ import annotations

import copy
import weakref
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from evop_deap.models.loading.auto_classes import auto_class
from evop_deap.models.loading.mapped_pages import MappedPages
from evop_deap.models.loading.shards import StoredTensor, stored_in

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel


@dataclass(frozen=True, eq=False)
class Conversion:
    """How transformers makes weights of stored tensors.

    Attributes:
        converter: a `WeightConverter` of transformers.
        config: the configuration of the model.
        first: the name of the first weight that it makes.
        sources: names of the stored tensors, each with the pattern that it matches.
    """

    converter: Any
    config: PreTrainedConfig
    first: str
    sources: tuple[tuple[str, str], ...]

    def made(self, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return the weights by name, from stored tensors by name."""
        converter = copy.deepcopy(self.converter)
        for name, pattern in self.sources:
            converter.add_tensor(self.first, name, pattern, lambda name=name: tensors[name])
        found = converter.convert(self.first, config=self.config)
        return {name: one[0] if isinstance(one, list) else one for name, one in found.items()}

    def made_on_meta(self, files: Mapping[str, StoredTensor]) -> dict[str, torch.Tensor]:
        """Return the weights by name, on the meta device."""
        stored = (files[name] for name, _ in self.sources)
        with torch.device("meta"):
            empty = {one.name: torch.empty(one.shape, dtype=one.torch_dtype) for one in stored}
            return self.made(empty)


@dataclass(frozen=True, eq=False)
class _Parts:
    """A conversion of a weight, with its stored tensors."""

    name: str
    conversion: Conversion
    tensors: Mapping[str, torch.Tensor]
    pages: MappedPages


_PARTS: dict[int, _Parts] = {}
"""By the address of a stand-in, what the weight is made of."""


def whole(weight: torch.Tensor) -> torch.Tensor:
    """Return a weight; of a stand-in, the weight that it stands for, in new memory."""
    parts = _PARTS.get(weight.data_ptr()) if _takes_no_memory(weight) else None
    if parts is None:
        return weight
    found = parts.conversion.made(parts.tensors)[parts.name]
    for tensor in parts.tensors.values():
        parts.pages.let_go(tensor)
    return found


def has_stand_ins(model: PreTrainedModel) -> bool:
    """Return whether a model has stand-ins for weights."""
    return any(_takes_no_memory(w) and w.data_ptr() in _PARTS for w in model.parameters())


def conversions_of(config: PreTrainedConfig, files: Mapping[str, StoredTensor]) -> list[Conversion]:
    """Return how the weights of a checkpoint are made that are not stored as they are.

    Args:
        config: its configuration.
        files: its stored tensors.
    """
    from transformers.conversion_mapping import get_model_conversion_mapping
    from transformers.core_model_loading import (
        WeightConverter,
        WeightRenaming,
        dot_natural_key,
        rename_source_key,
    )

    empty = empty_model(config)
    mapping = get_model_conversion_mapping(empty)
    renamings = [one for one in mapping if isinstance(one, WeightRenaming)]
    converters = [one for one in mapping if isinstance(one, WeightConverter)]
    by_pattern = {pattern: one for one in converters for pattern in one.source_patterns}
    state, sources = empty.state_dict(), dict[str, list[tuple[str, str]]]()
    for name in sorted(files, key=dot_natural_key):  # the order in which transformers reads them
        renamed, pattern = rename_source_key(
            name, renamings, converters, empty.base_model_prefix, state
        )
        if pattern is not None and renamed in state:
            sources.setdefault(renamed, []).append((name, pattern))
    return [
        Conversion(by_pattern[some[0][1]], config, first, tuple(some))
        for first, some in sources.items()
    ]


def not_made(
    files: Mapping[str, StoredTensor], config: PreTrainedConfig, stored: torch.dtype
) -> str | None:
    """Return the name of a weight that cannot be made from its stored tensors alone, or None.

    Args:
        files: the stored tensors of a checkpoint.
        config: its configuration.
        stored: the dtype of its weights.
    """
    left = Counter(tensor.shape for tensor in files.values())
    shapes: dict[str, tuple[int, ...]] = {}
    for conversion in conversions_of(config, files):
        sources = [files[name] for name, _ in conversion.sources]
        if any(source.torch_dtype is not stored for source in sources):
            return conversion.first
        try:
            made = conversion.made_on_meta(files)
        except Exception:  # the operations of transformers raise many types
            return conversion.first
        shapes |= {name: tuple(weight.shape) for name, weight in made.items()}
        left -= Counter(source.shape for source in sources)
    for name, weight in empty_model(config).named_parameters():
        if name in shapes:
            if shapes[name] != tuple(weight.shape):
                return str(name)
            continue
        left[tuple(weight.shape)] -= 1
        if left[tuple(weight.shape)] < 0:
            return str(name)
    return None


def load_in_parts(folder: Path, **options: Any) -> tuple[PreTrainedModel, dict[str, Any]]:
    """Load a checkpoint so that its weights stay in the files, with stand-ins for what is made.

    Args:
        folder: the checkpoint.
        options: arguments of `from_pretrained`; the dtype is the stored one.

    Returns:
        The model, and what `from_pretrained` says of its loading.
    """
    from transformers import AutoConfig, GenerationConfig

    config, files = AutoConfig.from_pretrained(folder), stored_in(folder)
    conversions = conversions_of(config, files)
    tensors = dict(_mapped(files))
    state, parts, pages = dict(tensors), dict[str, _Parts](), MappedPages()
    for conversion in conversions:
        made = conversion.made_on_meta(files)
        own = {name: state.pop(name) for name, _ in conversion.sources}
        for name, like in made.items():
            state[name] = torch.full((), torch.nan, dtype=like.dtype).expand(like.shape)
            parts[name] = _Parts(name, conversion, own, pages)
    model_class: Any = type(empty_model(config))
    model, info = model_class.from_pretrained(
        None, config=config, state_dict=state, output_loading_info=True, **options
    )
    if (folder / "generation_config.json").is_file():
        model.generation_config = GenerationConfig.from_pretrained(folder)
    places = {model.get_parameter(name).data_ptr(): one for name, one in parts.items()}
    _PARTS.update(places)
    weakref.finalize(model, _forget, tuple(places))
    return model, info


def empty_model(config: PreTrainedConfig) -> PreTrainedModel:
    """Return the model of a configuration without weights."""
    from accelerate import init_empty_weights

    with init_empty_weights(include_buffers=True):
        empty: PreTrainedModel = auto_class(config).from_config(config)
    empty.tie_weights()
    return empty


def _takes_no_memory(weight: torch.Tensor) -> bool:
    return weight.device.type != "meta" and weight.ndim > 0 and not any(weight.stride())


def _forget(places: Sequence[int]) -> None:
    for place in places:
        _PARTS.pop(place, None)


def _mapped(files: Mapping[str, StoredTensor]) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the stored tensors by name, mapped from their files."""
    from safetensors import safe_open

    for file in sorted({tensor.file for tensor in files.values()}):
        with safe_open(file, "pt") as opened:
            for name in opened.keys():  # noqa: SIM118
                if name in files:
                    yield name, opened.get_tensor(name)
