"""What the results of a model depend on, beside its input."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import torch

from evop_deap.base.kept_answers import code_of
from evop_deap.models.anatomy.devices import device_of
from evop_deap.models.loading.precision import dtype_of
from evop_deap.models.streaming.streamed_weights import weights_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def versions_of(model: PreTrainedModel) -> dict[str, str] | None:
    """Return the version of each package that has code of a model.

    None if a module's code is of no package, as that of a repository of the hub. It can change
    unnoticed.
    """
    packages = {type(module).__module__.partition(".")[0] for module in model.modules()}
    try:
        return {name: version(name) for name in sorted(packages | {"torch", "transformers"})}
    except PackageNotFoundError:
        return None


def computed_on(model: PreTrainedModel) -> str:
    """Return what a model is computed on, as far as it affects the bits of a sum."""
    device = device_of(model)
    if device.type == "cpu":
        capability = torch.backends.cpu.get_cpu_capability()
        return f"{platform.machine()} {capability} {torch.get_num_threads()} threads"
    if device.type == "cuda":
        # Streamed weights are on the host, and computed with elsewhere.
        devices = {w.device for w in model.parameters() if w.device.type == "cuda"} or {device}
        return " and ".join(sorted(set(map(torch.cuda.get_device_name, devices))))
    return device.type


def computation_of(model: PreTrainedModel, fingerprint: str) -> dict[str, Any] | None:
    """Return plain JSON on which the results of a model depend, by which they may be kept.

    None if a module's code can change unnoticed.

    Args:
        model: the model.
        fingerprint: hash of its content.
    """
    versions = versions_of(model)
    if versions is None:
        return None
    configs = (model.config, model.config.get_text_config(decoder=True))
    return {
        "model": fingerprint,
        "class": type(model).__qualname__,
        "dtype": str(dtype_of(model)),
        "stored": str(model.dtype),
        "streamed": weights_of(model) is not None,
        "devices": sorted({str(weight.device) for weight in model.parameters()}),
        "processor": computed_on(model),
        "attention": [config._attn_implementation for config in configs],
        "products": torch.get_float32_matmul_precision(),
        "versions": versions,
        "code": code_of("models", "space"),
    }
