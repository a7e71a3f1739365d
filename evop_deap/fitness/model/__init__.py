"""Evaluators that run a model: the population evaluator and its plain twin."""
