"""A training after pruning, from a checkpoint to a healed one that was reloaded and compared."""

from __future__ import annotations

import dataclasses
import shutil
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evop_deap.base.errors import EvopError, InputError
from evop_deap.base.files import write_json
from evop_deap.recovery.healing.healing_listener import HealingListener
from evop_deap.recovery.healing.recipes import RECIPES
from evop_deap.runs.drawn_page import draw_page
from evop_deap.runs.folders_of_models import check_outside_models
from evop_deap.runs.heal.heal_folder import HealFolder
from evop_deap.runs.heal.heal_source import HealSource, heal_source
from evop_deap.runs.heal.plan_training import plan_training
from evop_deap.runs.heal.taught_text import TaughtText, load_to_train, taught_text
from evop_deap.runs.storage.healing_result import HealingResult
from evop_deap.settings.healing_config import HealingConfig

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from evop_deap.models.loading.load_model import LoadedModel
    from evop_deap.recovery.healing.validation_loss import MeasuredLoss

_TEXTS = ("validation", "heldout")
_VERSIONS = ("evop_deap", "torch", "transformers", "peft")


def heal(
    config: HealingConfig,
    output: Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    listener: HealingListener | None = None,
) -> HealingResult:
    """Train a pruned model towards its dense model, and write it if it is better.

    Args:
        config: the settings.
        output: folder of the result.
        resume: continue the unfinished training in `output`.
        overwrite: replace the training in `output`.
        listener: is told about the progress; silent by default.

    Raises:
        EvopError: the source, its dense model, the text or the folder cannot be used, the
            training in `output` is another one, or the reloaded checkpoint differs.
    """
    from evop_deap.recovery.healing.students import check_peft
    from evop_deap.text.corpus import check_corpus

    listener = listener or HealingListener()
    folder = HealFolder(output)
    folder.check_usable(resume=resume, overwrite=overwrite)
    source = heal_source(config)
    check_outside_models(folder.path, "output", (str(source.checkpoint), source.base))
    check_corpus(source.corpus)
    if config.full is False or config.keep_adapter:
        check_peft()
    if config.keep_adapter and config.full:
        raise InputError("`keep_adapter` needs adapters: leave out --full")
    with folder.exclusive():
        # Another process may have finished a training here in between.
        folder.check_usable(resume=resume, overwrite=overwrite)
        if not resume:
            folder.start(config.as_dict())
        try:
            return _healed(config, source, folder, listener)
        except EvopError:
            if not folder.identity.is_file():
                folder.abandon()
            raise
        finally:
            listener.close()


