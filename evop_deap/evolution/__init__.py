"""EPPS: the evolutionary search of EvoP, with DEAP operators on binary genomes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evop_deap.base.lazy_names import lazy_names

if TYPE_CHECKING:
    from evop_deap.evolution.assemble import Search as Search
    from evop_deap.evolution.assemble import assemble as assemble
    from evop_deap.evolution.assemble import assemble_front as assemble_front
    from evop_deap.evolution.genome import Genome as Genome
    from evop_deap.evolution.loop import evolve as evolve
    from evop_deap.evolution.parameters import EvolutionSettings as EvolutionSettings
    from evop_deap.evolution.racing import Racing as Racing
    from evop_deap.evolution.racing import race as race
    from evop_deap.evolution.state import EvolutionState as EvolutionState
    from evop_deap.evolution.stopping import Stopping as Stopping
    from evop_deap.evolution.strategies import Strategies as Strategies
    from evop_deap.evolution.toolbox import make_toolbox as make_toolbox

_HOMES = {
    "EvolutionSettings": "evolution.parameters",
    "EvolutionState": "evolution.state",
    "Genome": "evolution.genome",
    "Racing": "evolution.racing",
    "Search": "evolution.assemble",
    "Stopping": "evolution.stopping",
    "Strategies": "evolution.strategies",
    "assemble": "evolution.assemble",
    "assemble_front": "evolution.assemble",
    "evolve": "evolution.loop",
    "make_toolbox": "evolution.toolbox",
    "race": "evolution.racing",
}

__all__ = sorted(_HOMES)
__getattr__ = lazy_names(__name__, _HOMES)
