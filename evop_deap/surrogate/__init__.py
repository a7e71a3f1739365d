"""A Gaussian-process surrogate of the losses seen so far; imports and runs without torch."""
