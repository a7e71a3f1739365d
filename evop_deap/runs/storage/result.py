"""The result of a search as plain data: the content of `result.json`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from evop_deap.base.formatting import figure, millions, number, plural
from evop_deap.base.numbers import finite_or_none, infinite_if_none
from evop_deap.runs.storage.pattern_card import pattern_card
from evop_deap.runs.storage.text_losses import Rival, TextLoss


@dataclass(frozen=True)
class Fitness:
    """The minimised fitness, on the calibration windows.

    Attributes:
        name: "ce", cross-entropy, or "kl", divergence from the dense model.
        dense: fitness of the dense model, in nats per predicted token.
        pruned: fitness of the pattern found, in nats per predicted token.
    """

    name: str
    dense: float
    pruned: float


@dataclass(frozen=True)
class Findings:
    """The pattern found by a run, and everything measured before the export.

    Attributes:
        model: name of the model, as the user gave it.
        method: how the pattern was found: "search", or the name of a heuristic.
        model_fingerprint: hash of the weights and the configuration.
        corpus: name of the calibration corpus.
        kept: names of the kept units.
        dropped: names of the dropped units.
        merged: whether dropped blocks were merged into kept ones; the pattern then does not
            describe the whole model.
        units: all units in their order, each with its "name", "parameters" and "work", its
            multiply-adds for a token.
        n_blocks: blocks of the dense model.
        granularity: kind of the units: "block" or "half".
        sparsity: share of the units dropped.
        budget: for each "kind" of limit in the budget, the "limit" and the value "reached".
        fitness: the minimised fitness.
        calibration: losses on the calibration windows.
        heldout: losses on held-out windows.
        runner_up: the second best pattern; None where no other was evaluated.
        heuristics: seed patterns that heuristics picked, the best on the calibration windows
            first; empty without such seeds.
        parameters: parameters of the "dense" and the "pruned" model, tied ones counted once.
        evaluations: patterns evaluated by the search.
        cut_short: patterns among them that a race eliminated on a part of the windows.
        cache_hits: patterns with a cached loss.
        cost: dense-forward equivalents over the calibration set of everything that decides the
            pattern. It includes the dense baseline and validation, but neither compensation,
            which has its own cost, nor measurements for the report, such as held-out losses. It
            is what the search would have cost alone: losses that other searches have paid for
            are charged too.
        executed: dense-forward equivalents of them that were executed.
        work: executed work: "block_tokens" (tokens times blocks run), "head_tokens" and
            "bytes_held" (peak size of kept hidden states).
        finalists: the pattern found, then its near-equals. Each has the units "dropped", the
            "loss" in the search, the difference "behind" the best and its standard "error" over
            windows, in nats a token, the loss in "float32" if the search used a smaller dtype,
            and the loss on "validation" windows if they were needed.
        validation: how the pattern was chosen: the number of "contenders" within one standard
            error of the best (1: nothing to decide), the number of validation "windows" (0: the
            corpus has no document left, and calibration windows decide alone) of "window"
            tokens, their "fingerprint", and the "cost", with evaluations in float32.
        compensation: outcome of compensation, from `compensated`; None where it was off.
        surrogate: effects of the units that the surrogate has learned, from
            `Explanation.as_dict`; None without a surrogate.
        generations: generations after the first; for a heuristic, requests after the first.
        stopped: why the search ended.
        seed: seed of all randomness.
        evaluator: class name of the evaluator.
        dtype: dtype of the model.
        device: type of the device, such as "cuda".
        versions: versions of the relevant packages.
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
    runner_up: Rival | None
    heuristics: tuple[Rival, ...]
    parameters: Mapping[str, int]
    evaluations: int
    cut_short: int
    cache_hits: int
    cost: float
    executed: float
    work: Mapping[str, int]
    finalists: tuple[Mapping[str, Any], ...]
    validation: Mapping[str, Any]
    compensation: Mapping[str, Any] | None
    surrogate: Mapping[str, Any] | None
    generations: int
    stopped: str
    seed: int
    evaluator: str
    dtype: str
    device: str
    versions: Mapping[str, str]

    @property
    def is_compensated(self) -> bool:
        """Whether weights of the model handed over were solved anew."""
        return self.compensation is not None and bool(self.compensation["taken"])


