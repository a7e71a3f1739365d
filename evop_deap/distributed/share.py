"""What a worker takes of a node."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Share:
    """What a worker takes of a node.

    Attributes:
        cpus: cores, one for each of its threads.
        gpus: GPUs, or a part of one; 0 for none.
    """

    cpus: int
    gpus: float = 0.0

    def __str__(self) -> str:
        gpus = f" and {self.gpus:g} GPUs" if self.gpus else ""
        return f"{self.cpus} core{'s' * (self.cpus > 1)}{gpus}"

    def fits(self, resources: Mapping[str, float]) -> int:
        """Return how many workers fit into these resources of a node, by Ray's names.

        Example:
            >>> Share(cpus=2).fits({"CPU": 5.0}), Share(cpus=1, gpus=0.5).fits({"CPU": 4.0})
            (2, 0)
        """
        by_cores = int(resources.get("CPU", 0.0) // self.cpus)
        if not self.gpus:
            return by_cores
        # A tenth fits ten times into 1, though 1.0 // 0.1 is 9.
        return min(by_cores, int(resources.get("GPU", 0.0) / self.gpus + 1e-6))
