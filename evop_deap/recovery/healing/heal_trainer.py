"""transformers' Trainer with the losses of this room, and checkpoints that survive a kill."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from evop_deap.base.errors import OutputError, one_line
from evop_deap.recovery.healing.distillation import token_losses, training_loss
from evop_deap.recovery.healing.healing_listener import HealingListener
from evop_deap.recovery.healing.students import load_trained, save_trained
from evop_deap.recovery.healing.teacher import TeacherTargets
from evop_deap.recovery.healing.trainer_state import check_state
from evop_deap.recovery.healing.validation_loss import measure
from evop_deap.text.tokens import Tokens

_STATE = "trainer_state.json"


class TaughtWindows(Dataset[dict[str, torch.Tensor]]):
    """Windows with the dense model's predictions.

    Args:
        windows: (windows, window) token ids.
        targets: predictions there.
    """

    def __init__(self, windows: Tokens, targets: TeacherTargets) -> None:
        self.windows = windows
        self.targets = targets

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {
            "tokens": torch.from_numpy(self.windows[index]),
            "ids": torch.from_numpy(self.targets.ids[index]),
            "logprobs": torch.from_numpy(self.targets.logprobs[index]),
        }


class HealTrainer(Trainer):
    """The Trainer with a loss of `training_loss`, and validation by `measure`.

    Its checkpoints hold the trainable weights by name, because the formats of peft and of
    transformers rename some. The last file of a checkpoint is the Trainer's state: a checkpoint
    is whole if that can be read.

    Args:
        kind: "kl", "ce" or "mix".
        narrow: whether to compute in bfloat16.
        options: of `Trainer`; the two datasets are `TaughtWindows`.
    """

    loss_is_scaled_for_ga = False

    def __init__(self, *, kind: str, narrow: bool, **options: Any) -> None:
        super().__init__(**options)
        self._kind = kind
        self._narrow = narrow
        self.remove_callback(PrinterCallback)  # stdout is the command's

    def compute_loss(self, model: Any, inputs: Any, *_: Any, **__: Any) -> torch.Tensor:
        """Return the mean loss of a batch."""
        with torch.autocast(inputs["tokens"].device.type, torch.bfloat16, enabled=self._narrow):
            logits = model(input_ids=inputs["tokens"], use_cache=False).logits
        found = token_losses(logits, inputs["tokens"], inputs["ids"], inputs["logprobs"])
        return training_loss(self._kind, *found)

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Return and log the losses on the validation windows."""
        text: Any = self.eval_dataset
        found = measure(self.model, text.windows, text.targets, narrow=self._narrow)
        metrics = {"eval_loss": found.loss, "eval_divergence": found.divergence}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        student: Any = self.model
        save_trained(student, Path(output_dir or str(self.args.output_dir)))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        student: Any = self.model
        load_trained(student, Path(resume_from_checkpoint))

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        folder = Path(str(self.args.output_dir)) / f"checkpoint-{self.state.global_step}"
        try:
            super()._save_checkpoint(model, trial)
        except Exception as error:  # torch and safetensors raise their own
            shutil.rmtree(folder, ignore_errors=True)
            raise OutputError(f"cannot write {folder}: {one_line(error)}") from error


class TrainingWatch(TrainerCallback):
    """Tells a listener about the training, and stops it in time.

    Args:
        listener: is told about it.
        given: validation loss of the model given; only a lower one is an improvement.
        patience: validations without improvement that end the training.
        max_seconds: stop after so many seconds, those before a resumption included.
    """

    def __init__(
        self,
        listener: HealingListener,
        *,
        given: float,
        patience: int,
        max_seconds: float | None,
    ) -> None:
        self._listener = listener
        self._given = given
        self._patience = patience
        self._max_seconds = max_seconds
        self._began = time.monotonic()

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Set the loss to improve on."""
        if state.best_metric is None:
            state.best_metric = self._given
        before = next((row["seconds"] for row in reversed(course(state))), 0.0)
        self._began = time.monotonic() - before

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Stop when the time is up."""
        if self._max_seconds is not None and self._seconds >= self._max_seconds:
            control.should_training_stop = True
            control.should_evaluate = control.should_save = True

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **more: Any,
    ) -> None:
        """Tell the listener; add the time to the last row of the log."""
        logs = more["logs"]
        state.log_history[-1]["seconds"] = self._seconds
        if "loss" in logs:
            self._listener.step(state.global_step, logs["loss"])

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Tell the listener; stop when the validation loss has stopped falling."""
        rows = course(state)
        self._listener.validated(rows[-1])
        best = self._given
        idle = 0
        for row in rows:
            idle = 0 if row["loss"] < best else idle + 1
            best = min(best, row["loss"])
        if idle >= self._patience:
            control.should_training_stop = control.should_save = True

    @property
    def _seconds(self) -> float:
        return time.monotonic() - self._began


def course(state: TrainerState) -> list[dict[str, Any]]:
    """Return the validations so far: "step", "loss", "divergence" and "seconds"."""
    return [
        {
            "step": row["step"],
            "loss": row["eval_loss"],
            "divergence": row["eval_divergence"],
            "seconds": row.get("seconds", 0.0),
        }
        for row in state.log_history
        if "eval_loss" in row
    ]


def last_whole(folder: Path) -> tuple[Path, TrainerState] | None:
    """Return the last whole checkpoint in `folder` and its state, and remove the others after it.

    Returns:
        None without a whole checkpoint.
    """
    names = (path.name.removeprefix("checkpoint-") for path in folder.glob("checkpoint-*"))
    for step in sorted((int(name) for name in names if name.isdecimal()), reverse=True):
        path = folder / f"checkpoint-{step}"
        try:
            state = json.loads((path / _STATE).read_text(encoding="utf-8"))
            check_state(state)
        except (OSError, RecursionError, TypeError, ValueError):  # of other fields, too
            shutil.rmtree(path, ignore_errors=True)
        else:
            return path, TrainerState(**state)
    return None
