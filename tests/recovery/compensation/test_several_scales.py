from __future__ import annotations

from typing import Any

import pytest
import torch
from own_text import own_text
from toy_models import toy_model

from evop_deap.models.anatomy.find_anatomy import find_anatomy
from evop_deap.models.surgery.bypass import bypassed
from evop_deap.recovery.compensation.changed_weights import written
from evop_deap.recovery.compensation.compensate import compensate
from evop_deap.recovery.compensation.form_names import SCALE


def test_a_scale_leaves_the_dense_model_as_it_is() -> None:
    """The states behind a second cut are compared with those of the dense model's own weights."""
    model: Any = toy_model("llama")
    anatomy, text = find_anatomy(model), own_text(model, 48)
    made = compensate(model, anatomy, [1, 3], text, form=SCALE)
    first, second = made.cuts
    assert first.form == SCALE
    between = model.model.layers[2]
    changes = {p: made.changes[p] for p in between.parameters() if p in made.changes}
    weight = between.mlp.down_proj.weight
    unit = float((weight.detach() / changes[weight]).mean())
    aside = torch.as_tensor(text[7::8])
    with torch.no_grad():
        dense = model(aside, output_hidden_states=True).hidden_states[4] / unit
        with written(changes), bypassed(anatomy, [1, 3]):
            pruned = model(aside, output_hidden_states=True).hidden_states[4]
    away = ((dense - pruned).square().sum(-1) / dense.square().sum(-1)).mean().sqrt()
    assert second.distance[0] == pytest.approx(float(away), rel=1e-4)
