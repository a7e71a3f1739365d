"""What must go: allowances that a pattern uses up, and the words in which users give them.

An allowance lets units go until what they weigh fills it: a count, a share of the parameters,
bytes of the key-value cache. It is met where no further unit fits: exactly where weights are
equal, else as closely below as the units that went allow.
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from evop_deap.base.errors import InputError

_COUNTABLE = 100_000  # different sums: beyond, patterns are not counted
KINDS = ("units", "attn", "mlp", "parameters", "kv")


@dataclass(frozen=True)
class Allowance:
    """How much may go of what some units weigh.

    Attributes:
        name: what is weighed: one of `KINDS`.
        weights: (units,) of each unit; 0 where it is none of those that may go for this.
        limit: the most that may go.

    Example:
        >>> two = Allowance("units", (1, 1, 1, 1), limit=2)
        >>> two.fill([3, 0, 1]), two.met({0, 3}), two.met({0}), two.count(frozenset())
        ([3, 0], True, False, 6)
    """

    name: str
    weights: tuple[int, ...]
    limit: int

    def used(self, dropped: Iterable[int]) -> int:
        """What the dropped units weigh."""
        return sum(self.weights[unit] for unit in dropped)

    def fill(self, order: Iterable[int]) -> list[int]:
        """Units in this order of preference, each that fits beside those before it."""
        left, taken = self.limit, []
        for unit in order:
            if 0 < self.weights[unit] <= left:
                taken.append(unit)
                left -= self.weights[unit]
        return taken

    def met(self, dropped: Collection[int], protected: Collection[int] = ()) -> bool:
        """Whether nothing more could go beside the `dropped` units, and no more went."""
        left = self.limit - self.used(dropped)
        others = (
            weight
            for unit, weight in enumerate(self.weights)
            if weight and unit not in dropped and unit not in protected
        )
        return left >= 0 and all(weight > left for weight in others)

    def count(self, protected: Collection[int]) -> int:
        """In how many ways it can be met; `sys.maxsize` where they are too many to be counted.

        Ways are told apart by the lightest unit that stays: all lighter ones went, and what is
        left is less than it weighs.
        """
        weights = sorted(
            w for unit, w in enumerate(self.weights) if w > 0 and unit not in protected
        )
        if len(set(weights)) == 1:
            return math.comb(len(weights), min(len(weights), self.limit // weights[0]))
        ways, lighter = int(sum(weights) <= self.limit), sum(weights)
        sums: Counter[int] = Counter({0: 1})  # of the units heavier than the one that stays
        for weight in reversed(weights):
            lighter -= weight
            left = self.limit - lighter
            ways += sum(n for used, n in sums.items() if 0 <= left - used < weight)
            for used, n in list(sums.items()):
                if used + weight <= self.limit:
                    sums[used + weight] += n
            if len(sums) > _COUNTABLE:
                return sys.maxsize
        return ways


def parse_budget(
    text: str, names: Sequence[str], weights: dict[str, tuple[int, ...]]
) -> tuple[Allowance, ...]:
    """The allowances that a user asks for: "attn=6,mlp=0.2", "parameters=0.25", "kv=0.5".

    Args:
        text: KIND=AMOUNT, several with commas between them; a whole number counts units, a
            number between 0 and 1 is a share.
        names: of the units.
        weights: of each kind, (units,).

    Raises:
        InputError: no such kind or amount, a kind that weighs nothing here, or two kinds that
            speak of the same units.
    """
    found: list[Allowance] = []
    for part in text.split(","):
        kind, equals, amount = (piece.strip() for piece in part.partition("="))
        if not equals or kind not in KINDS:
            raise InputError(
                f"`budget` must be KIND=AMOUNT with a kind among {', '.join(KINDS)}, "
                f"but got '{part.strip()}'"
            )
        found.append(Allowance(kind, weights[kind], _limit(kind, amount, weights[kind])))
    taken: set[int] = set()
    for allowance in found:
        units = {unit for unit, weight in enumerate(allowance.weights) if weight}
        if units & taken:
            raise InputError(
                f"`budget` {text} speaks of unit '{names[min(units & taken)]}' twice: "
                "name kinds that have no unit in common, such as attn and mlp"
            )
        taken |= units
    return tuple(found)


def _limit(kind: str, amount: str, weights: Sequence[int]) -> int:
    total, units = sum(weights), sum(weight > 0 for weight in weights)
    if not units:
        needs = "needs --granularity half" if kind in ("attn", "mlp") else "weighs nothing here"
        raise InputError(f"`budget` {kind} {needs}")
    counts = kind in ("units", "attn", "mlp")
    if counts and amount.isdecimal() and 0 < int(amount) <= units:
        return int(amount)
    try:
        share = float(amount)
    except ValueError:
        share = math.nan
    if not 0 < share < 1:
        whole = f"a whole number from 1 to {units} or " if counts else ""
        raise InputError(
            f"`budget` {kind} must be {whole}a share between 0 and 1, both excluded, "
            f"but got '{amount}'"
        )
    limit = math.floor(share * total + 0.5) if counts else math.floor(share * total)
    lightest = min(weight for weight in weights if weight)
    if limit < lightest:
        raise InputError(
            f"`budget` {kind}={amount} is less than the lightest unit: "
            f"at least {math.ceil(1e4 * lightest / total) / 1e4}"
        )
    return limit
