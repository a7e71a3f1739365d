"""The two halves of a block, attention and MLP: what belongs to each, and running one alone.

A half is silent when its modules answer zeros: what they would add to the hidden state is not
added. Which norms belong to which half, and whether the MLP follows the attention or stands
beside it, is found by running each half alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from evop_deap.base.errors import UnsupportedModelError
from evop_deap.models.anatomy.matrix_work import expert_share, matrix_work
from evop_deap.models.anatomy.probe import (
    first_tensor,
    hidden_input,
    nearly_equal,
    probe_tokens,
    removable_hooks,
)
from evop_deap.models.anatomy.replaced_forward import replaced_forward
from evop_deap.models.anatomy.staged import BlockCall, enter

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from evop_deap.models.anatomy.find_anatomy import Anatomy, Block


@dataclass(frozen=True, eq=False)
class Half:
    """The attention or the MLP of a block.

    Attributes:
        kind: "attn" or "mlp", as units are named.
        modules: direct children of the block that hold its matrices.
        norms: direct children of the block that act on this half alone.
        answers: how each of `modules` is answered for while the half is silent.
        parameters: elements of `modules` and `norms`.
        work: multiply-adds per token.
    """

    kind: str
    modules: tuple[nn.Module, ...]
    norms: tuple[nn.Module, ...]
    answers: tuple[Callable[..., Any], ...]
    parameters: int
    work: int


@dataclass(frozen=True, eq=False)
class Halves:
    """Both halves of a block.

    Attributes:
        attention: lets a token see its neighbours.
        mlp: works on each token alone.
        sequential: whether the block is its MLP after its attention; else both read the
            block's input and what they say is added.
    """

    attention: Half
    mlp: Half
    sequential: bool


@contextmanager
def silenced(halves: Sequence[Half]) -> Iterator[None]:
    """Let the modules of these halves say nothing. May be nested."""
    with ExitStack() as stack:
        for half in halves:
            for module, answer in zip(half.modules, half.answers, strict=True):
                stack.enter_context(replaced_forward([module], answer))
        yield


def find_halves(model: PreTrainedModel, anatomy: Anatomy) -> tuple[Halves, ...]:
    """Both halves of every block, tried out on a few tokens.

    Raises:
        UnsupportedModelError: the halves of a block cannot be told apart or silenced; the
            message names the block and says why.
    """
    share = expert_share(model.config.get_text_config(decoder=True))
    found: list[Halves] = []
    with torch.inference_mode():
        entrance = enter(model, anatomy, probe_tokens(model))
        hidden = entrance.hidden
        for call, block in zip(entrance.calls, anatomy.blocks, strict=True):
            halves, hidden = _halves_of(call, block, hidden, share)
            found.append(halves)
    return tuple(found)


def _halves_of(
    call: BlockCall, block: Block, hidden: torch.Tensor, share: tuple[int, float]
) -> tuple[Halves, torch.Tensor]:
    """The halves of a block, and its output for `hidden`."""
    if not block.attention or not block.mlp:
        raise _refusal(block, "its attention and its MLP cannot be told apart")
    if list(block.module.parameters(recurse=False)):
        raise _refusal(block, "it has weights beside those of its attention and its MLP")
    answers, output = _answers(call, block, hidden)
    bare = {
        kind: Half(kind, modules, (), tuple(answers[m] for m in modules), 0, 0)
        for kind, modules in (("attn", block.attention), ("mlp", block.mlp))
    }

    def alone(kind: str, start: torch.Tensor) -> torch.Tensor:
        (other,) = (half for name, half in bare.items() if name != kind)
        with silenced([other]):
            return call(block, start)

    with silenced(list(bare.values())):
        if not nearly_equal(call(block, hidden), hidden):
            raise _refusal(block, "it changes the hidden state even without them")
    attention = alone("attn", hidden)
    # Exact where it is so; the other order differs by what the halves have to do with another.
    after = float((alone("mlp", attention) - output).abs().max())
    beside = float((attention + (alone("mlp", hidden) - hidden) - output).abs().max())
    scale = float(output.abs().max())
    if not min(after, beside) <= torch.finfo(output.dtype).eps ** 0.5 * scale:
        raise _refusal(block, "it is more than its attention and its MLP, one by one")
    norms = _norms(block, lambda kind: alone(kind, hidden))
    attention_half, mlp_half = (
        Half(
            kind,
            half.modules,
            tuple(norms[kind]),
            half.answers,
            sum(p.numel() for m in (*half.modules, *norms[kind]) for p in m.parameters()),
            sum(matrix_work(module, share) for module in half.modules),
        )
        for kind, half in bare.items()
    )
    return Halves(attention_half, mlp_half, sequential=after <= beside), output


def _answers(
    call: BlockCall, block: Block, hidden: torch.Tensor
) -> tuple[dict[nn.Module, Callable[..., Any]], torch.Tensor]:
    """Zeros in the place of what each module of the halves says, and the block's output."""
    answers: dict[nn.Module, Callable[..., Any]] = {}

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


def _zeros(width: int, items: int, kind: Callable[..., Any]) -> Callable[..., Any]:
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
    norms: dict[str, list[nn.Module]] = {"attn": [], "mlp": []}
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
