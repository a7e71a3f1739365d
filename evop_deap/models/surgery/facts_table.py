"""The facts about a model's blocks as a table for a terminal."""

from __future__ import annotations

from itertools import groupby

from evop_deap.models.surgery.inspection import BlockFacts, ModelFacts


def facts_table(facts: ModelFacts) -> str:
    """Return the facts as a table; consecutive equal blocks share a line."""
    rows = [("blocks", "type", "parameters", "attention", "MLP", "KV bytes/token", "may go")]
    for _, alike in groupby(facts.blocks, key=_but_its_place):
        some = list(alike)
        first, last = some[0], some[-1]
        kind = f"{first.kind}, {1 - first.routed:.0%} a token" if first.routed else first.kind
        rows.append(
            (
                str(first.block) if len(some) == 1 else f"{first.block}-{last.block}",
                kind,
                f"{first.parameters:,}",
                _count(first.attention),
                _count(first.mlp),
                _count(first.kv_bytes) + (f" to {first.kv_window:,}" if first.kv_window else ""),
                "yes" if first.obstacle is None else "no",
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    left = {0, 1, 6}
    lines = [
        "  ".join(
            cell.ljust(width) if place in left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    head = "the head is the embeddings" if facts.tied else "the head is apart"
    total = sum(block.kv_bytes or 0 for block in facts.blocks)
    notes = [
        "",
        f"{facts.model} in {facts.dtype}: {facts.parameters:,} parameters, {facts.outside:,} of "
        f"them outside the {len(facts.blocks)} blocks of {facts.path} ({head})",
        f"the cache of all blocks grows by {total:,} bytes a token",
    ]
    if facts.kept:
        notes.append(f"beside the text decoder, and kept as it is: {facts.kept}")
    notes += [f"left out: {said}" for said in facts.left_out]
    if any(block.attention is None for block in facts.blocks):
        notes.append("where attention and MLP cannot be told apart, only whole blocks may go")
    obstacles: dict[str, list[str]] = {}
    for block in facts.blocks:
        if block.obstacle is not None:
            obstacles.setdefault(block.obstacle, []).append(str(block.block))
    notes += [f"must stay: {', '.join(stay)}: {why}" for why, stay in obstacles.items()]
    notes += [c.reason for c in facts.constraints if c.reason not in obstacles]
    return "\n".join([*lines, *notes])


def _but_its_place(block: BlockFacts) -> tuple[object, ...]:
    return (
        block.kind, block.parameters, block.attention, block.mlp, block.routed, block.kv_bytes,
        block.kv_window, block.obstacle is None,
    )  # fmt: skip


def _count(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"
