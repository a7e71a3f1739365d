"""Values that break parsers and readers, and changes of one part of a good value."""

from __future__ import annotations

import json
import os
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

MORE = int(os.environ.get("EVOP_FUZZ", "1"))
"""How many times as many inputs as usual are tried."""

fuzzed = settings(
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=120 * MORE,
    suppress_health_check=list(HealthCheck),
)


def few(count: int) -> settings:
    """For commands that load a model before they read the input."""
    return settings(fuzzed, max_examples=count * MORE)


WORDS = [
    "", " ", "\n", "a\nb", "a\0b", "\udcff", "\x1b[31m", "x" * 300, "x/" * 3000, "9" * 400,
    "9" * 5000, "-" + "9" * 400, "٣", "²", "1_0", "-1", "0", "1e999", "1e-999", "nan", "-inf",
    "0.٣", "~no-such-user/x", "loop", "loop/x", "file/x", "/", "..", "[" * 3000, "{}", "null",
    "true", "random", "ccds", "units=0.2", "parameters=" + "9" * 400, "attn=٣", "0-1", "-٣",
    ",".join(map(str, range(66))), "%s%n", "🦀", "cuda:99", "1,2", "0.2,0.2",
]  # fmt: skip
words = st.sampled_from(WORDS) | st.text(max_size=12)


leaves = (
    st.none() | st.booleans() | st.integers(-3, 9) | st.floats() | words
    | st.sampled_from([10**400, 10**4000, 2**63, -(2**70)])
)  # fmt: skip
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3)
)


def as_file(value: Any) -> str:
    """A value as JSON, which is YAML as well, with whatever JSON's writer lets through."""
    return json.dumps(value, ensure_ascii=False)


def changed(value: Any, data: st.DataObject) -> Any:
    """The value with one part of it replaced, removed or added."""
    if isinstance(value, dict) and value and data.draw(st.integers(0, 4)):
        key = data.draw(st.sampled_from(sorted(value)))
        return {**value, key: changed(value[key], data)}
    if isinstance(value, list) and value and data.draw(st.integers(0, 4)):
        at = data.draw(st.integers(0, len(value) - 1))
        return [*value[:at], changed(value[at], data), *value[at + 1 :]]
    if isinstance(value, dict) and value and data.draw(st.booleans()):
        gone = data.draw(st.sampled_from(sorted(value)))
        more = {data.draw(words): data.draw(values)} if data.draw(st.booleans()) else {}
        return {**{name: one for name, one in value.items() if name != gone}, **more}
    return data.draw(values)
