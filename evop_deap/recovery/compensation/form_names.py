"""The forms of compensation by name; without torch, for settings name them, too."""

from __future__ import annotations

AUTO, FULL, MAP, SCALE, OFF = "auto", "full", "map", "scale", "off"
GAINS = "gains"
"""What "map" is where a norm writes before the cut."""

FORMS = (AUTO, FULL, MAP, SCALE)
"""What can be asked for; "auto" is the one of them of least loss."""

CHOICES = (*FORMS, OFF)
