"""Racing: elimination of children on a part of the windows (Maron and Moore 1993; Birattari 2002).

Candidates are evaluated on a growing part of the calibration windows. After each part they are
compared, in pairs on the same windows, with the worst individual that would survive without them.
A candidate that is significantly worse is eliminated. The others are evaluated on all windows: a
race decides only which candidates get a full evaluation, and never changes a loss.
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
    """The number of windows of `length` tokens that are computed together in a race.

    Fewer tokens make matrix products slower, more tokens make the steps of a race coarse. The
    number does not depend on the size of the calibration set, so that a larger set can reuse the
    stored losses of a smaller one.
    """
    return max(1, _TOKENS_TOGETHER // length)


@dataclass(frozen=True)
class Racing:
    """The steps and the confidence of a race.

    Attributes:
        step: windows that each rung adds, including the first.
        confidence: of the one-sided t-test, per candidate and rung, that the candidate would not
            survive a full evaluation.

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
        """Return a race over `windows`; by default each rung adds about an eighth of them.

        Args:
            windows: number of windows of the calibration set.
            together: number of windows that are computed together; `step` is a multiple of it.
            rungs: approximate number of rungs; the last is the full evaluation.
            confidence: see `Racing`.
        """
        return cls(max(together, windows // rungs // together * together), confidence)

    def rungs(self, windows: int) -> range:
        """The number of windows evaluated by the end of each rung, without the full evaluation."""
        return range(self.step, windows, self.step)


def race(
    candidates: Sequence[Genome],
    population: Sequence[Genome],
    *,
    evaluator: Evaluator,
    racing: Racing,
    size: int,
) -> Choice:
    """Return the candidates that may be among the best `size` of population and candidates.

    Args:
        candidates: new individuals.
        population: individuals evaluated on all windows, best first.
        evaluator: an evaluator with a cache, such as `CachedEvaluator`.
        racing: steps and confidence.
        size: number of individuals that survive. With a smaller population, no candidate is
            eliminated.
    """
    if len(population) < size or not np.isfinite(population[size - 1].loss):
        return Choice.of_all(candidates)
    costs, answered = np.zeros(len(candidates)), np.ones(len(candidates), dtype=bool)
    racers, work = list(range(len(candidates))), Work()
    known = evaluator.evaluate([genome.pattern for genome in population[:size]])
    losses = known.sums / known.tokens  # (population, windows) nats per token
    prior = _Spread.of(losses)
    for seen in racing.rungs(len(known.tokens)):
        patterns = [candidates[racer].pattern for racer in racers]
        part = evaluator.evaluate(patterns, range(seen))
        costs[racers] += part.costs
        answered[racers] &= part.answered
        work += part.work
        excess = part.sums / part.tokens - losses[-1, :seen]  # (racers, seen), positive is worse
        out = _eliminated(excess, prior, len(known.tokens), racing.confidence)
        racers = [racer for racer, gone in zip(racers, out.tolist(), strict=True) if not gone]
        if not racers:
            break
    return Choice(tuple(candidates[racer] for racer in racers), costs, work, answered)


@dataclass(frozen=True)
class _Spread:
    """Variance over windows of the loss difference between two good patterns, with its freedom."""

    variance: float
    freedom: int

    @classmethod
    def of(cls, losses: NDArray[np.float64]) -> _Spread:
        """Estimate it from the survivors' (population, windows) losses, compared with the last."""
        pairs = losses[:-1] - losses[-1]  # (population - 1, windows)
        if not len(pairs) or pairs.shape[1] < 2:
            return cls(0.0, 0)
        return cls(float(pairs.var(axis=1, ddof=1).mean()), len(pairs))


def _eliminated(
    excess: NDArray[np.float64], prior: _Spread, windows: int, confidence: float
) -> NDArray[np.bool_]:
    """Which candidates are worse over all `windows`, with this confidence.

    Args:
        excess: (candidates, windows seen) loss above that of the worst survivor.
        prior: pooled with the candidates' own variance.
        windows: number of all windows.
        confidence: of the one-sided t-test.
    """
    from scipy.special import stdtrit

    seen = excess.shape[1]
    freedom = prior.freedom + seen - 1
    mean = excess.mean(axis=1)
    failed: NDArray[np.bool_] = ~np.isfinite(mean)
    if freedom == 0:
        return failed
    with np.errstate(invalid="ignore"):
        own = ((excess - mean[:, None]) ** 2).sum(axis=1)
    variance = (prior.freedom * prior.variance + own) / freedom
    # The windows seen are known exactly, so only the others add uncertainty to the full mean.
    error = np.sqrt(variance / seen * (1 - seen / windows))
    worse: NDArray[np.bool_] = mean > stdtrit(freedom, confidence) * error
    return worse | failed
