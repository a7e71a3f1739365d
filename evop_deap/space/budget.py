"""Budgets as users write them: a share of the units, or amounts by kind."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence
from fractions import Fraction

from evop_deap.base.errors import InputError
from evop_deap.base.numbers import decimal_number
from evop_deap.space.allowances import Allowance, fitting
from evop_deap.space.unit import Unit
from evop_deap.space.unit_names import GRANULARITIES, SMALLER_KINDS

KINDS = ("units", *SMALLER_KINDS, "parameters", "kv")
"""The kinds that a budget can limit."""


def units_to_drop(n_units: int, sparsity: float) -> int:
    """The number of units to drop: `sparsity * n_units`, rounded to the nearest, halves up.

    Raises:
        InputError: the share is not between 0 and 1, or rounds to no unit or to all units, or
            there is one unit alone.
    """
    if not 0.0 < sparsity < 1.0:
        raise InputError(f"`sparsity` must lie between 0 and 1, both excluded, but got {sparsity}")
    if n_units == 1:
        raise InputError("the model has one unit, which must stay: nothing can be dropped")
    # As written: 0.7 times 45 is 31.5, and not a little less.
    n_drop = math.floor(Fraction(repr(float(sparsity))) * n_units + Fraction(1, 2))
    if not 0 < n_drop < n_units:
        what = "none" if n_drop == 0 else "all"
        # Halves round up: the largest share that keeps a unit is just below the other bound.
        least, most = least_share(1, n_units), least_share(n_units, n_units) - _step(n_units)
        raise InputError(
            f"`sparsity` {sparsity} rounds to {what} of {n_units} units: "
            f"choose between {float(least)} and {float(most)}"
        )
    return n_drop


def least_share(count: int, n_units: int) -> Fraction:
    """The smallest share, as a short decimal number, that rounds to `count` units."""
    step = _step(n_units)
    return math.ceil(Fraction(2 * count - 1, 2 * n_units) / step) * step


def _step(n_units: int) -> Fraction:
    """The last decimal place of a share that can tell one unit from the next."""
    return Fraction(1, 10 ** max(3, len(str(n_units))))


def parse_budget(
    text: str, units: Sequence[Unit], protected: Collection[int] = ()
) -> tuple[Allowance, ...]:
    """Parse a budget such as "attn=6,mlp=0.2", "parameters=0.25" or "kv=0.5".

    Args:
        text: KIND=AMOUNT, several separated by commas; a whole number is a number of units, a
            number between 0 and 1 is a share.
        units: all units of the model.
        protected: positions of units that must be kept.

    Raises:
        InputError: a kind or amount is invalid, no unit has this kind of weight, or two kinds
            cover the same unit.
    """
    weights, found = _weights(units), list[Allowance]()
    for part in text.split(","):
        kind, equals, amount = (piece.strip() for piece in part.partition("="))
        if not equals or kind not in KINDS:
            raise InputError(
                f"`budget` must be KIND=AMOUNT with a kind among {', '.join(KINDS)}, "
                f"but got '{part.strip()}'"
            )
        limit = _limit(kind, amount, weights[kind])
        found.append(Allowance(kind, _that_count(weights[kind], limit, protected), limit))
    taken: set[int] = set()
    for allowance in found:
        weighed = {unit for unit, weight in enumerate(allowance.weights) if weight}
        if weighed & taken:
            raise InputError(
                f"`budget` {text} covers unit '{units[min(weighed & taken)].name}' twice: "
                "name kinds that have no unit in common, such as attn and mlp"
            )
        taken |= weighed
    return tuple(found)


def _weights(units: Sequence[Unit]) -> dict[str, tuple[int, ...]]:
    """(units,) weights of the units, by kind of budget."""
    of_kind = {kind: tuple(int(unit.kind == kind) for unit in units) for kind in SMALLER_KINDS}
    return {
        "units": (1,) * len(units),
        **of_kind,
        "parameters": tuple(unit.parameters for unit in units),
        "kv": tuple(unit.kv_bytes for unit in units),
    }


def _that_count(weights: Sequence[int], limit: int, protected: Collection[int]) -> tuple[int, ...]:
    """Return the weights, with 0 for units below a tenth of the heaviest that may be dropped.

    Such a unit always fits, so each of them would be dropped for next to nothing, as the sliding
    blocks of a model with a few blocks of full attention. They count if the others that fit do not
    suffice.
    """
    free = [weight for unit, weight in enumerate(weights) if unit not in protected]
    heaviest = max((weight for weight in free if weight <= limit), default=0)
    if fitting((weight for weight in free if 10 * weight >= heaviest), limit) < limit:
        return tuple(weights)
    return tuple(weight if 10 * weight >= heaviest else 0 for weight in weights)


def _limit(kind: str, amount: str, weights: Sequence[int]) -> int:
    total, units = sum(weights), sum(weight > 0 for weight in weights)
    if not units:
        finer = [name for name, kinds in GRANULARITIES.items() if kind in kinds]
        needs = f"needs --granularity {finer[0]}" if finer else "weighs nothing here"
        raise InputError(f"`budget` {kind} {needs}")
    counts = kind in ("units", *SMALLER_KINDS)
    if counts and re.fullmatch("[0-9]{1,9}", amount) and 0 < int(amount) <= units:
        return int(amount)
    try:
        share = decimal_number(amount)
    except ValueError:
        share = math.nan
    if not 0 < share < 1:
        whole = f"a whole number from 1 to {units} or " if counts else ""
        raise InputError(
            f"`budget` {kind} must be {whole}a share between 0 and 1, both excluded, "
            f"but got '{amount}'"
        )
    exact = Fraction(repr(share)) * total
    limit = math.floor(exact + Fraction(1, 2)) if counts else math.floor(exact)
    lightest = min(weight for weight in weights if weight)
    if limit < lightest:
        raise InputError(
            f"`budget` {kind}={amount} is less than the lightest unit: "
            f"at least {math.ceil(1e4 * lightest / total) / 1e4}"
        )
    if (most := fitting(weights, limit)) < limit:
        heavier = min(weight for weight in weights if weight > limit)
        raise InputError(
            f"`budget` {kind}={amount} drops all units that fit it, a share of "
            f"{math.floor(1e4 * most / total) / 1e4}: choose less than that, or "
            f"at least {math.ceil(1e4 * heavier / total) / 1e4}"
        )
    return limit
