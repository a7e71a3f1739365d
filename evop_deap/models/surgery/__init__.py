"""Taking parts out of a model: bypassed for a while, or for good in a second model."""
