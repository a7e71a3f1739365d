"""The report of an evaluation, as a table for a terminal and as JSON."""

from __future__ import annotations

import math
import os
import platform
import statistics
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from evop_deap.base.formatting import counted
from evop_deap.base.numbers import exponential, finite_or_none
from evop_deap.evaluation.degeneracy import Degeneracy
from evop_deap.evaluation.estimates import Estimate, mean_of
from evop_deap.evaluation.evaluating import EvaluationResult, ModelFigures
from evop_deap.evaluation.perplexity import PROTOCOL, Perplexity
from evop_deap.evaluation.speed import MEASURES, Speed
from evop_deap.evaluation.zero_shot import TaskScore

_PACKAGES = ("evop_deap", "torch", "transformers", "tokenizers", "datasets", "numpy", "lm_eval")

_Row = tuple[str, str, str, str]
"""Name of a figure, its value, the dense model's value, and the comparison."""


def report_dict(found: EvaluationResult) -> dict[str, Any]:
    """Return JSON values: settings, versions, machine, figures and the comparison."""
    return {
        "settings": found.config.as_dict(),
        "versions": {"python": platform.python_version(), **_versions()},
        "machine": {"processor": platform.machine(), "cores": os.cpu_count(), **_device(found)},
        "date": datetime.now(timezone.utc).date().isoformat(),
        "perplexity_protocol": PROTOCOL,
        "texts": [
            {"name": text.name, "protocol": text.protocol, "sha256": text.fingerprint}
            for text in found.texts
        ],
        "left_out": list(found.left_out),
        "model": found.model.as_dict(),
        "dense": found.dense.as_dict() if found.dense else None,
        "comparison": _comparison(found.model, found.dense) if found.dense else None,
    }


def report_table(found: EvaluationResult) -> str:
    """Return a row for each figure, with the dense model's value and the comparison if any."""
    rows = [*_rows(found.model, found.dense)]
    head = ("", "model", "dense", "pruned against dense") if found.dense else ("", "model", "", "")
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(3)]
    lines = [
        f"{a:<{widths[0]}}  {b:>{widths[1]}}  {c:>{widths[2]}}  {d}".rstrip()
        for a, b, c, d in (head, *rows)
    ]
    lines += ["", f"{found.model.dtype} on {found.model.device}; ± is a standard error"]
    lines += [f"{text.name}: {text.protocol}" for text in found.texts]
    lines += dict.fromkeys(one.start.words for one in found.model.perplexities)
    lines += [f"warning: {said}" for said in _warnings(found)]
    return "\n".join(lines)


def _warnings(found: EvaluationResult) -> list[str]:
    """Return what was left out and what is odd about perplexities, once each."""
    models = filter(None, (found.model, found.dense))
    said = (one.warning for figures in models for one in figures.perplexities)
    return list(dict.fromkeys([*found.left_out, *filter(None, said)]))


def _rows(model: ModelFigures, dense: ModelFigures | None) -> Iterator[_Row]:
    yield from _size_rows(model, dense)
    for i, perplexity in enumerate(model.perplexities):
        yield _perplexity_row(perplexity, dense.perplexities[i] if dense else None)
    for scores, others in (
        (model.tasks, dense and dense.tasks),
        (model.arithmetic, dense and dense.arithmetic),
    ):
        for i, score in enumerate(scores):
            yield _score_row(score, others[i] if others else None)
    for i, speed in enumerate(model.speeds):
        yield from _speed_rows(speed, dense.speeds[i] if dense else None)
    if model.degeneracy:
        yield from _degeneracy_rows(model.degeneracy, dense.degeneracy if dense else None)


def _size_rows(model: ModelFigures, dense: ModelFigures | None) -> Iterator[_Row]:
    mine, theirs = model.sizes, dense.sizes if dense else None
    yield _sized("blocks", mine.blocks, theirs.blocks if theirs else None, "")
    yield _sized("parameters", mine.parameters, theirs.parameters if theirs else None, "M")
    yield _sized("weight files", mine.file_bytes, theirs.file_bytes if theirs else None, "MB")
    if model.peak_bytes is not None:
        yield _sized("peak memory", model.peak_bytes, dense.peak_bytes if dense else None, "MB")


def _score_row(mine: TaskScore, theirs: TaskScore | None) -> _Row:
    name = f"{mine.task} {mine.metric} ({len(mine.scores)})"
    if theirs is None:
        return name, _percent(mine.mean), "", ""
    return name, _percent(mine.mean), _percent(theirs.mean), _points(mine.change(theirs))


def _sized(name: str, mine: int | None, theirs: int | None, unit: str) -> _Row:
    def shown(value: int | None) -> str:
        if value is None:
            return ""
        return f"{value / 1e6:,.1f} {unit}" if unit else str(value)

    change = f"{(mine - theirs) / theirs:+.1%}" if mine and theirs else ""
    return name, shown(mine), shown(theirs), change


