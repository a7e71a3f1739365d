"""The computation after a model's last block, up to the logits, in a form that runs alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from evop_deap.base.errors import UnsupportedModelError
from evop_deap.models.anatomy.devices import device_of
from evop_deap.models.anatomy.parts import Anatomy
from evop_deap.models.anatomy.probe import (
    first_tensor,
    hidden_input,
    nearly_equal,
    probe_tokens,
    removable_hooks,
)

if TYPE_CHECKING:
    from transformers import PreTrainedModel


_HOST = torch.device("cpu")
_ROWS = 8192  # of the head that are multiplied at once


@dataclass(frozen=True, eq=False)
class Exit:
    """The computation of the model after its last block.

    Attributes:
        modules: applied in sequence, such as the final norm; their output is the head's input.
        weight: (vocabulary, width) of the head.
        bias: (vocabulary,) of the head on its device, or None.
        device: where the head runs.
        transform: elementwise function of the float32 logits after the head; may work in place.
    """

    modules: tuple[nn.Module, ...]
    weight: torch.Tensor
    bias: torch.Tensor | None
    transform: Callable[[torch.Tensor], torch.Tensor]
    device: torch.device = _HOST

    def features(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return the head's input for the last block's output: (rows, length, width).

        It is on the head's device.
        """
        for module in self.modules:
            output = first_tensor(module(hidden))
            assert output is not None
            hidden = output
        return hidden.to(self.device)


def find_exit(model: PreTrainedModel, anatomy: Anatomy) -> Exit:
    """Find the modules and functions between the last block and the logits by a short run.

    Raises:
        UnsupportedModelError: a step there is neither a module nor a known function of the logits.
    """
    ids = probe_tokens(model)
    calls: list[tuple[nn.Module, torch.Tensor, torch.Tensor]] = []

    def after(module: nn.Module, args: tuple[Any, ...], kwargs: Any, output: Any) -> None:
        before, behind = hidden_input(args, kwargs), first_tensor(output)
        if before is not None and behind is not None:
            calls.append((module, before, behind))

    with removable_hooks() as handles, torch.inference_mode():
        for module in model.modules():
            handles.append(module.register_forward_hook(after, with_kwargs=True))
        logits = model(input_ids=ids, use_cache=False).logits
    last = max(i for i, call in enumerate(calls) if call[0] is anatomy.blocks[-1].module)
    hidden = calls[last][2]
    modules: list[nn.Module] = []
    for module, before, behind in calls[last + 1 :]:
        if module is anatomy.head:
            if not _same(before, hidden):
                break
            return _exit(model, anatomy, tuple(modules), hidden, logits)
        if _same(before, hidden):
            modules.append(module)
            hidden = behind
    raise UnsupportedModelError(
        f"{type(model).__name__} does something between its last block and its head that is "
        "not a module"
    )


def _exit(
    model: PreTrainedModel,
    anatomy: Anatomy,
    modules: tuple[nn.Module, ...],
    features: torch.Tensor,
    logits: torch.Tensor,
) -> Exit:
    head: Any = anatomy.head
    bias = getattr(head, "bias", None)
    with torch.inference_mode():
        device = device_of(head)
        features, logits = features.to(device), logits.to(device)
        plain = _product(head, features).float()
        for transform in _transforms(model):
            # In the dtype of the logits, so that only rounding may differ.
            if nearly_equal(transform(plain.clone()).to(logits.dtype), logits):
                bias = None if bias is None else bias.to(device)
                return Exit(modules, head.weight, bias, transform, device)
    raise UnsupportedModelError(
        f"{type(model).__name__} makes its logits from the head's output in a way not known here"
    )


def _product(head: Any, features: torch.Tensor) -> torch.Tensor:
    """Return the features times the weights of a head, and its bias."""
    if type(head) is nn.Linear and "forward" in vars(head):
        made: torch.Tensor = head(features)  # its weights are elsewhere, and it reads them itself
        return made
    # In parts: weights that stay in a file may be large, and narrower than the features.
    parts = head.weight.split(_ROWS)
    products = [nn.functional.linear(features, part.to(features)) for part in parts]
    plain = torch.cat(products, dim=-1)
    bias = getattr(head, "bias", None)
    return plain if bias is None else plain + bias.to(plain.device)


def _transforms(model: PreTrainedModel) -> Iterator[Callable[[torch.Tensor], torch.Tensor]]:
    """Yield the known functions of logits in transformers, with numbers from the configuration.

    The identity comes last, because small logits hardly differ from their transformed values.
    """
    config = model.config.get_text_config(decoder=True)
    for name, invert in (("logit_scale", False), ("logits_scaling", True)):  # Cohere; Granite
        if isinstance(value := getattr(config, name, None), int | float) and value:
            yield partial(torch.Tensor.mul_, other=1 / value if invert else value)
    cap = getattr(config, "final_logit_softcapping", None)  # Gemma-2
    if isinstance(cap, int | float) and cap:
        yield partial(_soft_capped, cap=cap)
    yield lambda logits: logits


def _soft_capped(logits: torch.Tensor, *, cap: float) -> torch.Tensor:
    return logits.div_(cap).tanh_().mul_(cap)


def _same(left: torch.Tensor, right: torch.Tensor) -> bool:
    """Compare values, not objects, because models pass on slices and views, and move states."""
    return left.shape == right.shape and torch.equal(left, right.to(left.device))
