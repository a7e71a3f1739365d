"""Compensation: perplexity with and without it, and a row per cut."""

from __future__ import annotations

from collections.abc import Sequence

from evop_deap.base.formatting import counted, listed, number
from evop_deap.reporting.named_units import label_of
from evop_deap.reporting.page_parts import Table, paragraph
from evop_deap.runs.storage.loaded_run import Run
from evop_deap.runs.storage.result import SearchResult

_NOTHING = "-"


def compensation_table(runs: Sequence[Run]) -> str:
    """Return, for each run that compensated, its figures and the changed layers, as HTML."""
    done = [(label_of(runs, place), run.result) for place, run in enumerate(runs)]
    told = [(name, result) for name, result in done if result and result.compensation]
    return "".join(_of_run(name if len(runs) > 1 else "", result) for name, result in told)


def _of_run(name: str, result: SearchResult) -> str:
    about = result.compensation
    assert about is not None
    of = f" of {name}" if name else ""
    if not about["taken"]:
        return paragraph(f"The model{of} is not compensated: {about['reason']}.")
    rows = [
        (
            listed(cut["dropped"]),
            cut["form"] or _NOTHING,
            listed(cut["layers"]) if cut["layers"] else _NOTHING,
            cut["distance"][0],
            cut["distance"][1],
            cut["reason"] or _NOTHING,
        )
        for cut in about["cuts"]
    ]
    texts = (("calibration", result.calibration), ("held-out", result.heldout))
    losses: list[tuple[str | float | None, ...]] = [
        (text, *(losses.perplexity[kind] for kind in ("dense", "pruned", "compensated")))
        for text, losses in texts
    ]
    columns = ("without", "form", "changed", "distance before", "after", "why")
    figures = Table(("text", "dense", "pruned", "compensated"), losses)
    said = (
        f"Weights{of} solved anew on {counted(about['windows'], 'window')} of "
        f"{about['window']} tokens, for the work of {number(about['cost'])} forward passes of the "
        "dense model."
    )
    return (
        paragraph(said)
        + figures.html(f"Perplexity, compensated{of}")
        + Table(columns, rows).html(f"What was changed before each cut{of}")
    )
