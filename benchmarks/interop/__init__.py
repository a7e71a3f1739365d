"""What other programs make of a pruned checkpoint."""
