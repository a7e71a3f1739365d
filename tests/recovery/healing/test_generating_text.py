from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from toy_models import toy_model, toy_tokens

from evop_deap.recovery.healing.generating_text import generated


def test_a_window_on_which_the_model_is_not_finite_stops_no_other(tmp_path: Path) -> None:
    model, windows = toy_model("llama"), toy_tokens(rows=2, length=16).numpy()
    whole = generated(model, "finite", windows, seed=0, folder=tmp_path)
    spoiled = (set(windows[0, :2]) - set(whole[1])).pop()
    with torch.no_grad():
        model.get_input_embeddings().weight[int(spoiled)] = torch.nan
    found = generated(model, "not finite", windows, seed=0, folder=tmp_path)
    assert np.array_equal(found[0, :2], windows[0, :2])
    with torch.no_grad():
        assert not model(torch.as_tensor(found[:1])).logits.isfinite().all()
        assert model(torch.as_tensor(found[1:])).logits.isfinite().all()


def test_a_model_without_a_cache_writes_what_it_predicts(tmp_path: Path) -> None:
    model, windows = toy_model("recurrent-gemma"), toy_tokens(rows=2, length=16).numpy()
    found = generated(model, "a", windows, seed=0, folder=tmp_path)
    ids, generator = torch.as_tensor(windows[:, :2]), torch.Generator().manual_seed(0)
    with torch.no_grad():
        while ids.shape[1] < windows.shape[1]:
            chances = model(ids, use_cache=False).logits[:, -1].float().softmax(-1)
            ids = torch.cat([ids, torch.multinomial(chances, 1, generator=generator)], dim=1)
    assert np.array_equal(found, ids.numpy())
