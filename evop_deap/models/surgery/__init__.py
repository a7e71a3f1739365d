"""Removal of parts of a model: bypassed temporarily, or left out of a second model."""
