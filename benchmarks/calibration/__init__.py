"""What the choice of calibration text is worth."""
