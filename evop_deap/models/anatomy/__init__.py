"""The parts of a model: where they are, what they cost, and how to run some of them alone."""
