"""The halves of a block, which genes can switch separately: its attention and its MLP.

A half is bypassed by letting its modules return zeros, so that they add nothing to the hidden
state. Runs of each half alone show which norms belong to which half, and whether the MLP follows
the attention or runs in parallel.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from evop_deap.base.errors import UnsupportedModelError
from evop_deap.models.anatomy.devices import device_of
from evop_deap.models.anatomy.element_counts import elements
from evop_deap.models.anatomy.entrance import BlockCall, enter
from evop_deap.models.anatomy.matrix_work import expert_share, matrix_work
from evop_deap.models.anatomy.parts import Anatomy, Block, Part
from evop_deap.models.anatomy.probe import (
    first_tensor,
    hidden_input,
    nearly_equal,
    probe_tokens,
    removable_hooks,
)
from evop_deap.models.anatomy.replaced_forward import Forward, replaced_forward
from evop_deap.space import Unit
from evop_deap.space.unit_names import ATTENTION, MLP, unit_name

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_OTHER = {ATTENTION: MLP, MLP: ATTENTION}


def find_halves(model: PreTrainedModel, anatomy: Anatomy) -> tuple[Part, ...]:
    """Return the attention and the MLP of every block, checked on a few tokens.

    Raises:
        UnsupportedModelError: the halves of a block cannot be told apart or bypassed; the
            message has the block and the reason.
    """
    share = expert_share(model.config.get_text_config(decoder=True))
    found: list[Part] = []
    with torch.inference_mode():
        entrance = enter(model, anatomy, probe_tokens(model))
        hidden = entrance.hidden
        for call, block in zip(entrance.calls, anatomy.blocks, strict=True):
            start = hidden.to(device_of(block.module))
            halves, hidden = _halves_of(call, block, start, share)
            found += halves
    return tuple(found)


def _halves_of(
    call: BlockCall, block: Block, hidden: torch.Tensor, share: tuple[int, float]
) -> tuple[list[Part], torch.Tensor]:
    """Return the halves of a block, and its output for `hidden`."""
    if not block.attention or not block.mlp:
        raise _refusal(block, "its attention and its MLP cannot be told apart")
    if list(block.module.parameters(recurse=False)):
        raise _refusal(block, "it has weights other than those of its attention and its MLP")
    zeros, output = _zero_forwards(call, block, hidden)
    modules = {ATTENTION: block.attention, MLP: block.mlp}
    bypass = {
        kind: partial(replaced_forward, {module: zeros[module] for module in own})
        for kind, own in modules.items()
    }

    def alone(kind: str, start: torch.Tensor) -> torch.Tensor:
        with bypass[_OTHER[kind]]():
            return call(block, start)

    with bypass[ATTENTION](), bypass[MLP]():
        if not nearly_equal(call(block, hidden), hidden):
            raise _refusal(block, "it changes the hidden state even without them")
    attention = alone(ATTENTION, hidden)
    # The error of the true arrangement is rounding; the other's is the halves' interaction.
    in_sequence = float((alone(MLP, attention) - output).abs().max())
    in_parallel = float((attention + (alone(MLP, hidden) - hidden) - output).abs().max())
    scale = float(output.abs().max())
    if not min(in_sequence, in_parallel) <= torch.finfo(output.dtype).eps ** 0.5 * scale:
        raise _refusal(block, "it is not its attention and its MLP in sequence or in parallel")
    norms = _norms(block, lambda kind: alone(kind, hidden))
    halves = [
        Part(
            unit=Unit(
                unit_name(block.index, kind),
                parameters=elements(*own, *norms[kind]),
                work=sum(matrix_work(module, share) for module in own),
            ),
            block=block,
            turn=int(kind == MLP and in_sequence <= in_parallel),
            modules=own,
            norms=tuple(norms[kind]),
            bypass=bypass[kind],
            cache_share=int(kind == ATTENTION),
        )
        for kind, own in modules.items()
    ]
    return halves, output


def _zero_forwards(
    call: BlockCall, block: Block, hidden: torch.Tensor
) -> tuple[dict[nn.Module, Forward], torch.Tensor]:
    """Return a `forward` of zeros for each module of the halves, and the block's output."""
    zeros: dict[nn.Module, Forward] = {}

    def after(module: nn.Module, args: Any, output: Any) -> None:
        state = first_tensor(output)
        if state is not None:
            items = 0 if isinstance(output, torch.Tensor) else len(output)
            zeros[module] = _zero_forward(
                state.shape[-1], items, list if isinstance(output, list) else tuple
            )

    with removable_hooks() as handles:
        for module in (*block.attention, *block.mlp):
            handles.append(module.register_forward_hook(after))
        output = call(block, hidden)
    if len(zeros) < len(block.attention) + len(block.mlp):
        raise _refusal(block, "a part of them returns no hidden state")
    return zeros, output


def _zero_forward(width: int, items: int, kind: Callable[..., Any]) -> Forward:
    """Return a `forward` that returns zeros of this width, alone or first of `items` items.

    The items are in a sequence of type `kind`, as the block's own code expects.
    """

    def forward(*args: Any, **kwargs: Any) -> Any:
        hidden = hidden_input(args, kwargs)
        assert hidden is not None
        zeros = hidden.new_zeros((*hidden.shape[:-1], width))
        return kind((zeros, *[None] * (items - 1))) if items else zeros

    return forward


def _norms(block: Block, alone: Callable[[str], torch.Tensor]) -> dict[str, list[nn.Module]]:
    """Return the children that affect only one half, by its kind."""
    own = {*block.attention, *block.mlp}
    norms: dict[str, list[nn.Module]] = {kind: [] for kind in _OTHER}
    plain = {kind: alone(kind) for kind in norms}
    for child in block.module.children():
        if child in own or not elements(child):
            continue
        # Zeros, because a second norm would hide a mere change of scale.
        handle = child.register_forward_hook(lambda module, args, output: torch.zeros_like(output))
        try:
            affected = [kind for kind in norms if not torch.equal(alone(kind), plain[kind])]
        finally:
            handle.remove()
        if len(affected) == 1:
            norms[affected[0]].append(child)
    return norms


def _refusal(block: Block, reason: str) -> UnsupportedModelError:
    return UnsupportedModelError(
        f"block {block.index} has no halves that can be dropped separately: {reason};"
        " search whole blocks instead"
    )
