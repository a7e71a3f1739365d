"""The outputs of a run's stages, looked up by type."""

from __future__ import annotations

from typing import Any, TypeVar

_Output = TypeVar("_Output")


class Outputs:
    """An immutable sequence of stage outputs, in the order of the stages.

    Example:
        >>> outputs = Outputs(3, "three")
        >>> outputs[int], outputs[str], outputs.get(float)
        (3, 'three', None)
    """

    def __init__(self, *outputs: Any) -> None:
        self._outputs = outputs

    def and_then(self, output: Any) -> Outputs:
        """Return these outputs and one more."""
        return Outputs(*self._outputs, output)

    def get(self, kind: type[_Output]) -> _Output | None:
        """Return the latest output of this type, or None."""
        return next((one for one in reversed(self._outputs) if isinstance(one, kind)), None)

    def __getitem__(self, kind: type[_Output]) -> _Output:
        found = self.get(kind)
        if found is None:
            raise KeyError(f"no stage has come to a {kind.__name__} yet")
        return found
