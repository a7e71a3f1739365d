"""Racing: some windows tell that a pattern is no good (after Maron and Moore 1993; Birattari 2002).

Candidates are evaluated on a growing part of the calibration windows. After each part, those that
are worse than the bar, the worst individual that would survive without them, drop out once a
paired comparison on the same windows leaves no reasonable doubt. Who is left is evaluated on
all windows, so that a race decides who is worth a full evaluation and never what a loss is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evop_deap.evolution.genome import Genome
from evop_deap.evolution.parameters import EvolutionSettings
from evop_deap.evolution.strategies import Choice
from evop_deap.fitness.protocol import Evaluator, Work

_TOKENS_TOGETHER = 256


def windows_together(length: int) -> int:
    """How many windows of so many tokens are computed together where candidates race.

    Fewer tokens make matrix products slower, more make rungs coarse. It does not depend on how
    many windows there are, so that a larger calibration set shares what a smaller one paid for.
    """
    return max(1, _TOKENS_TOGETHER // length)


@dataclass(frozen=True)
class Racing:
    """How candidates race.

    Attributes:
        step: windows of the first rung, and that each further rung adds.
        confidence: of a one-sided t-test, for a candidate at a rung, that a full evaluation
            would not keep it.

    Example:
        >>> list(Racing(step=4).rungs(windows=12))
        [4, 8]
    """

    step: int
    confidence: float = EvolutionSettings.racing_confidence

    @classmethod
    def over(
        cls,
        windows: int,
        *,
        together: int = 1,
        rungs: int = EvolutionSettings.racing_rungs,
        confidence: float = EvolutionSettings.racing_confidence,
    ) -> Racing:
        """A race over so many windows, by default one whose rungs each add about an eighth.

        Args:
            windows: of the calibration set.
            together: windows that are computed together, and so are added together.
            rungs: parts that the windows are seen in, about; the last is the full evaluation.
            confidence: as above.
        """
        return cls(max(together, windows // rungs // together * together), confidence)

    def rungs(self, windows: int) -> range:
        """How many of so many windows each rung has seen; the last is short of all of them."""
        return range(self.step, windows, self.step)


def race(
    candidates: Sequence[Genome],
    population: Sequence[Genome],
    *,
    evaluator: Evaluator,
    racing: Racing,
    size: int,
) -> Choice:
    """Those of `candidates` that may be among the best `size` with `population`.

    Args:
        candidates: new individuals.
        population: individuals evaluated on all windows, best first.
        evaluator: remembers the windows that it has evaluated, such as a `CachedEvaluator`.
        racing: rungs and confidence.
        size: individuals that survive. With fewer than that, everyone is let through.
    """
    if len(population) < size or not np.isfinite(population[size - 1].loss):
        return Choice.of_all(candidates)
    costs = np.zeros(len(candidates))
    racers, work = list(range(len(candidates))), Work()
    known = evaluator.evaluate([genome.pattern for genome in population[:size]])
    losses = known.sums / known.tokens  # (population, windows) nats per token
    prior = _Spread.of(losses)
    for seen in racing.rungs(len(known.tokens)):
        patterns = [candidates[racer].pattern for racer in racers]
        part = evaluator.evaluate(patterns, range(seen))
        costs[racers] += part.costs
        work += part.work
        lead = part.sums / part.tokens - losses[-1, :seen]  # (racers, seen), positive is worse
        out = _eliminated(lead, prior, len(known.tokens), racing.confidence)
        racers = [racer for racer, gone in zip(racers, out.tolist(), strict=True) if not gone]
        if not racers:
            break
    return Choice(tuple(candidates[racer] for racer in racers), costs, work)


@dataclass(frozen=True)
class _Spread:
    """How much a difference between two good patterns varies from window to window."""

    variance: float
    freedom: int

    @classmethod
    def of(cls, losses: NDArray[np.float64]) -> _Spread:
        """From the survivors, each compared with the last."""
        pairs = losses[:-1] - losses[-1]  # (population - 1, windows)
        if not len(pairs) or pairs.shape[1] < 2:
            return cls(0.0, 0)
        return cls(float(pairs.var(axis=1, ddof=1).mean()), len(pairs))


def _eliminated(
    lead: NDArray[np.float64], prior: _Spread, windows: int, confidence: float
) -> NDArray[np.bool_]:
    """Which candidates are worse on all `windows`, with this confidence, by those seen."""
    from scipy.special import stdtrit

    seen = lead.shape[1]
    freedom = prior.freedom + seen - 1
    mean = lead.mean(axis=1)
    failed: NDArray[np.bool_] = ~np.isfinite(mean)
    if freedom == 0:
        return failed
    with np.errstate(invalid="ignore"):
        own = ((lead - mean[:, None]) ** 2).sum(axis=1)
    variance = (prior.freedom * prior.variance + own) / freedom
    # Of the mean over all windows, those seen are known: only the rest is uncertain.
    error = np.sqrt(variance / seen * (1 - seen / windows))
    worse: NDArray[np.bool_] = mean > stdtrit(freedom, confidence) * error
    return worse | failed
