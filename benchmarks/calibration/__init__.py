"""Benchmarks of the choice of calibration text."""
