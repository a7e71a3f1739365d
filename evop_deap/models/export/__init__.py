"""Pruned checkpoints: written, reloaded and compared before they are called done."""
