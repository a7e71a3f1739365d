"""Patterns in, losses out: evaluators, each with the face of `evaluation.Evaluator`."""
