"""The stages of a run: each a function from the context and what came before to plain data."""
