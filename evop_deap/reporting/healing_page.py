"""The page of a training after pruning: perplexities side by side, and the loss curves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evop_deap.base.files import write_text
from evop_deap.base.formatting import duration, number
from evop_deap.base.numbers import exponential
from evop_deap.reporting.page_frame import framed
from evop_deap.reporting.page_parts import Table, escaped, figure, paragraph, plot, section
from evop_deap.runs.storage.healing_result import HealingResult


def write_healing_page(path: Path, result: HealingResult) -> None:
    """Write the page.

    Raises:
        OutputError: it cannot be written.
    """
    write_text(path, healing_page(result))


def healing_page(result: HealingResult) -> str:
    """Return the page as self-contained HTML."""
    title = f"{result.source}, healed" if result.taken else f"{result.source}, not healed"
    said = (
        f"{result.trained.capitalize()} were trained on {result.tokens:,} tokens of "
        f"{result.corpus} in {duration(result.seconds)}, towards {result.base}; stopped "
        f"{result.stopped}."
    )
    if not result.taken:
        said += f" The given model is handed over: {result.reason}."
    content = section("result", "The result", paragraph(said), _losses(result))
    course = section("course", "The training", _validations(result), _training(result))
    return framed(title, f"<h1>{escaped(title)}</h1>{content}{course}")


def _losses(result: HealingResult) -> str:
    names = list(result.loss["heldout"])
    rows: list[list[str | float | None]] = [
        [text, *(exponential(losses[name]) for name in names)]
        for text, losses in result.loss.items()
    ]
    return Table(("perplexity", *names), rows).html("Perplexity of each model")


def _validations(result: HealingResult) -> str:
    if not result.course:
        return ""
    steps = [row["step"] for row in result.course]
    dense = result.loss["validation"]["dense"]
    traces: list[dict[str, Any]] = [
        {"x": steps, "y": [row["loss"] for row in result.course], "name": "validation loss",
         "mode": "lines+markers"},
        {"x": [steps[0], steps[-1]], "y": [dense, dense], "name": "dense model", "mode": "lines",
         "line": {"dash": "dot"}},
    ]  # fmt: skip
    table = Table(
        ("step", "loss", "divergence", "seconds"),
        [(r["step"], r["loss"], r["divergence"], r["seconds"]) for r in result.course],
    )
    return figure(
        "validation",
        "Loss on validation text",
        alt=f"From {number(result.course[0]['loss'])} to {number(result.course[-1]['loss'])}.",
        drawing=plot(traces, {"height": 320, "xaxis": {"title": "step"},
                              "yaxis": {"title": "nats per token"}}),
        table=table,
        note="The weights of the step with the lowest loss are handed over.",
    )  # fmt: skip


def _training(result: HealingResult) -> str:
    if not result.losses:
        return ""
    steps = list(range(1, len(result.losses) + 1))
    return figure(
        "training",
        "Loss in training",
        alt=f"From {number(result.losses[0])} to {number(result.losses[-1])}.",
        drawing=plot(
            [{"x": steps, "y": list(result.losses), "name": result.objective, "mode": "lines"}],
            {"height": 320, "xaxis": {"title": "step"}, "yaxis": {"title": "nats per token"}},
        ),
        table=Table(("step", "loss"), list(zip(steps, result.losses, strict=True))),
    )
