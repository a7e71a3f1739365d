"""Look at a model's blocks and halves, and see which may go, before anything is searched.

The removal of a block of each kind is rehearsed on a few tokens, as before a search.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from evop_deap.settings.calibration_config import CalibrationConfig
from evop_deap.settings.model_options import MODEL
from evop_deap.settings.parser import Parser, add_flags, answer

if TYPE_CHECKING:
    from evop_deap.models.surgery.inspection import BlockFacts, ModelFacts

_EXAMPLES = """examples:
  python -m evop_deap.inspect demo
  python -m evop_deap.inspect meta-llama/Llama-3.1-8B --dtype bfloat16 --json
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit code."""
    parser = _parser()
    given = vars(parser.parse_args(arguments))
    as_json, quiet = given.pop("json"), given.pop("quiet")
    return answer(parser.prog, lambda: _inspect(given, as_json=as_json, quiet=quiet))


def _inspect(given: dict[str, Any], *, as_json: bool, quiet: bool) -> str:
    config = CalibrationConfig(**given)

    from evop_deap.models.surgery.inspection import inspect_model
    from evop_deap.runs.listeners.progress import Progress, TerminalProgress
    from evop_deap.runs.open_model import open_model

    progress = Progress() if quiet else TerminalProgress()
    loaded, anatomy = open_model(config, progress)
    progress.stage("rehearsing the removal of blocks")
    facts = inspect_model(loaded.model, anatomy)
    return json.dumps(facts.as_dict(), indent=2) if as_json else facts_table(facts)


def facts_table(facts: ModelFacts) -> str:
    """The facts for a terminal; blocks in a row that are alike share a line."""
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
    if any(block.attention is None for block in facts.blocks):
        notes.append("where attention and MLP cannot be told apart, only whole blocks may go")
    obstacles: dict[str, list[str]] = {}
    for block in facts.blocks:
        if block.obstacle is not None:
            obstacles.setdefault(block.obstacle, []).append(str(block.block))
    notes += [f"must stay: {', '.join(stay)}: {why}" for why, stay in obstacles.items()]
    return "\n".join([*lines, *notes])


def _but_its_place(block: BlockFacts) -> tuple[object, ...]:
    return (
        block.kind, block.parameters, block.attention, block.mlp, block.routed, block.kv_bytes,
        block.kv_window, block.obstacle is None,
    )  # fmt: skip


def _count(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _parser() -> argparse.ArgumentParser:
    description, _, _ = (__doc__ or "").partition("\n\n")
    parser = Parser(
        prog="python -m evop_deap.inspect",
        usage="%(prog)s MODEL [options]",
        description=description,
        epilog=_EXAMPLES,
    )
    parser.add_argument("model", metavar="MODEL", help="as evop_deap.search takes it")
    parser.add_argument("--json", action="store_true", help="the facts on stdout as JSON, no more")
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")
    add_flags(
        parser,
        CalibrationConfig,
        lambda option: option.metadata["group"] == MODEL and option.name != "model",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
