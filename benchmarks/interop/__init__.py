"""Checks of pruned checkpoints in other programs."""
