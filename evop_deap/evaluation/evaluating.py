"""A whole evaluation of one model, or of a pruned model against its dense model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evop_deap.base.errors import InputError
from evop_deap.base.formatting import counted
from evop_deap.base.user_paths import existing_path, why_no_path
from evop_deap.base.user_text import shown
from evop_deap.evaluation.arithmetic import check_arithmetic, measure_arithmetic
from evop_deap.evaluation.degeneracy import Degeneracy, choose_prompts, measure_degeneracy
from evop_deap.evaluation.memory import peak_memory
from evop_deap.evaluation.perplexity import Perplexity, cut_windows, measure_perplexity
from evop_deap.evaluation.short_texts import left_out_of
from evop_deap.evaluation.sizes import Sizes, measure_sizes
from evop_deap.evaluation.speed import Speed, measure_speed
from evop_deap.evaluation.task_files import check_tasks
from evop_deap.evaluation.zero_shot import TaskScore, check_harness, measure_tasks
from evop_deap.models.anatomy.devices import is_spread
from evop_deap.models.loading.load_model import LoadedModel, load_model
from evop_deap.settings.evaluation_config import EvaluationConfig
from evop_deap.text.whole_texts import EvaluationText, read_text
from evop_deap.text.windows import check_window

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_PROMPT = 32  # prompt tokens of a greedy continuation

Tell = Callable[[str], object]


@dataclass(frozen=True)
class ModelFigures:
    """All measurements of one model; those not requested are empty.

    Attributes:
        name: name of the model, as the user gave it.
        dtype: dtype of the model.
        device: type of the device, such as "cuda".
        sizes: blocks, parameters, bytes on disk.
        perplexities: one for each text and window length; the whole text, then its domains.
        tasks: one for each metric of each task.
        arithmetic: one for each level.
        speeds: one for each batch size.
        peak_bytes: peak memory at the largest batch size.
        degeneracy: its greedy continuations.
    """

    name: str
    dtype: str
    device: str
    sizes: Sizes
    perplexities: tuple[Perplexity, ...] = ()
    tasks: tuple[TaskScore, ...] = ()
    arithmetic: tuple[TaskScore, ...] = ()
    speeds: tuple[Speed, ...] = ()
    peak_bytes: int | None = None
    degeneracy: Degeneracy | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "name": self.name,
            "dtype": self.dtype,
            "device": self.device,
            **self.sizes.as_dict(),
            "perplexity": [one.as_dict() for one in self.perplexities],
            "tasks": [one.as_dict() for one in self.tasks],
            "arithmetic": [one.as_dict() for one in self.arithmetic],
            "speed": [one.as_dict() for one in self.speeds],
            "peak_bytes": self.peak_bytes,
            "degeneracy": self.degeneracy.as_dict() if self.degeneracy else None,
        }


@dataclass(frozen=True)
class EvaluationResult:
    """The result of an evaluation.

    Attributes:
        config: settings of the evaluation.
        model: measurements of the checkpoint.
        dense: measurements of the dense model; None without one.
        texts: texts of the perplexities and the continuations.
        left_out: a sentence for each text with domains that are too short.
    """

    config: EvaluationConfig
    model: ModelFigures
    dense: ModelFigures | None
    texts: tuple[EvaluationText, ...] = field(default=())
    left_out: tuple[str, ...] = ()


def run_evaluation(config: EvaluationConfig, tell: Tell = lambda stage: None) -> EvaluationResult:
    """Run the measurements that the settings ask for.

    Args:
        config: settings of the evaluation.
        tell: called with a message when a part of the work begins.

    Raises:
        EvopError: a model, a text or a task cannot be loaded, or the two models have different
            vocabularies.
    """
    asked = config.measured
    folder = None if config.tasks_from is None else _folder(config.tasks_from)
    if "tasks" in asked:
        check_harness()
        if folder is not None:
            check_tasks(config.tasks, folder)
    texts = tuple(read_text(one, text_column=config.text_column) for one in config.perplexity)
    names = [config.checkpoint, *([config.against] if config.against else [])]
    loaded = _load(config, names, tell)
    figures: list[dict[str, Any]] = [{} for _ in loaded]
    for one in loaded:
        for window in config.window if texts else ():
            check_window(window, one.context)
        if config.arithmetic is not None:
            check_arithmetic(
                one.tokenizer, config.arithmetic, seed=config.seed, context=one.context
            )
        if "degeneracy" in asked:
            _check_room("continuation", config.continuation, _PROMPT, one)
        if "speed" in asked:
            _check_room("new_tokens", config.new_tokens, config.prompt_tokens, one)
    # What a text is too short for is refused before hours of other measurements.
    left_out = left_out_of(loaded[0].tokenizer, texts, config.window, prefix=config.prefix)
    if "degeneracy" in asked:
        texts = texts or (read_text("demo"),)
        prompts = _prompts(loaded, texts[0], config)
    if "perplexity" in asked:
        _add_perplexities(figures, loaded, config, texts, tell)
    if "tasks" in asked:
        for found, one in zip(figures, loaded, strict=True):
            tell(f"{', '.join(config.tasks)}: {one.name}")
            found["tasks"] = measure_tasks(
                one.model,
                one.tokenizer,
                config.tasks,
                tasks_from=folder,
                limit=config.limit,
                batch_size=config.batch_size,
            )
    if config.arithmetic is not None:
        for found, one in zip(figures, loaded, strict=True):
            tell(f"arithmetic: {one.name}")
            found["arithmetic"] = measure_arithmetic(
                one.model,
                one.tokenizer,
                config.arithmetic,
                seed=config.seed,
                batch_size=config.batch_size,
            )
    if "degeneracy" in asked:
        for found, one in zip(figures, loaded, strict=True):
            tell(f"continuing {counted(len(prompts), 'prompt')}: {one.name}")
            found["degeneracy"] = measure_degeneracy(
                one.model, prompts, new_tokens=config.continuation
            )
    if "speed" in asked:
        _add_speeds(figures, loaded, config, tell)
    made = [
        ModelFigures(
            one.name,
            str(one.model.dtype).removeprefix("torch."),
            one.model.device.type,
            measure_sizes(one),
            **found,
        )
        for one, found in zip(loaded, figures, strict=True)
    ]
    return EvaluationResult(config, made[0], made[1] if len(made) > 1 else None, texts, left_out)


def _load(config: EvaluationConfig, names: list[str], tell: Tell) -> list[LoadedModel]:
    """Load the models, all in the dtype of the first, so that only pruning differs."""
    loaded: list[LoadedModel] = []
    for argument, name in zip(("checkpoint", "against"), names, strict=False):
        tell(f"loading the model {name}")
        dtype = str(loaded[0].model.dtype).removeprefix("torch.") if loaded else config.dtype
        try:
            loaded.append(load_model(name, **{**_options(config), "dtype": dtype}))
        except InputError as error:
            raise InputError(str(error).replace("`model`", f"`{argument}`", 1)) from error
    if len(loaded) > 1 and loaded[0].tokenizer.get_vocab() != loaded[1].tokenizer.get_vocab():
        raise InputError(
            f"`against` {names[1]} has another vocabulary than {names[0]}: losses per token and "
            "continuations cannot be compared"
        )
    return loaded


def _check_room(argument: str, new: int, prompt: int, loaded: LoadedModel) -> None:
    """Refuse a prompt and new tokens that are more than the model can read."""
    if loaded.context is not None and prompt + new > loaded.context:
        raise InputError(
            f"`{argument}` ({new}) after a prompt of {prompt} tokens is more than the "
            f"{loaded.context} tokens that {loaded.name} can read: give less"
        )


def _options(config: EvaluationConfig) -> dict[str, Any]:
    """Return the arguments of `load_model` without the name."""
    wanted = ("dtype", "device", "attn_implementation", "trust_remote_code")
    return {name: getattr(config, name) for name in wanted}


def _folder(text: str) -> Path:
    """Return the folder of the tasks; whether it holds them is found out later."""
    found = existing_path(text, "tasks_from")
    if found is None and (reason := why_no_path(text)):
        raise InputError(f"`tasks_from` {shown(text)} cannot be used: {reason}")
    return found or Path(text)


def _add_perplexities(
    figures: list[dict[str, Any]],
    loaded: list[LoadedModel],
    config: EvaluationConfig,
    texts: tuple[EvaluationText, ...],
    tell: Tell,
) -> None:
    # One tokenizer, because losses are compared window by window, and two with one vocabulary
    # may put different special tokens before a text.
    tokenizer = loaded[0].tokenizer
    for found, one in zip(figures, loaded, strict=True):
        measured: list[Perplexity] = []
        for text in texts:
            for window in config.window:
                tell(f"perplexity on {text.name} in windows of {window} tokens: {one.name}")
                measured += measure_perplexity(
                    one.model,
                    tokenizer,
                    text,
                    window=window,
                    max_windows=config.max_windows,
                    context=one.context,
                    prefix=config.prefix,
                )
        found["perplexities"] = tuple(measured)


def _prompts(
    loaded: list[LoadedModel], text: EvaluationText, config: EvaluationConfig
) -> NDArray[np.int64]:
    """Return the beginnings of windows spread over a text: (prompts, tokens)."""
    import numpy as np

    length = _PROMPT + config.continuation
    tokenizer = loaded[0].tokenizer
    cut = [r for _, r in cut_windows(tokenizer, text, window=length, prefix=config.prefix)]
    if sum(map(len, cut)) < 2:
        raise InputError(
            f"`continuation` ({config.continuation}) needs at least two windows of {length} "
            f"tokens, but {text.name} is shorter"
        )
    return choose_prompts(np.concatenate(cut), count=config.prompts, length=_PROMPT)


def _add_speeds(
    figures: list[dict[str, Any]], loaded: list[LoadedModel], config: EvaluationConfig, tell: Tell
) -> None:
    lengths = {"prompt_tokens": config.prompt_tokens, "new_tokens": config.new_tokens}
    for found, one in zip(figures, loaded, strict=True):
        tell(f"peak memory: {one.name}")
        options = _options(config)
        if not is_spread(one.model):
            options["device"] = str(one.model.device)
        options["dtype"] = str(one.model.dtype).removeprefix("torch.")
        found["peak_bytes"] = peak_memory(one.name, options, batch=max(config.batches), **lengths)
        found["speeds"] = ()
    for batch in config.batches:
        tell(f"speed, {batch} {'row' if batch == 1 else 'rows'} at once")
        speeds = measure_speed(
            [one.model for one in loaded],
            batch=batch,
            repeats=config.repeats,
            seed=config.seed,
            **lengths,
        )
        for found, speed in zip(figures, speeds, strict=True):
            found["speeds"] += (speed,)
