"""What a search found, as plain data: the content of `result.json`."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class TextLoss:
    """How the dense and the pruned model do on one set of windows.

    Attributes:
        loss: mean nats per predicted token, under "dense" and "pruned".
        tokens: predicted tokens.
        windows: windows they stand in.
        window: tokens of a window.
        fingerprint: of the windows' token ids.
    """

    loss: Mapping[str, float]
    tokens: int
    windows: int
    window: int
    fingerprint: str

    @property
    def perplexity(self) -> dict[str, float]:
        """The exponential of the loss; infinite where that is too large for a float."""
        return {name: _exp(loss) for name, loss in self.loss.items()}


@dataclass(frozen=True)
class Fitness:
    """What the search minimised, on the windows searched on.

    Attributes:
        name: "ce", cross-entropy, or "kl", divergence from the dense model.
        dense: nats per predicted token of the dense model.
        pruned: likewise, of the pattern found.
    """

    name: str
    dense: float
    pruned: float


@dataclass(frozen=True)
class SearchResult:
    """The pattern that a search settled on and everything needed to judge it.

    Attributes:
        model: what the user called the model.
        method: how the pattern was found: "search", or the name of a heuristic.
        model_fingerprint: of its weights and configuration.
        corpus: the corpus calibrated on.
        kept: names of the units that stay.
        dropped: names of the units that go.
        merged: whether blocks that stay have taken up those that went; then the units dropped
            do not tell the whole model.
        units: all units in their order, each with its "name", "parameters" and "work", the
            multiply-adds that it spends on a token.
        n_blocks: blocks of the dense model.
        granularity: what a unit is: "block" or "half".
        sparsity: share of the units dropped.
        budget: what was to go: of each "kind" that the budget speaks of, the "limit" and what
            was "reached".
        fitness: what the search minimised.
        calibration: losses on the windows searched on.
        heldout: losses on windows of other documents.
        parameters: of the "dense" and the "pruned" model, tied ones counted once.
        evaluations: patterns judged by the search.
        cut_short: those of them that lost a race and were judged on a part of the windows.
        cache_hits: patterns whose loss was known already.
        cost: dense-forward equivalents over the calibration set, the dense baseline included.
        work: what the search executed: "block_tokens" (tokens times blocks run), "head_tokens"
            and "bytes_held" (the most that hidden states took up).
        finalists: the pattern found and those too near it to tell apart, the one named first:
            "dropped", "loss" as searched, "behind" the best and its standard "error" over
            windows, all in nats a token, and its loss in "float32" where it was judged in less.
        surrogate: what the search learned about the model, as `Explanation.as_dict` gives it;
            None without a surrogate.
        generations: after the first population; of a heuristic, requests after its first one.
        stopped: why the search ended.
        seed: of everything random.
        evaluator: class that judged the patterns.
        dtype: number format computed in.
        device: kind of device computed on.
        checkpoint: what was written: "layers", those of them of which one half works,
            "half_layers", "parameters", those of them that are "zeroed", and "bytes".
        export_difference: largest difference between the logits of the reloaded checkpoint
            and those of the model searched.
        versions: of the packages that matter.
        seconds: time spent, loading and exporting included.
    """

    model: str
    method: str
    model_fingerprint: str
    corpus: str
    kept: tuple[str, ...]
    dropped: tuple[str, ...]
    merged: bool
    units: tuple[Mapping[str, Any], ...]
    n_blocks: int
    granularity: str
    sparsity: float
    budget: tuple[Mapping[str, Any], ...]
    fitness: Fitness
    calibration: TextLoss
    heldout: TextLoss
    parameters: Mapping[str, int]
    evaluations: int
    cut_short: int
    cache_hits: int
    cost: float
    work: Mapping[str, int]
    finalists: tuple[Mapping[str, Any], ...]
    surrogate: Mapping[str, Any] | None
    generations: int
    stopped: str
    seed: int
    evaluator: str
    dtype: str
    device: str
    checkpoint: Mapping[str, int]
    export_difference: float
    versions: Mapping[str, str]
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values; a perplexity or loss that is not finite becomes None."""
        plain = dataclasses.asdict(self)
        plain["fitness"] = {
            name: _plain(value) for name, value in dataclasses.asdict(self.fitness).items()
        }
        for name, text in (("calibration", self.calibration), ("heldout", self.heldout)):
            plain[name]["loss"] = _finite(text.loss)
            plain[name]["perplexity"] = _finite(text.perplexity)
        return {name: list(v) if isinstance(v, tuple) else v for name, v in plain.items()}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> SearchResult:
        """The result of which `as_dict` gave these values.

        Raises:
            KeyError: one is missing.
        """
        values = {field.name: plain[field.name] for field in dataclasses.fields(cls)}
        values = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
        values["fitness"] = Fitness(**{n: _number(v) for n, v in plain["fitness"].items()})
        for name in ("calibration", "heldout"):
            text = {n: v for n, v in plain[name].items() if n != "perplexity"}
            text["loss"] = {n: _number(v) for n, v in text["loss"].items()}
            values[name] = TextLoss(**text)
        return cls(**values)

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from evop_deap.reporting.card import result_card

        return result_card(self)


def result_table(result: SearchResult) -> str:
    """The result for a terminal: the figures, what went and what it saves."""
    dense, pruned = result.parameters["dense"], result.parameters["pruned"]
    rows = [("perplexity", "dense", "pruned", "")]
    for name, text in (("calibration", result.calibration), ("held-out", result.heldout)):
        figures = text.perplexity
        of = f"{text.windows} x {text.window} tokens of {result.corpus}"
        rows.append((name, _figure(figures["dense"]), _figure(figures["pruned"]), of))
    saved = f"{(dense - pruned) / dense:.1%} fewer"
    rows.append(("parameters", _millions(dense), _millions(pruned), saved))
    units = "blocks" if result.granularity == "block" else "halves"
    without = f"without {', '.join(result.dropped)}"
    total = len(result.kept) + len(result.dropped)
    rows.append((units, str(total), str(len(result.kept)), without))
    if units == "halves":
        layers, single = result.checkpoint["layers"], result.checkpoint["half_layers"]
        rest = f"{single} of them of one half" if single else ""
        rows.append(("layers", str(result.n_blocks), str(layers), rest))
    lines = [f"{a:<12} {b:>10} {c:>10}   {d}".rstrip() for a, b, c, d in rows]
    lines.append("")
    short = f" ({result.cut_short} cut short)" if result.cut_short else ""
    lines.append(
        f"{result.evaluations} evaluations{short}, cost {result.cost:.1f} dense forward passes, "
        f"{result.seconds:.0f} s; stopped {result.stopped}"
    )
    return "\n".join(lines)


def _exp(loss: float) -> float:
    try:
        return math.exp(loss)
    except OverflowError:
        return math.inf


def _finite(values: Mapping[str, float]) -> dict[str, Any]:
    return {name: _plain(value) for name, value in values.items()}


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _number(value: Any) -> Any:
    """JSON has no infinity: it is written as null."""
    return math.inf if value is None else value


def _figure(value: float) -> str:
    return f"{value:.2f}" if value < 1e5 else f"{value:.2e}"


def _millions(count: int) -> str:
    return f"{count / 1e6:.1f} M" if count < 1e9 else f"{count / 1e9:.2f} B"
