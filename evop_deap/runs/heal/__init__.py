"""A training after pruning as a run: its source, its folder and its steps."""
