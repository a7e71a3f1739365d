"""Every heuristic and the search under one protocol, in one table."""
