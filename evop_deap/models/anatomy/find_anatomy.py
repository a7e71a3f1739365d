"""What a decoder-only language model is made of, found by running it once and watching."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from evop_deap.base.errors import InputError, UnsupportedModelError
from evop_deap.models.anatomy.block_children import find_children
from evop_deap.models.anatomy.halves import Halves, find_halves
from evop_deap.models.anatomy.matrix_work import expert_share, matrix_work
from evop_deap.models.anatomy.probe import (
    embedding_table,
    first_tensor,
    hidden_input,
    nearly_equal,
    probe_tokens,
    removable_hooks,
    run_forward,
)

if TYPE_CHECKING:
    from transformers import PreTrainedModel


GRANULARITIES = ("block", "half")


@dataclass(frozen=True, eq=False)
class Block:
    """One decoder layer.

    Args:
        index: Position in the dense model.
        name: Module path, such as "model.layers.12".
        module: The layer itself.
        attention: Direct children holding matrices that let a token see its neighbours.
        mlp: The other direct children holding matrices; both are empty when the halves
            cannot be told apart.
        parameters: Number of elements of all its parameters.
        work: Multiply-adds per token: the elements of its matrices, of which a mixture of
            experts uses the share that one token is sent to.
    """

    index: int
    name: str
    module: nn.Module
    attention: tuple[nn.Module, ...]
    mlp: tuple[nn.Module, ...]
    parameters: int
    work: int


@dataclass(frozen=True, eq=False)
class Anatomy:
    """Where the parts of a model are.

    Args:
        path: Module path of the list of blocks, such as "model.layers".
        blocks: The decoder layers in the order they run.
        norm: The module that takes the last block's output; None when the head does.
        head: The output embeddings.
        head_work: Multiply-adds per token of the head.
        output_items: Number of items in the tuple a block returns, hidden state first; 0 when
            it returns the hidden state itself.
        halves: Of each block, where a gene switches a half; empty where it switches a block.
    """

    path: str
    blocks: tuple[Block, ...]
    norm: nn.Module | None
    head: nn.Module
    head_work: int
    output_items: int
    halves: tuple[Halves, ...] = ()

    @property
    def granularity(self) -> str:
        """What one gene switches: "block" or "half"."""
        return "half" if self.halves else "block"

    @property
    def returns_tuple(self) -> bool:
        """Whether a block returns a tuple with the hidden state first, or a bare tensor."""
        return self.output_items > 0


def find_anatomy(model: PreTrainedModel, granularity: str = "block") -> Anatomy:
    """Find blocks, halves, final norm and head by running a few tokens.

    The blocks are the children of a module list that run once each, in order, every one
    taking exactly the tensor its predecessor returned. The model is left in evaluation mode.

    Args:
        model: A causal language model.
        granularity: What one gene is to switch: "block", or "half" for a block's attention
            and its MLP apart.

    Raises:
        InputError: `granularity` is another word.
        UnsupportedModelError: the model is no decoder-only causal language model, or its
            blocks are no plain chain, or have no halves to be switched; the message says why.
    """
    if granularity not in GRANULARITIES:
        raise InputError(f"`granularity` must be 'block' or 'half', but got '{granularity}'")
    name = type(model).__name__
    if model.config.is_encoder_decoder:
        raise UnsupportedModelError(
            f"{name} is an encoder-decoder model; only decoder-only causal models can be pruned"
        )
    parts: Any = model
    head = parts.get_output_embeddings()
    if head is None:
        raise UnsupportedModelError(
            f"{name} has no output embeddings; load it with a language-modelling head"
        )
    parts.eval()
    _check_causal(model)
    path, trace = _find_chain(model)
    chain = list(model.get_submodule(path).children())
    children = find_children(model, chain)
    share = expert_share(model.config.get_text_config(decoder=True))
    blocks = tuple(
        Block(
            index=index,
            name=f"{path}.{index}",
            module=module,
            attention=attention,
            mlp=mlp,
            parameters=sum(p.numel() for p in module.parameters()),
            work=matrix_work(module, share),
        )
        for index, (module, (attention, mlp)) in enumerate(zip(chain, children, strict=True))
    )
    norm = trace.successor
    anatomy = Anatomy(
        path=path,
        blocks=blocks,
        norm=None if norm is head else norm,
        head=head,
        head_work=sum(p.numel() for p in head.parameters() if p.ndim >= 2),
        output_items=0 if isinstance(trace.output, torch.Tensor) else len(trace.output),
    )
    if granularity == "block":
        return anatomy
    return replace(anatomy, halves=find_halves(model, anatomy))


@dataclass(frozen=True, eq=False)
class _Trace:
    """What came out of a chain of modules, and which module took it."""

    output: Any
    successor: nn.Module | None


def _find_chain(model: PreTrainedModel) -> tuple[str, _Trace]:
    """Path and trace of the outermost module list that is a pure chain of all the layers."""
    name = type(model).__name__
    count = int(model.config.get_text_config(decoder=True).num_hidden_layers)
    lists = {
        # By index: `children` would hide that one module stands for several layers.
        path: [module[index] for index in range(count)]
        for path, module in model.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) == count
    }
    if not lists:
        raise UnsupportedModelError(
            f"{name} has no list of {count} modules, the `num_hidden_layers` of its config"
        )
    calls = _record_calls(model)
    reasons = []
    # named_modules goes from the outside in, so that the first chain is the outermost one.
    for path, chain in lists.items():
        reason = _why_no_chain(chain, calls)
        if reason is None:
            return path, _trace_of(chain, calls)
        reasons.append(f"{path}: {reason}")
    raise UnsupportedModelError(
        f"the blocks of {name} are no plain chain and cannot be dropped one by one"
        f" ({'; '.join(reasons)})"
    )


@dataclass(eq=False)
class _Call:
    """One call of one module during the probe; `output` is filled in when it returns."""

    module: nn.Module
    hidden: torch.Tensor | None
    output: Any = None


def _record_calls(model: PreTrainedModel) -> list[_Call]:
    """Every module call of one probe forward, in the order the calls begin."""
    calls: list[_Call] = []
    running: list[_Call] = []

    def before(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        call = _Call(module, hidden_input(args, kwargs))
        calls.append(call)
        running.append(call)

    def after(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        running.pop().output = output

    with removable_hooks() as handles, torch.no_grad():
        for module in model.modules():
            handles.append(module.register_forward_pre_hook(before, with_kwargs=True))
            handles.append(module.register_forward_hook(after))
        run_forward(model, probe_tokens(model))
    return calls


def _why_no_chain(chain: Sequence[nn.Module], calls: Sequence[_Call]) -> str | None:
    """What keeps `chain` from being blocks that run once, in order, output to input."""
    if len(set(chain)) < len(chain):
        return "the same module stands for several layers"
    members = set(chain)
    made = [call for call in calls if call.module in members]
    if len(made) < len(chain):
        return f"{len(chain) - len(made)} of {len(chain)} did not run"
    if len(made) > len(chain):
        return "some run more than once a pass"
    for index, (call, expected) in enumerate(zip(made, chain, strict=True)):
        if call.module is not expected:
            return "they do not run in the order of the list"
        if call.hidden is None:
            return f"block {index} takes no hidden state"
        if index and call.hidden is not first_tensor(made[index - 1].output):
            return f"something changes the hidden state between blocks {index - 1} and {index}"
    return None


def _trace_of(chain: Sequence[nn.Module], calls: Sequence[_Call]) -> _Trace:
    output = next(call.output for call in calls if call.module is chain[-1])
    hidden = first_tensor(output)
    begun = [call.module for call in calls]
    later = calls[begun.index(chain[-1]) + 1 :]
    inside = set(chain[-1].modules())
    takers = (c.module for c in later if c.hidden is hidden and c.module not in inside)
    return _Trace(output=output, successor=next(takers, None))


def _check_causal(model: PreTrainedModel) -> None:
    """Refuse a model whose earlier predictions know later tokens."""
    ids = probe_tokens(model)
    changed = ids.clone()
    changed[0, -1] = (changed[0, -1] + 1) % embedding_table(model).shape[0]
    before, after = run_forward(model, ids), run_forward(model, changed)
    if not nearly_equal(before[:, :-1], after[:, :-1]):
        raise UnsupportedModelError(
            f"{type(model).__name__} is no causal language model: its prediction at a position"
            " depends on later tokens"
        )
