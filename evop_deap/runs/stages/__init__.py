"""The stages of a run, each a file."""
