"""Sampling strategies as choices of columns of a loss matrix, drawn and evaluated many times.

Every draw parts the windows in two halves at random. A strategy chooses from one, and its
choice is evaluated on the other, so that nothing is evaluated on what it was chosen from. All of it
is arithmetic on losses that are known: a thousand draws of one budget take a minute.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from evop_deap.calibration.balance import Balance, shares_of
from evop_deap.calibration.herding import herd, herd_within
from evop_deap.calibration.strata import window_weights
from evop_deap.calibration.within_cluster import order_within

Floats: TypeAlias = NDArray[np.float64]
Indices: TypeAlias = NDArray[np.int64]

TRUTHS = ("tokens", "domains")


@dataclass(frozen=True, eq=False)
class Pool:
    """Windows of equal length and what is known of them.

    Attributes:
        losses: (patterns, windows) mean nats per token of the patterns compared.
        groups: (patterns,) sparsity of each: patterns are ranked among those of their own.
        probes: (probes, windows) losses of other patterns, for strategies that read them.
        domains: (windows,) true domain of each, from 0; -1 is text from elsewhere, which
            is never evaluated on.
        clusters: (windows,) label of each by embedding; -1 is noise.
        centroids: (windows,) label of each by k-means.
        vectors: (windows, dimensions) embeddings.
    """

    losses: Floats
    groups: Indices
    probes: Floats
    domains: Indices
    clusters: Indices
    centroids: Indices
    vectors: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Choice:
    """Windows and what each counts."""

    windows: Indices
    weights: Floats | None = None


Strategy: TypeAlias = Callable[[Pool, Indices, int, np.random.Generator], Choice]
"""From the pool, the windows at hand in corpus order, how many are wanted, and a generator."""


def strategies(pool: Pool, domain_names: Sequence[str]) -> dict[str, Strategy]:
    """Everything that is compared, by name."""
    found: dict[str, Strategy] = {
        "random": lambda pool, at_hand, count, rng: Choice(rng.permutation(at_hand)[:count]),
        "first": lambda pool, at_hand, count, rng: Choice(at_hand[:count]),
        "k-means": _stratified("centroids", "proportional", "random"),
        "herding": lambda pool, at_hand, count, rng: Choice(
            at_hand[herd(pool.probes[:, at_hand], count)]
        ),
        "herding in clusters": lambda pool, at_hand, count, rng: Choice(
            at_hand[herd_within(pool.probes[:, at_hand], pool.clusters[at_hand], count)]
        ),
        "ccds neyman": _stratified("clusters", "neyman", "random", weighting="corpus"),
        "domains": _stratified("domains", "proportional", "random"),
        "domains equal": _stratified("domains", "equal", "random"),
    }
    for allocation in ("proportional", "sqrt", "equal"):
        for within in ("random", "nearest", "spread"):
            found[f"ccds {allocation} {within}"] = _stratified("clusters", allocation, within)
    for allocation in ("sqrt", "equal"):
        name = f"ccds {allocation} random, weighted"
        found[name] = _stratified("clusters", allocation, "random", weighting="corpus")
    for number, name in enumerate(domain_names):
        found[f"only {name}"] = _only(number)
    if (pool.domains < 0).any():
        found["only other text"] = _only(-1)
    return found


def _only(domain: int) -> Strategy:
    def choose(pool: Pool, at_hand: Indices, count: int, rng: np.random.Generator) -> Choice:
        # Text from elsewhere is at hand whole.
        where = at_hand if domain >= 0 else np.arange(len(pool.domains))
        return Choice(rng.permutation(where[pool.domains[where] == domain])[:count])

    return choose


def _stratified(labels: str, allocation: str, within: str, *, weighting: str = "none") -> Strategy:
    def choose(pool: Pool, at_hand: Indices, count: int, rng: np.random.Generator) -> Choice:
        kinds: Indices = getattr(pool, labels)[at_hand]
        names = np.unique(kinds)
        members = [at_hand[kinds == name] for name in names]
        sizes = [float(len(some)) for some in members]
        if allocation == "neyman":
            # Windows in proportion to a stratum's size times how much its losses vary.
            spreads = [float(pool.probes[:, some].std(axis=1).mean()) for some in members]
            shares = np.array(sizes) * (np.array(spreads) + 1e-12)
        else:
            shares = shares_of(sizes, allocation)
        orders = [iter(some[order_within(pool.vectors[some], within, rng)]) for some in members]
        balance = Balance(shares)
        chosen: list[int] = []
        drawn_from: list[int] = []
        while len(chosen) < min(count, len(at_hand)):
            who = balance.next()
            window = next(orders[who], None)
            if window is None:
                balance.leave(who)
            else:
                chosen.append(int(window))
                drawn_from.append(int(names[who]))
        known = dict(zip(names.tolist(), sizes, strict=True))
        weights = window_weights(np.array(drawn_from), known, weighting)
        return Choice(np.array(chosen), weights)

    return choose


def replay(
    pool: Pool,
    chosen: Mapping[str, Strategy],
    counts: Sequence[int],
    *,
    draws: int,
    seed: int,
) -> list[dict[str, Any]]:
    """A row for each strategy and number of windows.

    Every strategy meets the same halves. A strategy that has fewer windows than it is asked
    for, such as one of a small domain, is evaluated with what it has; the row says how many.
    """
    (pooled,) = np.nonzero(pool.domains >= 0)
    rows = []
    for count in counts:
        seen: dict[str, list[dict[str, float]]] = {name: [] for name in chosen}
        for draw in range(draws):
            halves = np.random.default_rng([seed, draw]).permutation(pooled)
            at_hand, rest = np.sort(halves[: len(pooled) // 2]), halves[len(pooled) // 2 :]
            domains = by_domain(pool.losses[:, rest], pool.domains[rest])
            truth = {
                "tokens": pool.losses[:, rest].mean(axis=1),
                "domains": domains.mean(axis=1),
            }
            for number, (name, strategy) in enumerate(chosen.items()):
                rng = np.random.default_rng([seed, draw, number])
                choice = strategy(pool, at_hand, count, rng)
                if len(choice.windows):
                    estimate = np.average(
                        pool.losses[:, choice.windows], axis=1, weights=choice.weights
                    )
                    found = _judge(estimate, truth, domains, pool.groups)
                    seen[name].append({**found, "windows": float(len(choice.windows))})
        rows += [
            {"strategy": name, "windows": count, "draws": len(found), **summary(found)}
            for name, found in seen.items()
            if found
        ]
    return rows


def by_domain(losses: Floats, domains: Indices) -> Floats:
    """(patterns, domains) mean losses."""
    return np.stack([losses[:, domains == d].mean(axis=1) for d in np.unique(domains)], axis=1)


def _judge(
    estimate: Floats, truth: Mapping[str, Floats], domains: Floats, groups: Indices
) -> dict[str, float]:
    """Means over the sparsities; the perplexity is of the pattern that the estimate prefers."""
    found: dict[str, list[float]] = {}
    for group in np.unique(groups):
        (some,) = np.nonzero(groups == group)
        best = int(estimate[some].argmin())
        for name, losses in truth.items():
            found.setdefault(f"kendall_{name}", []).append(kendall(estimate[some], losses[some]))
            regret = losses[some][best] - losses[some].min()
            found.setdefault(f"regret_{name}", []).append(float(regret))
        found.setdefault("worst_domain_nats", []).append(float(domains[some[best]].max()))
    return {name: float(np.mean(values)) for name, values in found.items()}


def kendall(left: Floats, right: Floats) -> float:
    """Kendall's tau-a: pairs in the same order less pairs in the other, as a share of all.

    Example:
        >>> kendall(np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 2.0]))
        0.3333333333333333
    """
    upper = np.triu_indices(len(left), 1)
    signs = (
        np.sign(left[:, None] - left[None])[upper] * np.sign(right[:, None] - right[None])[upper]
    )
    return float(signs.mean()) if len(signs) else math.nan


def summary(found: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """Mean over draws with its 95 % confidence interval; the spread from 5th to 95th percentile."""
    about: dict[str, Any] = {"windows_had": float(np.mean([entry["windows"] for entry in found]))}
    for name in found[0]:
        if name == "windows":
            continue
        values = np.array([entry[name] for entry in found])
        error = (
            1.96 * float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else 0.0
        )
        mean = float(values.mean())
        low, high = np.percentile(values, [5, 95]).tolist()
        about[name] = {
            "mean": round(mean, 5),
            "confidence": [round(mean - error, 5), round(mean + error, 5)],
            "spread": [round(low, 5), round(high, 5)],
        }
    about["worst_domain_perplexity"] = round(math.exp(about["worst_domain_nats"]["mean"]), 3)
    return about
