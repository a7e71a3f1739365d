"""Benchmarks of compensation and of training after pruning."""
