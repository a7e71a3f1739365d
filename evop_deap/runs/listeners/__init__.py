"""Listeners of a running search: terminals and trackers."""
