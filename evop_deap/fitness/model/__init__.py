"""Evaluators that run a model: the population evaluator and the reference evaluator."""
