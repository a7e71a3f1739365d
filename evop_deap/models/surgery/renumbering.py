"""The names of modules and tensors in a model with fewer layers, and in the dense one."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from evop_deap.models.anatomy.parts import Anatomy
from evop_deap.models.surgery.layer_tensors import sources_of
from evop_deap.models.surgery.packing import Layer
from evop_deap.space.unit_names import MLP, unit_name


@dataclass(frozen=True)
class Renumbering:
    """The way between names with the numbers of new layers and names with those of dense blocks.

    Args:
        prefix: path of the blocks, such as "model.layers".
        sources: of each new layer, the dense blocks of its attention and of its MLP.
        mlp: by dense block, the names of the direct children of its MLP; empty for whole blocks.

    Example:
        >>> names = Renumbering("model.layers", ((0, 0), (2, 2)), {})
        >>> names.old("model.layers.1.mlp"), names.new("model.layers.2.mlp")
        ('model.layers.2.mlp', 'model.layers.1.mlp')
        >>> print(names.new("model.layers.1.mlp"))
        None
    """

    prefix: str
    sources: Sequence[tuple[int, int]]
    mlp: Mapping[int, Collection[str]]

    def old(self, name: str) -> str:
        """Return the name in the dense model of what has this name in the new one."""
        number, rest = self.split(name)
        if number is None:
            return name
        attention, mlp = self.sources[number]
        return self._named(mlp if self._is_mlp(mlp, rest) else attention, rest)

    def new(self, name: str) -> str | None:
        """Return the name in the new model, or None if that does not have it."""
        block, rest = self.split(name)
        if block is None:
            return name
        half = 1 if self._is_mlp(block, rest) else 0
        number = next((n for n, source in enumerate(self.sources) if source[half] == block), None)
        return None if number is None else self._named(number, rest)

    def split(self, name: str) -> tuple[int | None, str]:
        """Return the number of the layer in a name, or None, and the name within the layer."""
        number, _, rest = name.removeprefix(f"{self.prefix}.").partition(".")
        is_inside = name.startswith(f"{self.prefix}.") and number.isdecimal()
        return (int(number), rest) if is_inside else (None, name)

    def _named(self, number: int, rest: str) -> str:
        return f"{self.prefix}.{number}.{rest}".removesuffix(".")

    def _is_mlp(self, block: int, rest: str) -> bool:
        return rest.partition(".")[0] in self.mlp.get(block, ())


def renumbering(
    anatomy: Anatomy, layers: Sequence[Layer], prefix: str | None = None
) -> Renumbering:
    """Return the way between the names of these layers and those of the dense model.

    Args:
        anatomy: the parts of the dense model.
        layers: the layers of the new model.
        prefix: path of the blocks in the names, if it is not that in the model.
    """
    mlp = {
        block.index: anatomy.part(unit_name(block.index, MLP)).children
        for block in anatomy.blocks
        if any(layer.attention != layer.mlp for layer in layers)
    }
    return Renumbering(prefix or anatomy.path, tuple(zip(*sources_of(layers), strict=True)), mlp)
