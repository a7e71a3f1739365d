from __future__ import annotations

import math

import pytest
import torch
from toy_models import anatomy_of, toy_model
from transformers import PreTrainedModel

from evop_deap.models.anatomy.exit import find_exit
from evop_deap.models.anatomy.find_anatomy import find_anatomy


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ["llama", "gemma2", "cohere2", "granite", "opt", "phi3"])
def test_the_exit_is_found_in_low_precision_too(name: str, dtype: torch.dtype) -> None:
    model = toy_model(name).to(dtype)
    config = model.config
    leaving = find_exit(model, find_anatomy(model))
    one = leaving.transform(torch.full((1, 1), 40.0))
    scale = getattr(config, "logit_scale", 1.0) / getattr(config, "logits_scaling", 1.0)
    cap = getattr(config, "final_logit_softcapping", None)
    expected = cap * math.tanh(40.0 / cap) if cap else 40.0 * scale
    assert float(one) == pytest.approx(expected)


def test_the_exit_is_found_for_every_architecture(any_model: PreTrainedModel) -> None:
    leaving = find_exit(any_model, anatomy_of(any_model))
    assert leaving.weight.shape[0] == any_model.config.vocab_size
    assert len(leaving.modules) >= 1
