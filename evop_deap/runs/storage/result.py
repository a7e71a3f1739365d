"""What a search found, as plain data: the content of `result.json`."""

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
class Findings:
    """The pattern that a run settled on and everything measured of it in memory.

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
        runner_up: the second best pattern beside the one found; None where no other was judged.
        heuristics: what rules picked for the search to begin with, beside the one found, the best
            on the calibration windows first; nothing where it began without them.
        parameters: of the "dense" and the "pruned" model, tied ones counted once.
        evaluations: patterns judged by the search.
        cut_short: those of them that lost a race and were judged on a part of the windows.
        cache_hits: patterns whose loss was known already.
        cost: dense-forward equivalents over the calibration set, of everything that decides the
            pattern: the dense baseline and the last look included, what is measured for the
            report alone, held-out losses among it, not.
        work: what the search executed: "block_tokens" (tokens times blocks run), "head_tokens"
            and "bytes_held" (the most that hidden states took up).
        finalists: the pattern found and those too near it to tell apart, the one named first:
            "dropped", "loss" as searched, "behind" the best as searched and its standard "error"
            over windows, all in nats a token, its loss in "float32" where it was judged in less,
            and on "validation" windows where these had to decide.
        validation: how it was named: of so many "contenders" within one standard error of the
            best (1: nothing to decide) by calibration windows and so many "windows" of "window"
            tokens together (0: the corpus has no document to spare, and calibration windows
            decided alone), of this "fingerprint", at this "cost", re-judging in float32 included.
        surrogate: what the search learned about the model, as `Explanation.as_dict` gives it;
            None without a surrogate.
        generations: after the first population; of a heuristic, requests after its first one.
        stopped: why the search ended.
        seed: of everything random.
        evaluator: class that judged the patterns.
        dtype: number format computed in.
        device: kind of device computed on.
        versions: of the packages that matter.
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
    work: Mapping[str, int]
    finalists: tuple[Mapping[str, Any], ...]
    validation: Mapping[str, Any]
    surrogate: Mapping[str, Any] | None
    generations: int
    stopped: str
    seed: int
    evaluator: str
    dtype: str
    device: str
    versions: Mapping[str, str]


@dataclass(frozen=True)
class SearchResult(Findings):
    """What a run came to: its findings, and the checkpoint that was written.

    Attributes:
        checkpoint: what was written: "layers", those of them of which one half works,
            "half_layers", "parameters", those of them that are "zeroed", and "bytes".
        export_difference: largest difference between the logits of the reloaded checkpoint
            and those of the model in memory.
        seconds: time spent, loading and exporting included.
    """

    checkpoint: Mapping[str, int]
    export_difference: float
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
        """The result of which `as_dict` gave these values.

        Raises:
            KeyError: one is missing.
        """
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
        """What a notebook shows."""
        rule = self.heuristics[0] if self.heuristics else None
        table = [["", "dense", *([rule.name] if rule else []), "pruned"]]
        for name, text, other in (
            ("calibration perplexity", self.calibration, rule and rule.calibration),
            ("held-out perplexity", self.heldout, rule and rule.heldout),
        ):
            figures = {kind: number(value) for kind, value in text.perplexity.items()}
            ruled = [number(other.perplexity)] if other else []
            table.append([name, figures["dense"], *ruled, figures["pruned"]])
        dense, pruned = (millions(self.parameters[kind]) for kind in ("dense", "pruned"))
        table.append(["parameters", dense, *([""] if rule else []), pruned])
        spent = (
            f"{self.evaluations} patterns judged, cost {number(self.cost)} dense forward passes, "
            f"stopped {self.stopped}"
        )
        units = [unit["name"] for unit in self.units]
        return pattern_card(self.model, units, self.dropped, table, [spent, *standing(self)])


def result_table(result: SearchResult) -> str:
    """The result for a terminal: the figures, what went and what it saves."""
    dense, pruned = result.parameters["dense"], result.parameters["pruned"]
    rule = result.heuristics[0] if result.heuristics else None
    rows = [("perplexity", "dense", "heuristic" if rule else "", "pruned", "")]
    for name, text, other in (
        ("calibration", result.calibration, rule and rule.calibration),
        ("held-out", result.heldout, rule and rule.heldout),
    ):
        figures = {kind: figure(value) for kind, value in text.perplexity.items()}
        ruled = figure(other.perplexity) if other else ""
        of = f"{text.windows} x {text.window} tokens of {result.corpus}"
        rows.append((name, figures["dense"], ruled, figures["pruned"], of))
    saved = f"{(dense - pruned) / dense:.1%} fewer"
    rows.append(("parameters", millions(dense), "", millions(pruned), saved))
    units = plural(result.granularity)
    without = f"without {', '.join(result.dropped)}"
    total = len(result.kept) + len(result.dropped)
    rows.append((units, str(total), "", str(len(result.kept)), without))
    if result.granularity == "half":
        layers, single = result.checkpoint["layers"], result.checkpoint["half_layers"]
        rest = f"{single} of them of one half" if single else ""
        rows.append(("layers", str(result.n_blocks), "", str(layers), rest))
    width = 11 if rule else 0
    lines = [f"{a:<12} {b:>10}{c:>{width}} {d:>10}   {e}".rstrip() for a, b, c, d, e in rows]
    short = f" ({result.cut_short} cut short)" if result.cut_short else ""
    spent = (
        f"{result.evaluations} evaluations{short}, cost {result.cost:.1f} dense forward passes, "
        f"{result.seconds:.0f} s; stopped {result.stopped}"
    )
    return "\n".join([*lines, "", *standing(result), spent])


def standing(result: Findings) -> list[str]:
    """How the pattern found stands to the best heuristic's and the runner-up; what named it."""
    said = []
    rule, second = next(iter(result.heuristics), None), result.runner_up
    if rule is not None and rule.dropped == result.dropped:
        said.append(f"what {rule.name} picks; the search found nothing better")
    elif rule is not None:
        too = ", the runner-up" if second is not None and second.dropped == rule.dropped else ""
        said.append(f"{rule.heldout.said} {rule.name}{too}, on held-out text")
    if second is not None and (rule is None or second.dropped != rule.dropped):
        without = f"without {', '.join(second.dropped)}"
        said.append(f"{second.heldout.said} {second.name} ({without}), on held-out text")
    return [*said, *naming(result)]


def naming(result: Findings) -> list[str]:
    """What decided between the pattern found and its near-equals, where there were any."""
    contenders, windows = result.validation["contenders"], result.validation["windows"]
    if contenders < 2:
        return []
    by = f"{windows} x {result.validation['window']} tokens of validation text and calibration text"
    alone = "calibration text alone, for there was no text to spare for validation"
    return [f"named among {contenders} near-equals by {by if windows else alone}"]
