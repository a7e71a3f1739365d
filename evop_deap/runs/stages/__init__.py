"""The stages of a run: functions from the context and the earlier outputs to plain data."""
