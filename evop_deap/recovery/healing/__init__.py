"""Healing: training of a pruned model towards its dense model."""
