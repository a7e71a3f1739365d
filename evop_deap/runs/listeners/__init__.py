"""Who hears of a run while it goes on: progress on a terminal, the display, trackers."""
