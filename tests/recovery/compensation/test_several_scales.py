from __future__ import annotations

from typing import Any

import pytest
import torch
from own_text import own_text
from toy_models import toy_model

from evop_deap.models.anatomy.find_anatomy import find_anatomy
from evop_deap.models.anatomy.probe import removable_hooks
from evop_deap.models.surgery.bypass import bypassed
from evop_deap.recovery.compensation.changed_weights import written
from evop_deap.recovery.compensation.compensate import compensate
from evop_deap.recovery.compensation.form_names import FULL, SCALE


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


def test_a_matrix_behind_a_scale_is_solved_on_top_of_it() -> None:
    """What is added to a matrix is found for its inputs in the scaled model, so it adds to that."""
    model: Any = toy_model("llama")
    with torch.no_grad():
        model.get_input_embeddings().weight *= 4.0
    anatomy, text = find_anatomy(model), own_text(model, 48)
    made = compensate(model, anatomy, [0, 3], text)
    assert [cut.form for cut in made.cuts] == [SCALE, FULL]
    layers = model.model.layers
    matrix, scaled = (layers[block].mlp.down_proj.weight.detach() for block in (2, 4))
    unit = float((scaled / made.changes[layers[4].mlp.down_proj.weight]).mean())
    writers = [
        part for i in (1, 2) for part in (layers[i].self_attn.o_proj, layers[i].mlp.down_proj)
    ]
    heard: list[torch.Tensor] = []

    def listen(module: Any, args: Any, output: Any) -> None:
        heard.append(args[0].flatten(0, 1).double())

    def states() -> torch.Tensor:
        return model(torch.as_tensor(text), output_hidden_states=True).hidden_states[4].double()

    with torch.no_grad(), removable_hooks() as handles:
        dense = states() / unit
        handles.append(writers[-1].register_forward_hook(listen))
        with (
            written({w.weight: w.weight.detach() / unit for w in writers}),
            bypassed(anatomy, [0, 3]),
        ):
            missing = (dense - states()).flatten(0, 1)
    weights = 1 / dense.flatten(0, 1).norm(dim=1, keepdim=True)
    inputs, ridge = weights * heard[0], made.cuts[1].ridge
    assert ridge is not None
    gram = inputs.T @ inputs
    gram.diagonal().add_(ridge * gram.diagonal().mean())
    added = torch.linalg.solve(gram, inputs.T @ (weights * missing)).T
    found = made.changes[writers[-1].weight].double()
    torch.testing.assert_close(found, matrix.double() / unit + added, rtol=1e-3, atol=1e-3)


def test_a_scale_is_tried_at_the_lengths_that_states_have_with_it() -> None:
    """It leaves states as short as they are, and none gets so short that a norm loses them."""
    model = toy_model("llama")
    (cut,) = compensate(model, find_anatomy(model), [0], own_text(model, 48), form=SCALE).cuts
    assert cut.form == SCALE
