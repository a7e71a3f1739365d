"""A first population that a surrogate can learn from: every unit is dropped equally often."""

from __future__ import annotations

import random
from collections.abc import Sequence

from evop_deap.evolution.genome import Genome
from evop_deap.space import Pattern, SearchSpace, dropped_units

_DEALS = 50  # tries at a hand that is new, and hands taken back


def init_balanced(space: SearchSpace, n: int, *, rng: random.Random) -> list[Genome]:
    """Up to `n` patterns, no two alike, that drop every droppable unit as often as any other.

    Of a space with allowances, as nearly as what units weigh lets them.

    The units are dealt like cards: a pack is used up before the next is shuffled. Where its last
    cards are a hand that was dealt before, the hand before them is dealt again. Counts of two
    units differ by more than one only in a space that has few more patterns than are asked for.
    Of halves the cards are blocks: where as many of either half as of the other must go, whole
    blocks do.
    """
    found: dict[Pattern, Genome] = {}
    packs: list[Sequence[int]] = []  # as they were before each hand
    pack: Sequence[int] = []
    retreats = 0
    while len(found) < min(n, space.size):
        for deal in range(_DEALS):
            # Patterns of whole blocks may be fewer than are asked for.
            blocks = space.blocks if deal < _DEALS // 2 else ()
            genome, rest = _deal(pack, space, blocks, rng)
            if genome.pattern not in found:
                found[genome.pattern] = genome
                packs.append(pack)
                pack = rest
                break
        else:
            if packs and retreats < _DEALS:
                found.popitem()
                pack, retreats = packs.pop(), retreats + 1
            elif pack:
                pack = []
            else:
                break
    return list(found.values())


def _deal(
    pack: Sequence[int], space: SearchSpace, blocks: Sequence[Sequence[int]], rng: random.Random
) -> tuple[Genome, list[int]]:
    """A new pattern, and what is left of the pack and of another one if need be."""
    if not space.is_count or blocks:
        others = [unit for unit in space.droppable if unit not in pack]
        order = [*_shuffled(pack, blocks, rng), *_shuffled(others, blocks, rng)]
        pattern = space.greedy(order)
        gone = dropped_units(pattern)
        rest = [unit for unit in pack if unit not in gone]
        opened = [unit for unit in gone if unit not in pack]
        if opened:
            rest += [unit for unit in space.droppable if unit not in {*opened, *rest}]
        return Genome(pattern), rest
    hand = rng.sample(list(pack), min(space.n_drop, len(pack)))
    rest = [unit for unit in pack if unit not in hand]
    if (missing := space.n_drop - len(hand)) > 0:
        fresh = [unit for unit in space.droppable if unit not in hand]
        drawn = rng.sample(fresh, missing)
        hand += drawn
        rest = [unit for unit in space.droppable if unit not in drawn]
    return Genome(space.pattern(hand)), rest


def _shuffled(
    units: Sequence[int], blocks: Sequence[Sequence[int]], rng: random.Random
) -> list[int]:
    """`units` in random order; those of one of `blocks` stay together, in random order too."""
    of = {unit: block for block in blocks for unit in block}
    cards: dict[Sequence[int], list[int]] = {}
    for unit in units:
        cards.setdefault(of.get(unit, (unit,)), []).append(unit)
    order = rng.sample([*cards.values()], len(cards))
    return [u for card in order for u in (rng.sample(card, len(card)) if blocks else card)]
