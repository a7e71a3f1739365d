"""The number of elements of a module's weights, as many as before they were quantised."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

# Tensors that layers of quantised models have beside their weight, or in its place.
_PACKED = frozenset({"qweight", "weight_packed", "weight_scale", "weight_shape", "W_q"})


def elements(*modules: nn.Module) -> int:
    """Return the number of elements of all weights in these modules, each counted once.

    A packed layer, whose weight holds several elements in one number or lies in buffers, counts
    as the matrix that it multiplies by. Its scales and zeros do not count.
    """
    return sum(count for _, count, _ in weights(*modules))


def weights(*modules: nn.Module) -> Iterator[tuple[nn.Module | nn.Parameter, int, int]]:
    """Yield each weight in these modules once: itself, its elements and its dimensions.

    Of a packed layer, the layer stands for its matrix.
    """
    seen: set[nn.Parameter] = set()
    for module in dict.fromkeys(inner for whole in modules for inner in whole.modules()):
        own = dict(module.named_parameters(recurse=False))
        if is_packed(module):
            yield module, _size(module), 2
            own = {name: weight for name, weight in own.items() if name == "bias"}
        for weight in own.values():
            if weight not in seen:
                seen.add(weight)
                yield weight, weight.numel(), weight.ndim


def is_packed(module: nn.Module) -> bool:
    """Return whether a module is a linear layer of a quantised model.

    Such layers have the attributes `in_features` and `out_features` in all packages.
    """
    sizes = (getattr(module, name, None) for name in ("in_features", "out_features"))
    weight = getattr(module, "weight", None)
    of_integers = isinstance(weight, nn.Parameter) and not weight.is_floating_point()
    named = _PACKED.intersection({*module._parameters, *module._buffers, *vars(module)})
    return all(isinstance(size, int) for size in sizes) and (of_integers or bool(named))


def _size(module: nn.Module) -> int:
    sizes: list[int] = [getattr(module, name) for name in ("in_features", "out_features")]
    return sizes[0] * sizes[1]
