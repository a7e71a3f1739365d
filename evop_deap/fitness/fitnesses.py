"""The names of the fitness functions."""

from __future__ import annotations

FITNESSES = ("ce", "kl")
"""Cross-entropy of the next token, and divergence from the dense model's predictions."""
