"""Landscapes: the true loss of every pattern of a space, and the scripts that make them."""

from __future__ import annotations

from pathlib import Path

LANDSCAPES = Path(__file__).parent
"""The folder of the committed landscape files."""

DEMO_LANDSCAPE = LANDSCAPES / "demo.blocks.8-29.npz"
"""Any 3 of the last 22 blocks of the demo model."""
