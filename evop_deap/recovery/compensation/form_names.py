"""Names of the forms of compensation, without torch, because settings use them too."""

from __future__ import annotations

AUTO, FULL, MAP, SCALE, OFF = "auto", "full", "map", "scale", "off"
GAINS = "gains"
"""The form that stands for "map" where a norm writes before the cut."""

FORMS = (AUTO, FULL, MAP, SCALE)
"""The forms to ask for; "auto" takes the one nearest the dense states that lowers the loss."""

CHOICES = (*FORMS, OFF)
