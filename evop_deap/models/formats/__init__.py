"""Pattern files of other tools: writing and reading which parts of a model are dropped."""

from evop_deap.models.formats.drops import Drops
from evop_deap.models.formats.layer_drop import layer_drop_config, parse_layer_drop_config
from evop_deap.models.formats.mergekit import mergekit_passthrough
from evop_deap.models.formats.pattern_files import MERGED, parse_pattern, read_pattern
from evop_deap.models.formats.per_layer_config import PER_LAYER_WARNING, per_layer_config
from evop_deap.models.formats.prune_layers import prune_layers

__all__ = [
    "MERGED",
    "PER_LAYER_WARNING",
    "Drops",
    "layer_drop_config",
    "mergekit_passthrough",
    "parse_layer_drop_config",
    "parse_pattern",
    "per_layer_config",
    "prune_layers",
    "read_pattern",
]
