"""Number of ordinary layers that published half-block patterns need after re-packing.

python -m benchmarks.interop.packing evopress/*.txt

Each file is an EvoPress layer_drop_config.txt, as IST-DASLab/EvoPress releases them.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks.common.record import errors_in_one_line
from evop_deap.base.errors import InputError
from evop_deap.models.formats import parse_layer_drop_config
from evop_deap.models.surgery.packing import leftovers, pack


def row(path: Path) -> tuple[str, int, int, int, int, int]:
    """File, live attentions and MLPs, layers with a live half, layers re-packed, left over."""
    try:
        live = parse_layer_drop_config(path.read_text(encoding="utf-8")).live
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"`files` has {path}, which cannot be read: {error}") from error
    layers = pack(live)
    attention, mlp = (sum(kind) for kind in zip(*live, strict=True))
    return path.stem, attention, mlp, sum(map(any, live)), len(layers), len(leftovers(layers))


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    rows = [row(path) for path in parser.parse_args(arguments).files]
    width = max(len(name) for name, *_ in rows)
    print(f"{'pattern':<{width}}  attn  mlp  layers  re-packed  half-empty")
    for name, attention, mlp, before, after, left in rows:
        print(f"{name:<{width}}  {attention:>4}  {mlp:>3}  {before:>6}  {after:>9}  {left:>10}")


if __name__ == "__main__":
    with errors_in_one_line():
        main()
