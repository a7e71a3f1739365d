"""Benchmarks of the evaluators, in work and in seconds."""
