"""Models whose weights stay in their files and are read block by block."""
