"""The text of a training after pruning, and the dense model's predictions of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evop_deap.base.errors import InputError, UnsupportedModelError
from evop_deap.base.formatting import counted
from evop_deap.base.user_folders import TEACHERS, cache_folder
from evop_deap.recovery.healing.healing_listener import HealingListener
from evop_deap.recovery.healing.recipes import Recipe
from evop_deap.runs.heal.heal_source import HealSource
from evop_deap.settings.healing_config import HealingConfig

if TYPE_CHECKING:
    from evop_deap.models.loading.load_model import LoadedModel
    from evop_deap.recovery.healing.healing_text import HealingText
    from evop_deap.recovery.healing.teacher import TeacherTargets
    from evop_deap.text.tokens import Tokens


@dataclass(frozen=True, eq=False)
class TaughtText:
    """The text, and the dense model's predictions of it.

    Attributes:
        text: the text as it was drawn.
        windows: (windows, window) token ids of "training", "validation" and "heldout" text; those
            to train on may be the dense model's own.
        targets: predictions of the dense model there, all of them finite.
        left_out: number of windows on which the dense model's predictions are not finite.
        fingerprint: hash of the dense model in the dtype of the source.
        teacher: hash of the dense model in float32, which predicts.
        pruned: by text, the loss of the dense model without the dropped units; empty if these
            are unknown.
    """

    text: HealingText
    windows: Mapping[str, Tokens]
    targets: Mapping[str, TeacherTargets]
    left_out: int
    fingerprint: str
    teacher: str
    pruned: Mapping[str, float]

    def dense_loss(self, name: str) -> float:
        """Return the dense model's loss on the text of that name, in nats a token."""
        return float(self.targets[name].losses.sum() / self.windows[name][:, 1:].size)


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
    if corpus.left_out:
        listener.stage(f"corpus {corpus.name}: {corpus.left_out}")
    text = draw_text(
        corpus,
        student.tokenizer,
        window=window,
        tokens=config.tokens or recipe.tokens,
        seed=config.seed,
        reported=source.reported,
    )
    listener.stage(f"loading the dense model {source.base}")
    dense, fingerprint, teacher = _dense_model(config, source, student)
    place = cache_folder() / TEACHERS
    training = text.training.tokens
    if config.generate:
        listener.stage("the dense model writes text to train on")
        training = generated(
            dense.model, teacher, training, seed=config.seed, folder=place,
            on_done=lambda done: listener.prepared(done, len(training)),
        )  # fmt: skip
    listener.stage("the dense model predicts the text")
    drawn = {
        "training": training,
        "validation": text.validation.tokens,
        "heldout": text.heldout.tokens,
    }
    total, done = sum(map(len, drawn.values())), 0
    windows, targets = {}, {}
    for name, rows in drawn.items():
        found = teacher_targets(
            dense.model, teacher, rows, folder=place,
            on_done=partial(_tell, listener, done, total),
        )  # fmt: skip
        done += len(rows)
        windows[name], targets[name] = rows[found.finite], found.only(found.finite)
        if not len(windows[name]):
            raise InputError(
                f"`base` {source.base} predicts nothing finite on any of {len(rows)} windows: "
                "check the checkpoint, or name another with --base"
            )
    left_out = total - sum(map(len, windows.values()))
    if left_out:
        listener.stage(
            f"left out, as the dense model is not finite there: {counted(left_out, 'window')}"
        )
    pruned = {
        name: _pruned_loss(source, dense, windows[name]) for name in ("validation", "heldout")
    }
    known = {name: loss for name, loss in pruned.items() if loss is not None}
    return TaughtText(text, windows, targets, left_out, fingerprint, teacher, known)


def _dense_model(
    config: HealingConfig, source: HealSource, student: LoadedModel
) -> tuple[LoadedModel, str, str]:
    """Return the dense model in float32, its fingerprint in the source's dtype, and in float32.

    Different models can be the same in bfloat16, so predictions are kept by the latter.
    """
    from evop_deap.models.loading.fingerprint import fingerprint_model

    dense = _load_dense(config, source, source.dtype)
    _check_related(source, student, dense)
    fingerprint = fingerprint_model(dense.model)
    if source.fingerprint not in (None, fingerprint):
        raise InputError(
            f"`base` {source.base} has other weights than the dense model of {config.source}: "
            f"fingerprint {fingerprint[:12]} instead of {str(source.fingerprint)[:12]}; "
            "give the right one with --base"
        )
    if source.dtype == "float32":
        return dense, fingerprint, fingerprint
    dense = _load_dense(config, source, "float32")
    return dense, fingerprint, fingerprint_model(dense.model)


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


def load_to_train(config: HealingConfig, checkpoint: Path) -> LoadedModel:
    """Load the model to heal with float32 weights."""
    from evop_deap.recovery.healing.students import check_trainable, is_quantised, not_trainable

    try:
        with _naming("source"):
            loaded = _load(config, str(checkpoint), dtype="float32")
    except InputError as error:
        if is_quantised(checkpoint):
            raise not_trainable(str(checkpoint)) from error
        raise
    check_trainable(loaded.model, str(checkpoint))
    return loaded


def _load_dense(config: HealingConfig, source: HealSource, dtype: str) -> LoadedModel:
    with _naming("base"):
        return _load(
            config,
            source.base,
            dtype=dtype,
            revision=source.revision,
            text_only=source.text_only,
        )


def _load(config: HealingConfig, name: str, **options: Any) -> LoadedModel:
    from evop_deap.models.loading.load_model import load_model

    remote = config.trust_remote_code
    return load_model(name, device=config.device, trust_remote_code=remote, **options)


@contextmanager
def _naming(argument: str) -> Iterator[None]:
    """Name `argument` in errors of `load_model`, which knows it as `model`."""
    try:
        yield
    except (InputError, UnsupportedModelError) as error:
        raise type(error)(str(error).replace("`model`", f"`{argument}`", 1)) from error


def _kind(loaded: LoadedModel) -> str:
    return str(loaded.model.config.get_text_config(decoder=True).model_type)


def _check_related(source: HealSource, student: LoadedModel, dense: LoadedModel) -> None:
    from evop_deap.models.anatomy.probe import embedding_table

    if (kind := _kind(dense)) != _kind(student):
        raise InputError(
            f"`base` {source.base} is a {kind}, but {source.checkpoint} a {_kind(student)}: it is "
            "not the dense model of this checkpoint"
        )
    own, others = (embedding_table(loaded.model).shape for loaded in (student, dense))
    if own != others:
        raise InputError(
            f"`base` {source.base} has embeddings of shape {tuple(others)}, but "
            f"{source.checkpoint} of {tuple(own)}: it is not the dense model of this checkpoint"
        )
    if student.tokenizer.get_vocab() != dense.tokenizer.get_vocab():
        raise InputError(
            f"`base` {source.base} has another vocabulary than {source.checkpoint}: it is not the "
            "dense model of this checkpoint"
        )
