"""The loader of YAML files: plain values only, each key once."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, ClassVar

import yaml

from evop_deap.base.user_text import shown

_DATE = "tag:yaml.org,2002:timestamp"


class PlainLoader(yaml.SafeLoader):
    """PyYAML's safe loader without dates, repeated keys and references to lists or mappings.

    A date becomes a text. A reference to a collection is refused, because a few lines of them
    stand for more values than fit into memory.
    """

    yaml_implicit_resolvers: ClassVar = {  # type: ignore[misc]
        first: [(tag, pattern) for tag, pattern in resolvers if tag != _DATE]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Compose a node.

        Raises:
            ValueError: it refers to a list or a mapping.
        """
        if self.check_event(yaml.AliasEvent):
            name = self.peek_event().anchor
            if isinstance(self.anchors.get(name), yaml.CollectionNode):
                raise ValueError(f"it refers to *{shown(name)}: write the value out")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        """Construct a mapping.

        Raises:
            ValueError: a key occurs twice.
        """
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"it has the key {shown(twice)} twice")
        return super().construct_mapping(node, deep=deep)
