"""The evolution without generations that wait: a new pattern is begun whenever one is finished.

As many patterns are in flight as can be evaluated at a time. A generation is the next `offspring`
patterns in the order in which they finish, so the result depends on time. Its state holds finished
patterns alone: a search that goes on from it proposes others in the place of those in flight.
"""

from __future__ import annotations

import random
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace

import numpy as np
from deap import base

from evop_deap.evolution.callbacks import Callback, after_generation, at_limit
from evop_deap.evolution.generation import Generation
from evop_deap.evolution.genome import Genome
from evop_deap.evolution.parameters import EvolutionSettings
from evop_deap.evolution.state import EvolutionState
from evop_deap.evolution.stopping import EXHAUSTED, Stopping
from evop_deap.evolution.strategies import PLAIN, Breed, Foresight, Preference, Strategies
from evop_deap.evolution.succession import before_the_first, beginners, preferred, succeeded
from evop_deap.fitness.in_flight import InFlight
from evop_deap.fitness.protocol import Evaluation, Work
from evop_deap.space import Pattern

# A single child is chosen among the proposals of a usual generation: what is within reach of the
# surrogate, and so how sure it can be, does not depend on how many patterns finish together.
_LEAST = EvolutionSettings.offspring


def evolve_asynchronously(
    toolbox: base.Toolbox,
    rng: random.Random,
    flight: InFlight,
    *,
    settings: EvolutionSettings,
    stopping: Stopping,
    strategies: Strategies = PLAIN,
    state: EvolutionState | None = None,
    callbacks: Sequence[Callback] = (),
) -> EvolutionState:
    """Search as `evolve` does, but let each pattern follow when another one is finished.

    Patterns in flight count for the limits of evaluations and generations, so these are met
    exactly. Those that are in flight when another limit ends the search are dropped.

    Args:
        toolbox: as in `evolve`; `evaluate` and `map` are not used.
        rng: the generator that the toolbox's operators are bound to.
        flight: evaluates patterns.
        settings: sizes and rates; `offspring` is the number of patterns between two states.
        stopping: limits of the search.
        strategies: the replaceable parts; `evaluate` and `choose` are not used.
        state: the state to continue from; without it the search starts with a first population.
        callbacks: called in this order after each generation, including the first.

    Returns:
        The last state; its `stopped` gives the reason for the end.
    """
    began = time.monotonic() - (state.seconds if state else 0.0)
    course = _Course(toolbox, rng, flight, settings, stopping, strategies)
    if state is None:
        seeds = strategies.begin()
        state = before_the_first(seeds)
        first = beginners(seeds, settings, stopping, toolbox, least=flight.places)
        course.waiting = [Preference((genome,)) for genome in first]
        course.size = max(settings.population, len(seeds.unknown))
        course.work = seeds.work
    else:
        rng.setstate(state.rng_state)
        state = at_limit(state, stopping)
    with closing(flight):
        while state.stopped is None:
            if state.stagnates(settings.restart):
                best = state.population[:1]
                state = replace(state, population=best, restarted=state.generation + 1)
            if not course.finish_one(state):
                # Nothing is in flight, and nothing is left to begin.
                if not course.finished and state.records:
                    return replace(state, stopped=EXHAUSTED)
            elif len(course.finished) < course.size:
                continue
            state = replace(course.next_state(state), rng_state=rng.getstate())
            state = after_generation(state, stopping, callbacks, began=began)
    return state


