"""Kinds of blocks: sets of blocks that a model describes or builds in the same way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evop_deap.models.anatomy.parts import Anatomy
from evop_deap.models.surgery.layer_fields import described

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_MOST_KINDS = 6  # a field with more values numbers the blocks rather than naming kinds
# Lists that some configurations derive, and so do not store as fields.
_DERIVED = ("layer_types", "layers_block_type", "mlp_layer_types")


@dataclass(frozen=True)
class Kind:
    """Some of a model's blocks.

    Attributes:
        name: a value of the configuration, or a class, such as "full_attention".
        blocks: their positions.
    """

    name: str
    blocks: frozenset[int]


def kinds_of(model: PreTrainedModel, anatomy: Anatomy) -> tuple[Kind, ...]:
    """Return the kinds of blocks that are some of the blocks but not all, each set once.

    Kinds are told apart by every per-layer field of the configuration, by the class of the block,
    and by the classes of its attention and its MLP.
    """
    found: dict[frozenset[int], Kind] = {}
    for values in _values(model, anatomy):
        names = list(dict.fromkeys(values))
        if not 1 < len(names) <= _MOST_KINDS:
            continue
        for name in names:
            blocks = frozenset(i for i, value in enumerate(values) if value == name)
            found.setdefault(blocks, Kind(name, blocks))
    return tuple(found.values())


def _values(model: PreTrainedModel, anatomy: Anatomy) -> Iterator[list[str]]:
    """Yield lists with a value for each block."""
    text = model.config.get_text_config(decoder=True)
    count = len(anatomy.blocks)
    for name in _DERIVED:
        derived = getattr(text, name, None)
        if isinstance(derived, list | tuple) and len(derived) == count:
            yield [_word(name, value) for value in derived]
    for name, values in described(text.to_dict(), count):
        yield [_word(name, value) for value in values]
    yield [type(block.module).__name__ for block in anatomy.blocks]
    yield [_classes(block.attention) for block in anatomy.blocks]
    yield [_classes(block.mlp) for block in anatomy.blocks]


def _word(field: str, value: Any) -> str:
    return value if isinstance(value, str) else f"{field} {value}"


def _classes(modules: Sequence[object]) -> str:
    return ", ".join(type(module).__name__ for module in modules) or "none"
