"""Inspection of a model before a search: its blocks, and which of them can be removed."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from evop_deap.base.errors import UnsupportedModelError
from evop_deap.models.anatomy.element_counts import elements
from evop_deap.models.anatomy.kv_cache import cache_growth
from evop_deap.models.anatomy.matrix_work import expert_share, matrix_work
from evop_deap.models.anatomy.parts import Anatomy, Block
from evop_deap.models.surgery.image_blocks import image_blocks
from evop_deap.models.surgery.rehearsal import check_removable
from evop_deap.models.surgery.set_rehearsal import find_constraints
from evop_deap.space import Constraint

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class BlockFacts:
    """Facts about one block.

    Attributes:
        block: its position.
        kind: its type in the configuration, such as "full_attention, dense", or its class.
        parameters: elements of all its weights.
        attention: elements of its attention; None if the halves cannot be told apart.
        mlp: elements of its MLP, likewise.
        routed: share of its multiply-adds that one token does not use, in a mixture of experts.
        kv_bytes: bytes by which its cache grows with every token; None if it has no such cache.
        kv_window: number of tokens after which the cache stops growing; None for no limit.
        rehearsed_as: the block whose removal was rehearsed for this one: the first or the last
            block for itself, else the first equal block between them.
        obstacle: why the model cannot be exported without it; None if it can.
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
    """Facts about a model.

    Attributes:
        model: its class.
        dtype: dtype that it was loaded in, in which KV bytes are counted.
        parameters: elements of all its weights, tied ones counted once.
        outside: elements outside the blocks: embeddings, last norm, head.
        tied: whether the head and the embeddings share their weights.
        path: module path of the blocks, such as "model.layers".
        blocks: facts about the blocks in the order in which they run.
        constraints: kinds of blocks of which some must stay, though each block may go.
        kept: of a multimodal model, the modules beside its text decoder; else empty.
        left_out: sentences on what is in the checkpoint but not in the model.
    """

    model: str
    dtype: str
    parameters: int
    outside: int
    tied: bool
    path: str
    blocks: tuple[BlockFacts, ...]
    constraints: tuple[Constraint, ...] = ()
    kept: str = ""
    left_out: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        constraints = [
            {"blocks": sorted(c.units), "least": c.least, "reason": c.reason}
            for c in self.constraints
        ]
        blocks = [dataclasses.asdict(b) for b in self.blocks]
        return {**dataclasses.asdict(self), "blocks": blocks, "constraints": constraints}


def inspect_model(model: PreTrainedModel, anatomy: Anatomy) -> ModelFacts:
    """Collect facts about every block, and rehearse its removal on a few tokens.

    The removal of sets of blocks is rehearsed, too; see `find_constraints`.

    The first and the last block, and those that read images, are rehearsed individually, because
    models treat them specially.
    Of equal blocks between them, one is rehearsed for all.

    Args:
        model: a model with its weights.
        anatomy: its anatomy.
    """
    config = model.config.get_text_config(decoder=True)
    share = expert_share(config)
    growths = cache_growth(model, anatomy)
    kinds = _kinds(config, anatomy.blocks)
    facts = []
    for block, kind, growth in zip(anatomy.blocks, kinds, growths, strict=True):
        has_halves = bool(block.attention and block.mlp)
        everything = matrix_work(block.module, (0, 1.0))
        facts.append(
            BlockFacts(
                block=block.index,
                kind=kind,
                parameters=block.parameters,
                attention=elements(*block.attention) if has_halves else None,
                mlp=elements(*block.mlp) if has_halves else None,
                routed=1 - block.work / everything if share[0] and everything else 0.0,
                kv_bytes=growth.per_token,
                kv_window=growth.window,
                rehearsed_as=block.index,
                obstacle=None,
            )
        )
    parameters = elements(model)
    rehearsed = _rehearsed(model, anatomy, facts)
    may_go = [fact.block for fact in rehearsed if fact.obstacle is None]
    parts: Any = model
    return ModelFacts(
        model=type(model).__name__,
        dtype=str(model.dtype).removeprefix("torch."),
        parameters=parameters,
        outside=parameters - sum(block.parameters for block in anatomy.blocks),
        tied=parts.get_input_embeddings().weight is getattr(anatomy.head, "weight", None),
        path=anatomy.path,
        blocks=rehearsed,
        constraints=find_constraints(model, anatomy, may_go, len(facts) - 1),
    )


def _rehearsed(
    model: PreTrainedModel, anatomy: Anatomy, facts: Sequence[BlockFacts]
) -> tuple[BlockFacts, ...]:
    """Return the facts with the results of the rehearsals."""
    fixed = {anatomy.parts[u].block.index for c in image_blocks(model, anatomy) for u in c.units}
    alone = {facts[0].block, facts[-1].block} | fixed
    found: dict[BlockFacts, BlockFacts] = {}
    rehearsed = []
    for fact in facts:
        kind = fact if fact.block in alone else replace(fact, block=-1, rehearsed_as=-1)
        if kind not in found:
            found[kind] = replace(fact, obstacle=_obstacle(model, anatomy, fact.block))
        first = found[kind]
        rehearsed.append(replace(fact, rehearsed_as=first.block, obstacle=first.obstacle))
    return tuple(rehearsed)


def _obstacle(model: PreTrainedModel, anatomy: Anatomy, block: int) -> str | None:
    if len(anatomy.blocks) == 1:
        return "it is the only block"
    try:
        check_removable(model, anatomy, [block])
    except UnsupportedModelError as error:
        return str(error)
    return None


def _kinds(config: Any, blocks: Sequence[Block]) -> list[str]:
    """Return a name for each block: its types in the configuration, or else its class."""
    lists = [
        kinds
        for name in ("layer_types", "layers_block_type", "mlp_layer_types")
        if isinstance(kinds := getattr(config, name, None), list | tuple)
        and len(kinds) == len(blocks)
    ]
    # Some configurations hold the same list under two names.
    names = [dict.fromkeys(str(kinds[block.index]) for kinds in lists) for block in blocks]
    return [
        ", ".join(kinds) or type(block.module).__name__
        for kinds, block in zip(names, blocks, strict=True)
    ]
