"""Who hears of a run while it works: terminals and trackers."""
