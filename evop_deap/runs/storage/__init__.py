"""The files of a run's folder: writing and reading them."""
