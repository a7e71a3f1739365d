"""The parts of a block that a gene may switch apart: its attention and its MLP.

A half is silent when its modules answer zeros: what they would add to the hidden state is not
added. Which norms belong to which half, and whether the MLP follows the attention or stands
beside it, is found by running each half alone.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from evop_deap.base.errors import UnsupportedModelError
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
    """The attention and the MLP of every block, tried out on a few tokens.

    Raises:
        UnsupportedModelError: the halves of a block cannot be told apart or silenced; the
            message names the block and says why.
    """
    share = expert_share(model.config.get_text_config(decoder=True))
    found: list[Part] = []
    with torch.inference_mode():
        entrance = enter(model, anatomy, probe_tokens(model))
        hidden = entrance.hidden
        for call, block in zip(entrance.calls, anatomy.blocks, strict=True):
            halves, hidden = _halves_of(call, block, hidden, share)
            found += halves
    return tuple(found)


def _halves_of(
    call: BlockCall, block: Block, hidden: torch.Tensor, share: tuple[int, float]
) -> tuple[list[Part], torch.Tensor]:
    """The halves of a block, and its output for `hidden`."""
    if not block.attention or not block.mlp:
        raise _refusal(block, "its attention and its MLP cannot be told apart")
    if list(block.module.parameters(recurse=False)):
        raise _refusal(block, "it has weights beside those of its attention and its MLP")
    answers, output = _answers(call, block, hidden)
    modules = {ATTENTION: block.attention, MLP: block.mlp}
    silence = {
        kind: partial(replaced_forward, {module: answers[module] for module in own})
        for kind, own in modules.items()
    }

    def alone(kind: str, start: torch.Tensor) -> torch.Tensor:
        with silence[_OTHER[kind]]():
            return call(block, start)

    with silence[ATTENTION](), silence[MLP]():
        if not nearly_equal(call(block, hidden), hidden):
            raise _refusal(block, "it changes the hidden state even without them")
    attention = alone(ATTENTION, hidden)
    # Exact where it is so; the other order differs by what the halves have to do with another.
    after = float((alone(MLP, attention) - output).abs().max())
    beside = float((attention + (alone(MLP, hidden) - hidden) - output).abs().max())
    scale = float(output.abs().max())
    if not min(after, beside) <= torch.finfo(output.dtype).eps ** 0.5 * scale:
        raise _refusal(block, "it is more than its attention and its MLP, one by one")
    norms = _norms(block, lambda kind: alone(kind, hidden))
    halves = [
        Part(
            unit=Unit(
                unit_name(block.index, kind),
                parameters=sum(p.numel() for m in (*own, *norms[kind]) for p in m.parameters()),
                work=sum(matrix_work(module, share) for module in own),
            ),
            block=block,
            turn=int(kind == MLP and after <= beside),
            modules=own,
            norms=tuple(norms[kind]),
            bypass=silence[kind],
            cache_share=int(kind == ATTENTION),
        )
        for kind, own in modules.items()
    ]
    return halves, output


def _answers(
    call: BlockCall, block: Block, hidden: torch.Tensor
) -> tuple[dict[nn.Module, Forward], torch.Tensor]:
    """Zeros in the place of what each module of the halves says, and the block's output."""
    answers: dict[nn.Module, Forward] = {}

    def after(module: nn.Module, args: Any, output: Any) -> None:
        said = first_tensor(output)
        if said is not None:
            items = 0 if isinstance(output, torch.Tensor) else len(output)
            answers[module] = _zeros(
                said.shape[-1], items, list if isinstance(output, list) else tuple
            )

    with removable_hooks() as handles:
        for module in (*block.attention, *block.mlp):
            handles.append(module.register_forward_hook(after))
        output = call(block, hidden)
    if len(answers) < len(block.attention) + len(block.mlp):
        raise _refusal(block, "a part of them returns no hidden state")
    return answers, output


def _zeros(width: int, items: int, kind: Callable[..., Any]) -> Forward:
    """A module's `forward` that says nothing: zeros of this width, in a tuple of so many items.

    The tuple may be another `kind` of sequence, as the block's own code expects it.
    """

    def forward(*args: Any, **kwargs: Any) -> Any:
        heard = hidden_input(args, kwargs)
        assert heard is not None
        nothing = heard.new_zeros((*heard.shape[:-1], width))
        return kind((nothing, *[None] * (items - 1))) if items else nothing

    return forward


def _norms(block: Block, alone: Callable[[str], torch.Tensor]) -> dict[str, list[nn.Module]]:
    """The children that act on one half alone, by its kind: those that it feels a change of."""
    own = {*block.attention, *block.mlp}
    norms: dict[str, list[nn.Module]] = {kind: [] for kind in _OTHER}
    plain = {kind: alone(kind) for kind in norms}
    for child in block.module.children():
        if child in own or not list(child.parameters()):
            continue
        # Zeros, not a multiple: what is normed once more would not feel another length.
        handle = child.register_forward_hook(lambda module, args, output: torch.zeros_like(output))
        try:
            feeling = [kind for kind in norms if not torch.equal(alone(kind), plain[kind])]
        finally:
            handle.remove()
        if len(feeling) == 1:
            norms[feeling[0]].append(child)
    return norms


def _refusal(block: Block, reason: str) -> UnsupportedModelError:
    return UnsupportedModelError(
        f"block {block.index} has no halves that can be dropped apart: {reason};"
        " search whole blocks instead"
    )
