"""The results of several budgets as plain data: the content of `curve.json`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evop_deap.base.formatting import counted, figure, millions, plural
from evop_deap.runs.storage.result import SearchResult


@dataclass(frozen=True)
class Curve:
    """The results of a run over several budgets, from the smallest to the largest.

    Attributes:
        results: the result of each budget, as in its `result.json`.
        sparsities: the requested share of dropped units of each budget.
        folders: name of each budget's folder, inside the run's folder.
        shared_cost: cost that every result includes and the run paid once: the dense model's
            loss, and the search of a front.
        shared_evaluations: likewise for evaluated patterns.
    """

    results: tuple[SearchResult, ...]
    sparsities: tuple[float, ...]
    folders: tuple[str, ...]
    shared_cost: float
    shared_evaluations: int = 0

    @property
    def evaluations(self) -> int:
        """Patterns evaluated at all budgets."""
        shared = (len(self.results) - 1) * self.shared_evaluations
        return sum(result.evaluations for result in self.results) - shared

    @property
    def cost(self) -> float:
        """Dense-forward equivalents of all budgets; shared cost counts once."""
        shared = (len(self.results) - 1) * self.shared_cost
        return sum(result.cost for result in self.results) - shared

    @property
    def seconds(self) -> float:
        """Time spent on all budgets."""
        return sum(result.seconds for result in self.results)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values: the dense model, one row for each budget, and totals."""
        first = self.results[0]
        return {
            "model": first.model,
            "method": first.method,
            "granularity": first.granularity,
            "fitness": first.fitness.name,
            "corpus": first.corpus,
            "seed": first.seed,
            "dtype": first.dtype,
            "dense": {"parameters": first.parameters["dense"], **_text(first.as_dict(), "dense")},
            "budgets": [
                {
                    "sparsity": sparsity,
                    "folder": folder,
                    "dropped": list(result.dropped),
                    "parameters": result.parameters["pruned"],
                    **_text(result.as_dict(), "pruned"),
                    "compensated": _text(result.as_dict(), "compensated")
                    if result.is_compensated
                    else None,
                    "evaluations": result.evaluations,
                    "cost": result.cost,
                    "seconds": result.seconds,
                }
                for sparsity, folder, result in zip(
                    self.sparsities, self.folders, self.results, strict=True
                )
            ],
            "total": {
                "evaluations": self.evaluations,
                "cost": self.cost,
                "seconds": self.seconds,
            },
        }


def curve_table(curve: Curve) -> str:
    """Return the curve as text: a line for the dense model, then one for each budget."""
    plain = curve.as_dict()
    first = curve.results[0]
    noun = plural(first.granularity)
    texts = [first.calibration, first.heldout]
    heads = [f"{text.windows} x {text.window}" for text in texts]
    more = any(result.is_compensated for result in curve.results)
    empty = [""] if more else []
    rows: list[tuple[str, ...]] = [
        ("", "", "", "calibration", "held-out", *empty, "", ""),
        ("sparsity", noun, "parameters", *heads, *(["compensated"] if more else []), "cost",
         "without"),
        ("dense", str(len(first.units)), *_figures(plain["dense"]), *empty, "", ""),
    ]  # fmt: skip
    for budget, result in zip(plain["budgets"], curve.results, strict=True):
        figures, cost = [*_figures(budget)], f"{budget['cost']:.1f}"
        if more:
            made = budget["compensated"]
            figures.append(figure(made["heldout"]["perplexity"]) if made else "-")
        without = ", ".join(result.dropped)
        rows.append((f"{budget['sparsity']:g}", str(len(result.kept)), *figures, cost, without))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    lines = [_line(row, widths) for row in rows]
    total = (
        f"{counted(curve.evaluations, 'evaluation')}, cost {curve.cost:.1f} dense forward passes, "
        f"{curve.seconds:.0f} s; perplexity on tokens of {first.corpus}"
    )
    return "\n".join([*lines, "", total])


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    *figures, last = row
    aligned = (f"{cell:>{width}}" for cell, width in zip(figures, widths, strict=True))
    return f"{'  '.join(aligned)}  {last}".rstrip()


def _text(result: Mapping[str, Any], which: str) -> dict[str, Any]:
    """Return loss and perplexity of the dense or the pruned model on both texts."""
    return {
        name: {figure: result[name][figure][which] for figure in ("loss", "perplexity")}
        for name in ("calibration", "heldout")
    }


def _figures(row: Mapping[str, Any]) -> tuple[str, ...]:
    size = millions(row["parameters"])
    return size, *(figure(row[name]["perplexity"]) for name in ("calibration", "heldout"))