def _healed(
    config: HealingConfig,
    source: HealSource,
    folder: HealFolder,
    listener: HealingListener,
) -> HealingResult:
    import torch

    from evop_deap.recovery.healing import students
    from evop_deap.recovery.healing.heal_trainer import TaughtWindows
    from evop_deap.recovery.healing.training import train

    recipe = RECIPES[config.recipe]
    listener.stage(f"loading {source.checkpoint}")
    loaded = load_to_train(config, source.checkpoint)
    for said in loaded.beside.left_out:
        listener.stage(f"left out: {said}")
    taught = taught_text(config, source, recipe, loaded, listener)
    planned = plan_training(config, source, loaded, taught, folder)
    plan, full = planned.plan, planned.full
    if not full:
        students.check_peft()
    folder.begin(planned.identity)

    evaluated = partial(_evaluated, taught=taught, narrow=plan.narrow)
    given = evaluated(loaded.model)
    listener.training(plan.steps, given["validation"].loss, taught.dense_loss("validation"))
    torch.manual_seed(config.seed)
    student: Any = (
        students.all_trainable(loaded.model)
        if full
        else students.with_adapters(loaded.model, recipe.rank)
    )
    course = train(
        student,
        TaughtWindows(taught.windows["training"], taught.targets["training"]),
        TaughtWindows(taught.windows["validation"], taught.targets["validation"]),
        plan,
        folder.work / "trainer",
        given=given["validation"].loss,
        listener=listener,
    )
    if config.keep_adapter:
        _keep_adapter(student, folder)
    model = students.rounded_to(students.merged(student), loaded.stored_dtype)
    healed = evaluated(model)
    taken = healed["validation"].loss < given["validation"].loss
    losses = {
        name: {
            "dense": taught.dense_loss(name),
            **({"pruned": taught.pruned[name]} if taught.pruned else {}),
            **({_given_name(source): given[name].loss}),
            "healed": (healed if taken else given)[name].loss,
        }
        for name in _TEXTS
    }
    result = HealingResult(
        source=config.source,
        base=source.base,
        base_fingerprint=taught.fingerprint,
        corpus=taught.text.corpus,
        windows={name: len(rows) for name, rows in taught.windows.items()},
        window=taught.windows["training"].shape[1],
        left_out=taught.left_out,
        loss=losses,
        taken=taken,
        reason="" if taken else "training did not lower the loss on validation text",
        trained="all weights" if full else "adapters",
        objective=plan.loss,
        settings={n: v for n, v in dataclasses.asdict(plan).items() if n != "loss"},
        tokens=len(course.losses) * plan.step_windows * taught.windows["training"].shape[1],
        steps=len(course.losses),
        best_step=course.best_step if taken else None,
        course=course.rows,
        losses=course.losses,
        stopped=course.stopped,
        seconds=course.rows[-1]["seconds"] if course.rows else 0.0,
        parameters=planned.parameters,
        seed=config.seed,
        versions={name: version(name) for name in _VERSIONS if _installed(name)},
    )
    if not taken:
        model = load_to_train(config, source.checkpoint).model
    return _written(config, source, loaded, model, folder, result, listener)


def _evaluated(model: Any, *, taught: TaughtText, narrow: bool) -> dict[str, MeasuredLoss]:
    """Return the losses of a model on validation and on held-out text."""
    from evop_deap.recovery.healing.validation_loss import measure

    return {
        name: measure(model, taught.windows[name], taught.targets[name], narrow=narrow)
        for name in _TEXTS
    }


def _given_name(source: HealSource) -> str:
    if source.compensated:
        return "compensated"
    return "pruned" if source.dropped else "given"


def _keep_adapter(student: Any, folder: HealFolder) -> None:
    """Write the adapters into the work folder, because merging removes them from the model."""
    from evop_deap.base.files import new_folder

    with new_folder(folder.work / folder.adapter.name) as temporary:
        student.save_pretrained(temporary)


def _written(
    config: HealingConfig,
    source: HealSource,
    loaded: LoadedModel,
    model: PreTrainedModel,
    folder: HealFolder,
    result: HealingResult,
    listener: HealingListener,
) -> HealingResult:
    """Write the checkpoint through the gate, then the report and the result."""
    from evop_deap.models.anatomy.find_anatomy import find_anatomy
    from evop_deap.models.export.export_checkpoint import export_checkpoint
    from evop_deap.reporting.healing_card import healing_card
    from evop_deap.reporting.healing_page import write_healing_page

    listener.stage(f"writing and checking {folder.model}")
    export_checkpoint(
        model,
        find_anatomy(model),
        (),
        loaded.tokenizer,
        folder.model,
        card=healing_card(source.card, result),
        stored_dtype=loaded.stored_dtype,
        beside=loaded.beside.processor,
        trust_remote_code=config.trust_remote_code,
    )
    adapter = folder.work / folder.adapter.name
    if result.taken and adapter.is_dir():
        shutil.rmtree(folder.adapter, ignore_errors=True)  # of a process killed after this
        adapter.replace(folder.adapter)
    draw_page(folder.report, partial(write_healing_page, folder.report, result), listener.warn)
    write_json(folder.result, result.as_dict())
    shutil.rmtree(folder.work, ignore_errors=True)
    listener.finished(result.loss)
    return result


def _installed(name: str) -> bool:
    from importlib.metadata import PackageNotFoundError

    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True
