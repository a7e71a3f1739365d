"""Names of the files that a calibration set's folder holds."""

CALIBRATION_FILE = "calibration.json"
"""The manifest; `--calibration` takes any folder with this file."""

WINDOWS_FILE = "windows.npz"
"""The token ids."""
