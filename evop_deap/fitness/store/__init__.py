"""Permanent storage of window sums, in one SQLite file that many processes share."""

from __future__ import annotations

from evop_deap.fitness.store.loss_store import LossStore
from evop_deap.fitness.store.queries import ContextSummary

__all__ = ["ContextSummary", "LossStore"]