@dataclass(frozen=True)
class SearchResult(Findings):
    """The result of a run: its findings and the checkpoint.

    Attributes:
        checkpoint: sizes of the checkpoint: "layers", "half_layers" (layers with a single active
            half), "parameters", "zeroed" (stored parameters without effect) and "bytes"; None if
            neither the pattern nor a near-equal can be exported.
        export_difference: largest difference between the logits of the reloaded checkpoint
            and those of the model in memory; None without a checkpoint.
        refused: patterns that cannot be exported, with the units "dropped" and the "reason", in
            the order in which they were tried.
        seconds: time spent, with loading and exporting.
    """

    checkpoint: Mapping[str, int] | None
    export_difference: float | None
    refused: tuple[Mapping[str, Any], ...]
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values; a perplexity or loss that is not finite becomes None."""
        plain = dataclasses.asdict(self)
        plain["fitness"] = {name: finite_or_none(value) for name, value in plain["fitness"].items()}
        plain["calibration"] = self.calibration.as_dict()
        plain["heldout"] = self.heldout.as_dict()
        plain["runner_up"] = self.runner_up and self.runner_up.as_dict()
        plain["heuristics"] = [rival.as_dict() for rival in self.heuristics]
        return {name: list(v) if isinstance(v, tuple) else v for name, v in plain.items()}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> SearchResult:
        """Return the result that `as_dict` made these values from.

        Raises:
            KeyError: a value is missing.
        """
        # Earlier versions did not write these.
        lacking = {"compensation": None, "executed": plain.get("cost"), "refused": ()}
        plain = {**lacking, **plain}
        values = {field.name: plain[field.name] for field in dataclasses.fields(cls)}
        values = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
        values["fitness"] = Fitness(**{n: infinite_if_none(v) for n, v in plain["fitness"].items()})
        values["calibration"] = TextLoss.from_dict(plain["calibration"])
        values["heldout"] = TextLoss.from_dict(plain["heldout"])
        second = plain["runner_up"]
        values["runner_up"] = None if second is None else Rival.from_dict(second)
        values["heuristics"] = tuple(map(Rival.from_dict, plain["heuristics"]))
        return cls(**values)

    def _repr_html_(self) -> str:
        """HTML for notebooks."""
        rule = self.heuristics[0] if self.heuristics else None
        made = ["compensated"] if self.is_compensated else []
        table = [["", "dense", *([rule.name] if rule else []), "pruned", *made]]
        for name, text, other in (
            ("calibration perplexity", self.calibration, rule and rule.calibration),
            ("held-out perplexity", self.heldout, rule and rule.heldout),
        ):
            figures = {kind: number(value) for kind, value in text.perplexity.items()}
            ruled = [number(other.perplexity)] if other else []
            table.append(
                [
                    name,
                    figures["dense"],
                    *ruled,
                    figures["pruned"],
                    *(figures[kind] for kind in made),
                ]
            )
        dense, pruned = (millions(self.parameters[kind]) for kind in ("dense", "pruned"))
        table.append(
            ["parameters", dense, *([""] if rule else []), pruned, *(pruned for _ in made)]
        )
        spent = (
            f"{self.evaluations} patterns evaluated, cost {number(self.cost)} dense forward "
            f"passes, stopped {self.stopped}"
        )
        units = [unit["name"] for unit in self.units]
        notes = [spent, *standing(self), *recovery(self)]
        return pattern_card(self.model, units, self.dropped, table, notes)


def result_table(result: SearchResult) -> str:
    """Return the result as text: perplexities, sizes, dropped units and cost."""
    dense, pruned = result.parameters["dense"], result.parameters["pruned"]
    rule = result.heuristics[0] if result.heuristics else None
    made = result.is_compensated
    head = ("perplexity", "dense", "heuristic" if rule else "", "pruned")
    rows = [(*head, "compensated" if made else "", "")]
    for name, text, other in (
        ("calibration", result.calibration, rule and rule.calibration),
        ("held-out", result.heldout, rule and rule.heldout),
    ):
        figures = {kind: figure(value) for kind, value in text.perplexity.items()}
        ruled = figure(other.perplexity) if other else ""
        of = f"{text.windows} x {text.window} tokens of {result.corpus}"
        rows.append(
            (name, figures["dense"], ruled, figures["pruned"], figures.get("compensated", ""), of)
        )
    saved = f"{(dense - pruned) / dense:.1%} fewer"
    rows.append(("parameters", millions(dense), "", millions(pruned), "", saved))
    units = plural(result.granularity)
    without = f"without {', '.join(result.dropped)}"
    total = len(result.kept) + len(result.dropped)
    rows.append((units, str(total), "", str(len(result.kept)), "", without))
    if result.granularity == "half" and result.checkpoint is not None:
        layers, single = result.checkpoint["layers"], result.checkpoint["half_layers"]
        rest = f"{single} of them of one half" if single else ""
        rows.append(("layers", str(result.n_blocks), "", str(layers), "", rest))
    width, wide = 11 if rule else 0, 12 if made else 0
    lines = [
        f"{a:<12} {b:>10}{c:>{width}} {d:>10}{e:>{wide}}   {f}".rstrip()
        for a, b, c, d, e, f in rows
    ]
    short = f" ({result.cut_short} cut short)" if result.cut_short else ""
    spent = (
        f"{result.evaluations} evaluations{short}, cost {result.cost:.1f} dense forward passes"
        f"{spared(result)}, {result.seconds:.0f} s; stopped {result.stopped}"
    )
    return "\n".join([*lines, "", *standing(result), *recovery(result), spent])


def spared(result: Findings) -> str:
    """Return how much of the cost was executed, if earlier searches had paid for a part of it."""
    known = result.executed < result.cost - 0.05
    return f" ({result.executed:.1f} executed, the rest known)" if known else ""


def standing(result: Findings) -> list[str]:
    """Return how the pattern found compares with the best heuristic's and the runner-up."""
    said = []
    rule, second = next(iter(result.heuristics), None), result.runner_up
    if rule is not None and rule.dropped == result.dropped:
        said.append(f"the pick of {rule.name}; the search found nothing better")
    elif rule is not None:
        too = ", the runner-up" if second is not None and second.dropped == rule.dropped else ""
        said.append(f"{rule.heldout.said} {rule.name}{too}, on held-out text")
    if second is not None and (rule is None or second.dropped != rule.dropped):
        without = f"without {', '.join(second.dropped)}"
        said.append(f"{second.heldout.said} {second.name} ({without}), on held-out text")
    return [*said, *naming(result)]


def naming(result: Findings) -> list[str]:
    """Return the data that decided between near-equals; nothing without near-equals."""
    contenders, windows = result.validation["contenders"], result.validation["windows"]
    if contenders < 2:
        return []
    by = f"{windows} x {result.validation['window']} tokens of validation text and calibration text"
    alone = "calibration text alone, because no text was left for validation"
    return [f"named among {contenders} near-equals by {by if windows else alone}"]


def recovery(result: Findings) -> list[str]:
    """Return a line on the outcome of compensation; [] where it was off."""
    about = result.compensation
    if about is None:
        return []
    if not about["taken"]:
        return [f"not compensated: {about['reason']}"]
    loss = result.heldout.loss
    excess, gained = loss["pruned"] - loss["dense"], loss["pruned"] - loss["compensated"]
    share = f", {gained / excess:.0%} of the excess" if excess > gained > 0 else ""
    layers = len({layer for cut in about["cuts"] for layer in cut["layers"]})
    return [
        f"compensated in {layers} layer{'s' * (layers != 1)} at a cost of {about['cost']:.1f}: "
        f"{gained:.3f} nats a held-out token lower{share}"
    ]
