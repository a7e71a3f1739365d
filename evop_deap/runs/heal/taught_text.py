"""The text of a training after pruning, and the dense model's predictions of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from evop_deap.base.errors import InputError
from evop_deap.base.user_folders import cache_folder
from evop_deap.recovery.healing.healing_listener import HealingListener
from evop_deap.recovery.healing.recipes import Recipe
from evop_deap.runs.heal.heal_source import HealSource
from evop_deap.settings.healing_config import HealingConfig

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from evop_deap.models.loading.load_model import LoadedModel
    from evop_deap.recovery.healing.healing_text import HealingText
    from evop_deap.recovery.healing.teacher import TeacherTargets
    from evop_deap.text.tokens import Tokens


@dataclass(frozen=True, eq=False)
class TaughtText:
    """The text, and the dense model's predictions of it.

    Attributes:
        text: the windows; those to train on may be the dense model's own.
        targets: predictions of the dense model on "training", "validation" and "heldout" text.
        fingerprint: hash of the dense model.
        pruned: by text, the loss of the dense model without the dropped units; empty if these
            are unknown.
    """

    text: HealingText
    training: Tokens
    targets: Mapping[str, TeacherTargets]
    fingerprint: str
    pruned: Mapping[str, float]


def taught_text(
    config: HealingConfig,
    source: HealSource,
    recipe: Recipe,
    student: LoadedModel,
    listener: HealingListener,
) -> TaughtText:
    """Draw the text, and let the dense model predict it.

    Raises:
        EvopError: the text or the dense model cannot be used, or belongs to another checkpoint.
    """
    from evop_deap.recovery.healing.generating_text import generated
    from evop_deap.recovery.healing.healing_text import draw_text
    from evop_deap.recovery.healing.teacher import teacher_targets
    from evop_deap.text.corpus import load_corpus
    from evop_deap.text.windows import check_window

    window = config.window or min(recipe.window, student.context or recipe.window)
    check_window(window, student.context)
    listener.stage(f"reading the corpus {source.corpus}")
    corpus = load_corpus(source.corpus, text_column=source.text_column)
    if corpus.skipped:
        listener.stage(f"corpus {corpus.name}: {corpus.skipped_files}")
    text = draw_text(
        corpus,
        student.tokenizer,
        window=window,
        tokens=config.tokens or recipe.tokens,
        seed=config.seed,
        reported=source.reported,
    )
    listener.stage(f"loading the dense model {source.base}")
    dense, fingerprint = _dense_model(config, source, student.model)
    place = cache_folder() / "teachers"
    parts = {"validation": text.validation.tokens, "heldout": text.heldout.tokens}
    training = text.training.tokens
    if config.generate:
        listener.stage("the dense model writes text to train on")
        training = generated(
            dense.model, fingerprint, training, seed=config.seed, folder=place,
            on_done=lambda done: listener.prepared(done, len(training)),
        )  # fmt: skip
    listener.stage("the dense model predicts the text")
    total, done, targets = len(training) + sum(map(len, parts.values())), 0, {}
    for name, rows in {"training": training, **parts}.items():
        targets[name] = teacher_targets(
            dense.model, fingerprint, rows, folder=place,
            on_done=partial(_tell, listener, done, total),
        )  # fmt: skip
        done += len(rows)
    sound = targets["training"].finite
    if not sound.all():
        listener.stage(f"{int((~sound).sum())} windows are left out: not finite")
        training = training[sound]
        targets["training"] = targets["training"].only(sound)
    pruned = {name: _pruned_loss(source, dense, rows) for name, rows in parts.items()}
    known = {name: loss for name, loss in pruned.items() if loss is not None}
    return TaughtText(text, training, targets, fingerprint, known)


def _dense_model(
    config: HealingConfig, source: HealSource, student: PreTrainedModel
) -> tuple[LoadedModel, str]:
    """Return the dense model with float32 weights, and its fingerprint in the source's dtype."""
    from evop_deap.models.loading.fingerprint import fingerprint_model

    dense = _load(config, source.base, source.dtype)
    _check_related(source, student, dense.model)
    fingerprint = fingerprint_model(dense.model)
    if source.fingerprint not in (None, fingerprint):
        raise InputError(
            f"`base` {source.base} has other weights than the dense model of {config.source}: "
            f"fingerprint {fingerprint[:12]} instead of {str(source.fingerprint)[:12]}; "
            "give the right one with --base"
        )
    if source.dtype != "float32":
        dense = load_to_train(config, source.base)
    return dense, fingerprint


def _tell(listener: HealingListener, before: int, total: int, count: int) -> None:
    listener.prepared(before + count, total)


def _pruned_loss(source: HealSource, dense: LoadedModel, windows: Tokens) -> float | None:
    """Return the loss without the dropped units, in nats per token; None if they are unknown."""
    if not source.compensated or not source.dropped:
        return None
    from evop_deap.models.anatomy.find_anatomy import find_anatomy
    from evop_deap.models.formats import Drops
    from evop_deap.runs.pruned_model import loss_of_changes

    blocks = len(find_anatomy(dense.model).blocks)
    drops = Drops.named(blocks, source.dropped)
    anatomy = find_anatomy(dense.model, drops.granularity)
    dropped = drops.positions([part.name for part in anatomy.parts])
    return loss_of_changes(dense.model, anatomy, dropped, {}, windows)


def load_to_train(config: HealingConfig, name: str) -> LoadedModel:
    """Load a model with float32 weights."""
    return _load(config, name, "float32")


def _load(config: HealingConfig, name: str, dtype: str) -> LoadedModel:
    from evop_deap.models.loading.load_model import load_model

    return load_model(
        name,
        dtype=dtype,
        device=config.device,
        trust_remote_code=config.trust_remote_code,
    )


def _check_related(source: HealSource, student: PreTrainedModel, dense: PreTrainedModel) -> None:
    from evop_deap.models.anatomy.probe import embedding_table

    own, others = embedding_table(student).shape, embedding_table(dense).shape
    if own != others:
        raise InputError(
            f"`base` {source.base} has embeddings of shape {tuple(others)}, but "
            f"{source.checkpoint} of {tuple(own)}: it is not the dense model of this checkpoint"
        )
