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
    from evop_deap.evolution.operators import WithinBudget as WithinBudget
    from evop_deap.evolution.operators import init_distinct as init_distinct
    from evop_deap.evolution.operators import init_uniform as init_uniform
    from evop_deap.evolution.operators import mate_agreeing as mate_agreeing
    from evop_deap.evolution.operators import mutate_block as mutate_block
    from evop_deap.evolution.operators import mutate_mixed as mutate_mixed
    from evop_deap.evolution.operators import mutate_neighbour as mutate_neighbour
    from evop_deap.evolution.operators import mutate_resize as mutate_resize
    from evop_deap.evolution.operators import mutate_swap as mutate_swap
    from evop_deap.evolution.operators import select_crowded as select_crowded
    from evop_deap.evolution.operators import select_tournament as select_tournament
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
    "WithinBudget": "evolution.operators",
    "assemble": "evolution.assemble",
    "assemble_front": "evolution.assemble",
    "evolve": "evolution.loop",
    "init_distinct": "evolution.operators",
    "init_uniform": "evolution.operators",
    "make_toolbox": "evolution.toolbox",
    "mate_agreeing": "evolution.operators",
    "mutate_block": "evolution.operators",
    "mutate_mixed": "evolution.operators",
    "mutate_neighbour": "evolution.operators",
    "mutate_resize": "evolution.operators",
    "mutate_swap": "evolution.operators",
    "race": "evolution.racing",
    "select_crowded": "evolution.operators",
    "select_tournament": "evolution.operators",
}

__all__ = sorted(_HOMES)
__getattr__ = lazy_names(__name__, _HOMES)
