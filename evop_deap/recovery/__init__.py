"""Recovery: compensation in closed form, and training after pruning."""
