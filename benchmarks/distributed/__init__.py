"""What several workers gain."""
