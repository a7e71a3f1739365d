"""A balanced first population, in which every unit is dropped equally often."""

from __future__ import annotations

import random
from collections.abc import Sequence

from evop_deap.evolution.genome import Genome
from evop_deap.space import Pattern, SearchSpace, dropped_units

_DEALS = 50  # attempts at a new pattern, and the limit of patterns taken back


def init_balanced(space: SearchSpace, n: int, *, rng: random.Random) -> list[Genome]:
    """Draw up to `n` different patterns that drop every droppable unit equally often.

    In a space with allowances the balance is approximate, because units have different weights.

    The units are dealt like cards: a pack is used up before the next one is shuffled. If the last
    cards of a pack repeat an earlier pattern, the pattern before is taken back and dealt again. The
    counts of two units differ by more than one only if the space has few more than `n` patterns.
    With halves, the cards are blocks: whole blocks are dropped if the budget allows it.
    """
    found: dict[Pattern, Genome] = {}
    packs: list[Sequence[int]] = []  # the pack before each pattern
    pack: Sequence[int] = []
    retreats = 0
    while len(found) < min(n, space.size):
        for deal in range(_DEALS):
            # There may be fewer than `n` patterns of whole blocks.
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
    """Deal a pattern; return it with the rest of the pack, or of a new pack if it runs out."""
    if not space.is_free or blocks:
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
    """Shuffle `units`; the units of one of `blocks` stay together, in random order."""
    of = {unit: block for block in blocks for unit in block}
    cards: dict[Sequence[int], list[int]] = {}
    for unit in units:
        cards.setdefault(of.get(unit, (unit,)), []).append(unit)
    order = rng.sample([*cards.values()], len(cards))
    return [u for card in order for u in (rng.sample(card, len(card)) if blocks else card)]
