"""The evaluator of a search, spread over Ray actors."""
