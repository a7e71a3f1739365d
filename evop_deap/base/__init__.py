"""Helpers that every room uses: errors, files, numbers, formatting."""
