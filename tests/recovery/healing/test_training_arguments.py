"""The Trainer's arguments: one device, and the windows that were planned."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from evop_deap.recovery.healing.training import TrainingPlan, arguments_of

PLAN = TrainingPlan(
    loss="ce", steps=10, step_windows=4, pass_windows=2, rate=1e-3, every=2, patience=3,
    narrow=False, seed=0, max_seconds=None,
)  # fmt: skip


def stand_in(device: str, recomputes: bool = True) -> Any:
    """What the arguments depend on of a model that is on a device this machine lacks."""
    return SimpleNamespace(device=torch.device(device), supports_gradient_checkpointing=recomputes)


@pytest.mark.parametrize("device", ["cpu", "mps", "cuda:1"])
def test_a_training_is_on_the_model_s_device_alone(
    device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen: list[torch.device] = []
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("torch.cuda.set_device", chosen.append)
    arguments = arguments_of(PLAN, tmp_path, stand_in(device))
    assert arguments.device == torch.device(device)
    assert arguments.n_gpu <= 1
    assert arguments.train_batch_size == PLAN.pass_windows
    assert arguments.gradient_accumulation_steps == 2
    assert chosen == [torch.device(device)] * device.startswith("cuda")


@pytest.mark.parametrize("recomputes", [True, False])
def test_states_are_computed_anew_only_where_the_model_can(
    recomputes: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.set_device", lambda device: None)
    arguments = arguments_of(PLAN, tmp_path, stand_in("cuda:0", recomputes))
    assert arguments.activation_checkpointing is recomputes
