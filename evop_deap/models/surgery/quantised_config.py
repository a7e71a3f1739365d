"""What a configuration says of quantised layers by name, for the layers of a pruned model.

Each method has lists and tables of its own: `modules_to_not_convert`, `llm_int8_skip_modules`,
`ignore` and `targets`, GPTQ's `dynamic`, the module names of torchao. All of them hold names, or
regular expressions of names. So every string in a list and every key of a table is treated alike.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evop_deap.models.surgery.renumbering import Renumbering

_MARKS = re.compile(r"re:|\+:|-:")  # of expressions: compressed-tensors and torchao; GPTQ twice
_EXPRESSION = re.compile(r"[\\^$*+?()\[\]{}|]")


def renumbered_quantisation(
    about: Mapping[str, Any],
    names: Renumbering,
    layers: Collection[str],
    prefixes: Collection[str] = (),
) -> dict[str, Any]:
    """Return what `quantization_config` says, with the numbers of the new layers.

    An entry about dropped blocks alone is left out. An expression that would match other layers by
    the new numbers becomes the names of the kept layers that it matched.

    Args:
        about: the field of the dense model.
        names: the way from its names to the new ones.
        layers: names of all linear layers of the dense model.
        prefixes: other paths of the blocks, such as that in the files of the checkpoint.
    """
    method = str(getattr(about.get("quant_method"), "value", about.get("quant_method")))
    entries = _Entries(method, names, tuple(layers), (names.prefix, *prefixes))
    made: dict[str, Any] = _walked(about, entries)
    return made


@dataclass(frozen=True)
class _Entries:
    """The new forms of entries that name layers.

    Args:
        method: how the model is quantised, such as "gptq".
        names: the way from the names of the dense model to the new ones.
        layers: names of the linear layers of the dense model.
        prefixes: paths of the blocks.
    """

    method: str
    names: Renumbering
    layers: Sequence[str]
    prefixes: Sequence[str]

    def new(self, entry: str) -> Sequence[str]:
        """Return the entries that stand for this one; none if it is about dropped blocks alone."""
        mark = _MARKS.match(entry)
        said = entry[mark.end() :] if mark else entry
        if mark is None and self.method != "gptq" and not _EXPRESSION.search(said):
            return self._renamed(entry)
        try:
            expression = self._compiled(said, is_marked=mark is not None)
        except re.error:
            return [entry]
        matched = [layer for layer in self.layers if expression.match(layer)]
        kept = {old: new for old in self.layers if (new := self.names.new(old)) is not None}
        if matched and not kept.keys() & set(matched):
            return []
        if all((old in matched) == bool(expression.match(new)) for old, new in kept.items()):
            return [entry]
        sign = mark.group() if mark else ""
        written = (kept[old] for old in matched if old in kept)
        if self.method == "gptq":
            return [f"{sign}^{re.escape(name)}$" for name in written]
        return list(written)

    def _compiled(self, said: str, *, is_marked: bool) -> re.Pattern[str]:
        """Return an expression that matches what the package makes of it."""
        if is_marked and self.method == "torchao":
            return re.compile(rf"(?:{said})$")  # of a layer, all of its name
        if is_marked or self.method == "gptq":
            return re.compile(said)
        return re.compile(rf"(?:{said})(?:(?<=\.)|(?=\.|$))")  # transformers ends it at a dot

    def _renamed(self, name: str) -> Sequence[str]:
        """Return the new name of a module, which may lack outer modules or have more of them."""
        for prefix in self.prefixes:
            last = re.escape(prefix.rpartition(".")[2])
            found = re.match(rf"((?:.*\.)?{last})(\.\d+(?:\..*)?)$", name)
            path = f".{found[1]}" if found else ""
            if found and (path.endswith(f".{prefix}") or f".{prefix}".endswith(path)):
                new = self.names.new(f"{self.names.prefix}{found[2]}")
                kept = None if new is None else new.removeprefix(self.names.prefix)
                return [] if kept is None else [f"{found[1]}{kept}"]
        return [name]


def _walked(value: Any, entries: _Entries) -> Any:
    if isinstance(value, Mapping):
        return {
            new: _walked(one, entries) for key, one in value.items() for new in entries.new(key)
        }
    if isinstance(value, list | tuple):
        return [new for one in value for new in _items(one, entries)]
    return value


def _items(one: Any, entries: _Entries) -> Iterator[Any]:
    if isinstance(one, str):
        yield from entries.new(one)
    else:
        yield _walked(one, entries)
