"""Peak memory of a process that does nothing but load a model and generate with it.

A process of its own, for what other models have left behind would count, too. On CUDA it is
what PyTorch has allocated on the device; elsewhere what the process held in main memory at the
most, interpreter, libraries and the moment of loading included.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evop_deap.base.errors import EvopError, InputError

_STATUS = Path("/proc/self/status")


def peak_memory(
    name: str,
    options: Mapping[str, Any] | None = None,
    *,
    batch: int = 1,
    prompt_tokens: int = 128,
    new_tokens: int = 32,
) -> int:
    """The most bytes that a model needs to continue a batch of prompts.

    Args:
        name: the model, as `load_model` takes it.
        options: further arguments of `load_model`.
        batch: rows at once.
        prompt_tokens: length of each row's prompt.
        new_tokens: that each row is continued by.

    Raises:
        InputError: the process failed; the message is its last line.
    """
    asked = json.dumps([name, dict(options or {}), batch, prompt_tokens, new_tokens])
    command = [sys.executable, "-m", __name__, asked]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it was killed"])[-1]
        raise InputError(f"the memory of {name} cannot be measured: {last}")
    return int(done.stdout.split()[-1])


def main(asked: str) -> int:
    """Load, generate, and print the peak; runs in the process of its own."""
    import torch

    from evop_deap.evaluation.generating import continue_greedily
    from evop_deap.models.anatomy.probe import embedding_table
    from evop_deap.models.loading.load_model import load_model

    name, options, batch, prompt_tokens, new_tokens = json.loads(asked)
    try:
        model = load_model(name, **options).model
    except EvopError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return error.exit_code
    prompts = torch.arange(batch * prompt_tokens) % embedding_table(model).shape[0]
    rows = prompts.view(batch, prompt_tokens).to(model.device)
    continue_greedily(model, rows, new_tokens, may_end=False)
    on_device = model.device.type == "cuda"
    print(torch.cuda.max_memory_allocated(model.device) if on_device else _peak_bytes())  # noqa: T201
    return 0


def _peak_bytes() -> int:
    """The most main memory that this process has held.

    Linux' `getrusage` also counts what the parent held before this program began.
    """
    if _STATUS.exists():
        line = next(x for x in _STATUS.read_text().splitlines() if x.startswith("VmHWM:"))
        return 1024 * int(line.split()[1])
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
