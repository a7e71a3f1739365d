"""What the losses seen so far say about patterns not yet tried: imports and runs without torch."""
