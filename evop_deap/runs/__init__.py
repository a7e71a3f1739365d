"""One run, from settings to a measured and checked checkpoint in a folder."""
