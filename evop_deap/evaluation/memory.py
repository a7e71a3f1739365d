"""Peak memory of a process that only loads a model and generates with it.

It runs in a separate process, because memory of other models would count as well. On CUDA it is
the peak of PyTorch's allocations on the device. Elsewhere it is the peak of the process in main
memory, with the interpreter, the libraries and the loading of the model.
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
    """Return the peak memory, in bytes, of continuing a batch of prompts.

    Args:
        name: the model, as `load_model` takes it.
        options: further arguments of `load_model`.
        batch: batch size.
        prompt_tokens: tokens of each prompt.
        new_tokens: tokens added to each prompt.

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
    """Load a model, generate, and print the peak; the separate process runs this."""
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
    devices = {weight.device for weight in model.parameters()}
    on_all = sum(map(torch.cuda.max_memory_allocated, devices)) if on_device else _peak_bytes()
    print(on_all)  # noqa: T201
    return 0


def _peak_bytes() -> int:
    """Return the peak main memory of this process, in bytes.

    `getrusage` on Linux would also count memory of the parent process.
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
