"""The memory of freed tensors goes back to the system."""

from __future__ import annotations

import subprocess
import sys

import pytest

_GAPS = """
import numpy, psutil
from evop_deap.models.loading.freed_memory import return_freed_memory

MIB = 2**20
{call}
numpy.ones(16 * MIB, dtype="uint8")  # once freed, it raises glibc's own threshold
before = psutil.Process().memory_info().rss
kept, large = [], []
for _ in range(8):
    large.append(numpy.ones(16 * MIB, dtype="uint8"))
    kept.append(numpy.ones(MIB // 4, dtype="uint8"))
del large
print((psutil.Process().memory_info().rss - before) // MIB)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's own")
def test_gaps_between_small_tensors_are_returned_to_the_system() -> None:
    def growth(call: str) -> int:
        code = _GAPS.format(call=call)
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert not done.returncode, done.stderr
        return int(done.stdout)

    assert growth("return_freed_memory()") < 16
    assert growth("") > 100, "without it, the memory stays with the process"