def _perplexity_row(mine: Perplexity, theirs: Perplexity | None) -> _Row:
    where = f"{mine.text}, {mine.domain}" if mine.domain else mine.text
    name = f"perplexity {where} ({len(mine.losses)} x {mine.window})"
    if theirs is None:
        return name, _with_error(mine.value, mine.error), "", ""
    excess = mine.excess(theirs)
    error = "" if excess.error is None else f" ± {excess.error:.3f}"
    change = f"x {_figure(exponential(excess.value))} ({excess.value:+.3f}{error} nats a token)"
    return (
        name,
        _with_error(mine.value, mine.error),
        _with_error(theirs.value, theirs.error),
        change,
    )


def _speed_rows(mine: Speed, theirs: Speed | None) -> Iterator[_Row]:
    for measure in MEASURES:
        said = "first token" if measure == "first_token" else measure
        tokens = mine.new if measure == "decode" else mine.prompt
        name = f"{said}, {mine.batch} x {tokens}"
        own = _paced(mine, measure)
        if theirs is None:
            yield name, own, "", ""
        else:
            gain = mine.speedup(theirs, measure)
            change = f"{gain.median:.2f} x as fast ({gain.low:.2f} to {gain.high:.2f})"
            yield name, own, _paced(theirs, measure), change


def _paced(speed: Speed, measure: str) -> str:
    median = statistics.median(speed.rates(measure))
    return f"{1000 * median:,.0f} ms" if measure == "first_token" else f"{median:,.1f} tokens/s"


def _degeneracy_rows(mine: Degeneracy, theirs: Degeneracy | None) -> Iterator[_Row]:
    repetition = mean_of(mine.repetition)
    flag = "DEGENERATE" if mine.degenerate(theirs) else ""
    name = f"rep-4 of {counted(len(mine.continuations), 'continuation')}"
    if theirs is None:
        yield name, _percent(repetition), "", flag
    else:
        change = ", ".join(filter(None, [_points(mine.change(theirs)), flag]))
        yield name, _percent(repetition), _percent(mean_of(theirs.repetition)), change
    for n in (1, 2):
        other = f"{theirs.distinct(n):.1%}" if theirs else ""
        yield f"distinct-{n}", f"{mine.distinct(n):.1%}", other, ""


def _comparison(model: ModelFigures, dense: ModelFigures) -> dict[str, Any]:
    """Return the comparison with the dense model, in the order of the figures."""
    return {
        "parameters": model.sizes.parameters / dense.sizes.parameters,
        "perplexity": [
            {
                "text": mine.text,
                "domain": mine.domain,
                "window": mine.window,
                "excess_loss": mine.excess(theirs).as_dict(),
                "ratio": finite_or_none(exponential(mine.excess(theirs).value)),
            }
            for mine, theirs in zip(model.perplexities, dense.perplexities, strict=True)
        ],
        "tasks": _score_comparison(model.tasks, dense.tasks),
        "arithmetic": _score_comparison(model.arithmetic, dense.arithmetic),
        "speed": [
            {"batch": mine.batch, **{m: vars(mine.speedup(theirs, m)) for m in MEASURES}}
            for mine, theirs in zip(model.speeds, dense.speeds, strict=True)
        ],
        "degeneracy": _degeneracy_comparison(model.degeneracy, dense.degeneracy),
    }


def _score_comparison(
    model: Sequence[TaskScore], dense: Sequence[TaskScore]
) -> list[dict[str, Any]]:
    return [
        {"task": mine.task, "metric": mine.metric, **mine.change(theirs).as_dict()}
        for mine, theirs in zip(model, dense, strict=True)
    ]


def _degeneracy_comparison(
    mine: Degeneracy | None, theirs: Degeneracy | None
) -> dict[str, Any] | None:
    if mine is None or theirs is None:
        return None
    change = mine.change(theirs).as_dict()
    return {"repetition": change, "degenerate": mine.degenerate(theirs)}


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _device(found: EvaluationResult) -> dict[str, str]:
    if found.model.device != "cuda":
        return {}
    import torch

    return {"accelerator": torch.cuda.get_device_name()}


def _with_error(value: float, error: float | None) -> str:
    return _figure(value) + ("" if error is None else f" ± {_figure(error)}")


def _figure(value: float) -> str:
    if not math.isfinite(value):
        return "inf"
    return f"{value:.2f}" if value < 1000 else f"{value:,.0f}" if value < 1e7 else f"{value:.1e}"


def _percent(estimate: Estimate) -> str:
    error = "" if estimate.error is None else f" ± {estimate.error:.1%}"
    return f"{estimate.value:.1%}{error}"


def _points(change: Estimate) -> str:
    error = "" if change.error is None else f" ± {100 * change.error:.1f}"
    return f"{100 * change.value:+.1f}{error} points"
