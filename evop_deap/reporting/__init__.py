"""Reports of runs, as HTML pages and model cards."""
