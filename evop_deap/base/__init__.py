"""What every room uses and nothing here is about: errors, files, numbers, words."""
