"""Reports of runs: what a run's folder says, as a page to look at."""
