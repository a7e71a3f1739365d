"""Names of the files that a calibration set's folder holds."""

CALIBRATION_FILE = "calibration.json"
"""The manifest: what makes a folder one that `--calibration` takes."""

WINDOWS_FILE = "windows.npz"
"""The token ids."""
