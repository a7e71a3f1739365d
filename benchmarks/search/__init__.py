"""Benchmarks of the searches: quality of the patterns, and cost of finding them."""
