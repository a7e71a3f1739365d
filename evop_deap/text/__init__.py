"""Documents and windows of tokens, for calibration and for evaluation."""
