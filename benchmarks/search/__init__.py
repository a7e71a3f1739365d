"""How good a pattern each search finds, and how soon."""
