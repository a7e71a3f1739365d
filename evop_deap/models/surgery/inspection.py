"""What a model's blocks are and which of them may go, before anything is searched."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from torch import nn

from evop_deap.base.errors import UnsupportedModelError
from evop_deap.models.anatomy.kv_cache import cache_growth
from evop_deap.models.anatomy.matrix_work import expert_share, matrix_work
from evop_deap.models.anatomy.parts import Anatomy, Block
from evop_deap.models.surgery.rehearsal import check_removable

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class BlockFacts:
    """What is known of one block.

    Attributes:
        block: its position.
        kind: what its configuration calls it, such as "full_attention, dense", or its class.
        parameters: elements of all its weights.
        attention: of the half that lets a token see others; None where halves cannot be told.
        mlp: of the other half, likewise.
        routed: share of its multiply-adds that a token is not sent to, in a mixture of experts.
        kv_bytes: what its cache grows by with every token; None where it has no such cache.
        kv_window: tokens at which that growth ends; None where it does not.
        rehearsed_as: the block whose removal was rehearsed in its place: itself at both ends,
            else the first between them that is like it.
        obstacle: why the model cannot be exported without it; None where it can.
    """

    block: int
    kind: str
    parameters: int
    attention: int | None
    mlp: int | None
    routed: float
    kv_bytes: int | None
    kv_window: int | None
    rehearsed_as: int
    obstacle: str | None


@dataclass(frozen=True)
class ModelFacts:
    """What is known of a model.

    Attributes:
        model: its class.
        dtype: number format it was loaded in, which KV bytes are counted in.
        parameters: elements of all its weights, tied ones counted once.
        outside: of them, those in no block: embeddings, last norm, head.
        tied: whether the head is the embeddings.
        path: where the blocks are, such as "model.layers".
        blocks: in the order they run.
    """

    model: str
    dtype: str
    parameters: int
    outside: int
    tied: bool
    path: str
    blocks: tuple[BlockFacts, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**dataclasses.asdict(self), "blocks": [dataclasses.asdict(b) for b in self.blocks]}


def inspect_model(model: PreTrainedModel, anatomy: Anatomy) -> ModelFacts:
    """Look at every block, and rehearse on a few tokens what the model is without one.

    What is special in a model is special at its ends, so of the blocks between that are alike
    one stands for all.

    Args:
        model: with its weights.
        anatomy: where its parts are.
    """
    config = model.config.get_text_config(decoder=True)
    share = expert_share(config)
    growths = cache_growth(model, anatomy)
    kinds = _kinds(config, anatomy.blocks)
    facts = []
    for block, kind, growth in zip(anatomy.blocks, kinds, growths, strict=True):
        told = bool(block.attention and block.mlp)
        everything = matrix_work(block.module, (0, 1.0))
        facts.append(
            BlockFacts(
                block=block.index,
                kind=kind,
                parameters=block.parameters,
                attention=_elements(block.attention) if told else None,
                mlp=_elements(block.mlp) if told else None,
                routed=1 - block.work / everything if share[0] and everything else 0.0,
                kv_bytes=growth.per_token,
                kv_window=growth.window,
                rehearsed_as=block.index,
                obstacle=None,
            )
        )
    parameters = sum(parameter.numel() for parameter in model.parameters())
    parts: Any = model
    return ModelFacts(
        model=type(model).__name__,
        dtype=str(model.dtype).removeprefix("torch."),
        parameters=parameters,
        outside=parameters - sum(block.parameters for block in anatomy.blocks),
        tied=parts.get_input_embeddings().weight is getattr(anatomy.head, "weight", None),
        path=anatomy.path,
        blocks=_rehearsed(model, anatomy, facts),
    )


def _rehearsed(
    model: PreTrainedModel, anatomy: Anatomy, facts: Sequence[BlockFacts]
) -> tuple[BlockFacts, ...]:
    """The facts with what the rehearsals say."""
    ends = {facts[0].block, facts[-1].block}
    found: dict[BlockFacts, BlockFacts] = {}
    told = []
    for fact in facts:
        kind = fact if fact.block in ends else replace(fact, block=-1, rehearsed_as=-1)
        if kind not in found:
            found[kind] = replace(fact, obstacle=_obstacle(model, anatomy, fact.block))
        first = found[kind]
        told.append(replace(fact, rehearsed_as=first.block, obstacle=first.obstacle))
    return tuple(told)


def _obstacle(model: PreTrainedModel, anatomy: Anatomy, block: int) -> str | None:
    if len(anatomy.blocks) == 1:
        return "it is the only block"
    try:
        check_removable(model, anatomy, [block])
    except UnsupportedModelError as error:
        return str(error)
    return None


def _kinds(config: Any, blocks: Sequence[Block]) -> list[str]:
    """A name for each block: its class, and what the configuration says of its two halves."""
    said = [
        kinds
        for name in ("layer_types", "layers_block_type", "mlp_layer_types")
        if isinstance(kinds := getattr(config, name, None), list | tuple)
        and len(kinds) == len(blocks)
    ]
    # Some say the same under two names.
    names = [dict.fromkeys(str(kinds[block.index]) for kinds in said) for block in blocks]
    return [
        ", ".join(kinds) or type(block.module).__name__
        for kinds, block in zip(names, blocks, strict=True)
    ]


def _elements(modules: Sequence[nn.Module]) -> int:
    """Elements of all the weights in these modules, each counted once."""
    return sum(p.numel() for p in {p for module in modules for p in module.parameters()})
