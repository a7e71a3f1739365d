"""Making the cells of a board: what all have in common, the patterns, and their evaluation."""
