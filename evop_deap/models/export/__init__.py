"""Export of pruned checkpoints, each reloaded and compared before it replaces anything."""
