"""What tuning the evolution's settings is worth."""