@dataclass(eq=False)
class _Course:
    """The patterns between two states of a search.

    Attributes:
        size: number of patterns after which the next state is made.
        waiting: patterns to begin next, each with what the surrogate expects of it.
        pending: those in flight.
        finished: those that are finished.
        found: their evaluations.
        work: work executed beside that of the evaluations.
        foresight: of the first choice since the last state, so that patterns are evaluated after
            it, as in a search by generations; None before a choice.
        latest: of the latest choice.
    """

    toolbox: base.Toolbox
    rng: random.Random
    flight: InFlight
    settings: EvolutionSettings
    stopping: Stopping
    strategies: Strategies
    size: int = field(init=False)
    waiting: list[Preference] = field(default_factory=list)
    pending: dict[Pattern, Preference] = field(default_factory=dict)
    finished: list[Preference] = field(default_factory=list)
    found: list[Evaluation] = field(default_factory=list)
    work: Work = field(default_factory=Work)
    foresight: Foresight | None = None
    latest: Foresight | None = None

    def __post_init__(self) -> None:
        self.size = self.settings.offspring

    def finish_one(self, state: EvolutionState) -> bool:
        """Keep patterns in flight until one is finished; false if there is none."""
        while not self.flight.ready and self._may_begin(state) and self._fill(state):
            preference = self.waiting.pop(0)
            (genome,) = preference.chosen
            self.pending[genome.pattern] = preference
            self.flight.start(genome.pattern)
        if not self.pending:
            return False
        pattern, found = self.flight.finished()
        preference = self.pending.pop(pattern)
        preference.chosen[0].fitness.values = (float(found.losses[0]),)
        self.finished.append(preference)
        self.found.append(found)
        return True

    def next_state(self, before: EvolutionState) -> EvolutionState:
        """Return the state after the patterns that are finished."""
        children = self._children
        generation = Generation(
            losses={child.pattern: child.loss for child in children},
            eliminated=(),
            cost=sum(found.cost for found in self.found),
            hits=sum(found.hits for found in self.found),
            work=sum((found.work for found in self.found), self.work),
        )
        told = self.foresight
        if told is None and self.latest is not None:
            # Without a choice of its own, a generation says nothing new of what is left to win.
            told = replace(self.latest, prospect=before.prospect)
        # The first patterns were chosen by no surrogate, though one may have chosen later ones.
        foreseen = _joined(self.finished, told if before.records else None)
        survival, size = self.strategies.survival, self.settings.population
        after = succeeded(before, children, foreseen, generation, survival, size)
        self.finished, self.found, self.work, self.foresight = [], [], Work(), None
        self.size = self.settings.offspring
        return after

    @property
    def _children(self) -> list[Genome]:
        return [preference.chosen[0] for preference in self.finished]

    def _may_begin(self, state: EvolutionState) -> int:
        """Number of patterns that may be begun, up to those that there are places for."""
        begun = len(self.finished) + len(self.pending)
        free = self.flight.places - len(self.pending)
        left = self.stopping.evaluations_left(state.evaluations + begun, free)
        if self.stopping.generations is not None:
            whole = self.stopping.generations - state.generation - 1
            left = min(left, self.size + whole * self.settings.offspring - begun)
        return max(0, left)

    def _fill(self, state: EvolutionState) -> bool:
        """Choose the patterns to begin next, unless some wait; false if there are none."""
        if self.waiting:
            return True
        children, pending = self._children, tuple(self.pending)
        population = (*state.population, *children)
        parents = self.strategies.survival.survivors(population, self.settings.population)
        if not parents:
            return False
        seen = {*state.losses, *state.eliminated, *pending, *(child.pattern for child in children)}
        preference = preferred(
            parents,
            self._may_begin(state),
            Breed(seen, self._propose, pending),
            self.toolbox,
            self.settings,
            self.strategies,
            anew=state.restarted == state.generation + 1,
            least=_LEAST,
        )
        if not preference.chosen:
            return False
        self.latest, self.waiting = preference.foresight, list(_singly(preference))
        self.foresight = self.foresight or self.latest
        return True

    def _propose(
        self, parents: Sequence[Genome], known: Collection[Pattern], count: int
    ) -> list[Genome]:
        return self.strategies.propose(parents, known, count, self.toolbox, self.rng, self.settings)


def _singly(preference: Preference) -> Iterator[Preference]:
    """Each of the proposals with what is expected of it."""
    told = preference.foresight
    for place, child in enumerate(preference.chosen):
        one = slice(place, place + 1)
        alone = told and replace(
            told, expected=told.expected[one], low=told.low[one], high=told.high[one]
        )
        yield Preference((child,), alone)


def _joined(singles: Sequence[Preference], figures: Foresight | None) -> Preference:
    """The proposals that were foreseen, with these figures on the surrogate and its prospect."""
    told = [(one.chosen[0], one.foresight) for one in singles if one.foresight is not None]
    if figures is None:
        return Preference(())
    return Preference(
        tuple(child for child, _ in told),
        replace(
            figures,
            expected=np.array([float(foresight.expected[0]) for _, foresight in told]),
            low=np.array([float(foresight.low[0]) for _, foresight in told]),
            high=np.array([float(foresight.high[0]) for _, foresight in told]),
        ),
    )
