"""Compensation in closed form for what a pattern drops."""
