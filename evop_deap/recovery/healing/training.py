"""One training after pruning: its plan, its course, and the best weights it came to."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import TrainerState, TrainingArguments
from transformers.utils import logging as transformers_logging

from evop_deap.base.formatting import counted
from evop_deap.models.loading.hardware import free_memory
from evop_deap.recovery.healing.heal_trainer import (
    HealTrainer,
    TaughtWindows,
    TrainingWatch,
    course,
    last_whole,
)
from evop_deap.recovery.healing.healing_listener import HealingListener
from evop_deap.recovery.healing.students import load_trained

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_WARM_UP = 0.05  # share of the steps in which the learning rate rises
_CPU_TOKENS = 1024  # in a forward and backward pass, on the CPU
_LOGITS_SHARE = 0.25  # of an accelerator's free memory
_LOGIT_COPIES = 6  # float32 tensors of the size of the logits that a pass holds


@dataclass(frozen=True)
class TrainingPlan:
    """What a training does.

    Attributes:
        loss: "kl", "ce" or "mix".
        steps: steps of the optimiser.
        step_windows: windows in a step.
        pass_windows: windows in a forward and backward pass; it divides `step_windows`.
        rate: highest learning rate.
        every: steps between validations.
        patience: validations without a lower loss that end the training.
        narrow: whether to compute in bfloat16.
        seed: seed of the order of the windows.
        max_seconds: stop after so many seconds; None for no limit.
    """

    loss: str
    steps: int
    step_windows: int
    pass_windows: int
    rate: float
    every: int
    patience: int
    narrow: bool
    seed: int
    max_seconds: float | None


@dataclass(frozen=True)
class Course:
    """What a training came to.

    Attributes:
        rows: its validations: "step", "loss", "divergence" and "seconds".
        losses: the training loss of each step.
        best_step: the step whose weights the model has now; None if none improved on the model
            given.
        stopped: why it ended.
    """

    rows: tuple[dict[str, Any], ...]
    losses: tuple[float, ...]
    best_step: int | None
    stopped: str


def windows_in_a_pass(step_windows: int, window: int, vocabulary: int, device: torch.device) -> int:
    """Return how many windows fit in a pass: a divisor of `step_windows`."""
    most = max(_CPU_TOKENS // window, 1)
    if device.type == "cuda":
        most = int(free_memory(device) * _LOGITS_SHARE / (window * vocabulary * 4 * _LOGIT_COPIES))
    fitting = range(min(step_windows, max(most, 1)), 0, -1)
    return next(count for count in fitting if step_windows % count == 0)


def train(
    student: PreTrainedModel | Any,
    training: TaughtWindows,
    validation: TaughtWindows,
    plan: TrainingPlan,
    folder: Path,
    *,
    given: float,
    listener: HealingListener,
) -> Course:
    """Train a model, or go on with a training, and set it to its best weights.

    Args:
        student: the model, on its device; its trainable weights are trained.
        training: windows to train on.
        validation: windows that decide when to stop.
        plan: what to do.
        folder: folder of the Trainer's checkpoints, with those to go on from.
        given: validation loss of the model given.
        listener: is told about it.

    Raises:
        OutputError: a checkpoint cannot be written.
    """
    watch = TrainingWatch(
        listener, given=given, patience=plan.patience, max_seconds=plan.max_seconds
    )
    with _quiet():
        trainer = HealTrainer(
            kind=plan.loss,
            narrow=plan.narrow,
            model=student,
            args=arguments_of(plan, folder, student),
            train_dataset=training,
            eval_dataset=validation,
            callbacks=[watch],
        )
        found = last_whole(folder)
        if found is not None and _is_over(found[1]):
            state = found[1]
        else:
            trainer.train(resume_from_checkpoint=None if found is None else str(found[0]))
            state = trainer.state
    if state.best_global_step:
        load_trained(student, folder / f"checkpoint-{state.best_global_step}")
    rows = tuple(course(state))
    return Course(
        rows,
        tuple(row["loss"] for row in state.log_history if "loss" in row),
        state.best_global_step or None,
        _reason(plan, state, rows),
    )


def arguments_of(plan: TrainingPlan, folder: Path, student: PreTrainedModel) -> TrainingArguments:
    """Return the Trainer's arguments for a training on the model's own device."""
    device = student.device
    on_gpu = device.type == "cuda"
    recomputes = on_gpu and student.supports_gradient_checkpointing
    arguments = TrainingArguments(
        output_dir=str(folder),
        max_steps=plan.steps,
        per_device_train_batch_size=plan.pass_windows,
        gradient_accumulation_steps=plan.step_windows // plan.pass_windows,
        learning_rate=plan.rate,
        lr_scheduler_type="cosine",
        warmup_steps=round(_WARM_UP * plan.steps),
        weight_decay=0.0,
        max_grad_norm=1.0,
        activation_checkpointing=recomputes,
        activation_checkpointing_kwargs={"use_reentrant": False} if recomputes else None,
        logging_steps=1,
        logging_nan_inf_filter=False,
        eval_strategy="steps",
        eval_steps=plan.every,
        save_strategy="steps",
        save_steps=plan.every,
        save_total_limit=1,
        metric_for_best_model="loss",
        greater_is_better=False,
        remove_unused_columns=False,
        dataloader_pin_memory=on_gpu,
        seed=plan.seed,
        data_seed=plan.seed,
        use_cpu=device.type == "cpu",
        disable_tqdm=True,
        log_level="error",
        report_to="none",
    )
    # The Trainer takes the first GPU, and more windows in a pass for each further one.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    arguments.__dict__["_setup_devices"] = device  # a cached property
    if on_gpu:
        torch.cuda.set_device(device)
    return arguments


def _is_over(state: TrainerState) -> bool:
    """Whether the training had ended when this state was written."""
    callbacks: Any = state.stateful_callbacks
    control = callbacks.get("TrainerControl", {})
    return bool(control.get("args", {}).get("should_training_stop"))


def _reason(plan: TrainingPlan, state: TrainerState, rows: tuple[dict[str, Any], ...]) -> str:
    if state.global_step >= plan.steps:
        return f"after {counted(plan.steps, 'step')}"
    if plan.max_seconds is not None and rows and rows[-1]["seconds"] >= plan.max_seconds:
        return f"after {plan.max_seconds:g} seconds"
    return f"after {counted(state.global_step, 'step')}, as the validation loss no longer fell"


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence transformers' messages below an error, and restore the settings after it."""
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
