"""Benchmarks of tuning the evolution's settings."""
