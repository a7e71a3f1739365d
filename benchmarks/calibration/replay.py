"""Sampling strategies, replayed as choices of columns of a loss matrix.

Every draw splits the windows at random into two halves. A strategy chooses windows from one half
and is evaluated on the other. All losses are known, so a thousand draws of one budget take a
minute.
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
    """Windows of equal length, with their losses, domains and clusters.

    Attributes:
        losses: (patterns, windows) mean nats per token of the patterns compared.
        groups: (patterns,) sparsity of each; patterns of the same sparsity are ranked together.
        probes: (probes, windows) losses of other patterns, for strategies that use them.
        domains: (windows,) true domain of each, from 0; -1 is text of another corpus, which is
            never used for evaluation.
        clusters: (windows,) cluster label of each; -1 is noise.
        centroids: (windows,) k-means label of each.
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
    """Windows and their weights."""

    windows: Indices
    weights: Floats | None = None


Strategy: TypeAlias = Callable[[Pool, Indices, int, np.random.Generator], Choice]
"""(pool, available windows in corpus order, number of windows to choose, generator)."""


def strategies(pool: Pool, domain_names: Sequence[str]) -> dict[str, Strategy]:
    """Return all strategies by name."""
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
        # All windows of the other corpus are available.
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
    """Return a row for each strategy and number of windows.

    All strategies get the same halves. A strategy with fewer windows available than requested, for
    example in a small domain, is evaluated with those; the row has their number.
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
                    found = _figures(estimate, truth, domains, pool.groups)
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


def _figures(
    estimate: Floats, truth: Mapping[str, Floats], domains: Floats, groups: Indices
) -> dict[str, float]:
    """Means over the sparsities; the perplexity is that of the pattern with the best estimate."""
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
    """Kendall's tau-a: concordant minus discordant pairs, as a share of all pairs.

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
