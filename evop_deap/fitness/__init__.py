"""Evaluators: patterns in, losses out. All follow `protocol.Evaluator`."""
