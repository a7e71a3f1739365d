"""The result of a search as plain data: the content of `result.json`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from evop_deap.base.errors import InputError
from evop_deap.base.formatting import counted, figure, millions, number, plural
from evop_deap.base.numbers import finite_or_none
from evop_deap.base.typed import typed
from evop_deap.base.user_text import shown
from evop_deap.fitness.fitnesses import read_fitness
from evop_deap.runs.storage.file_shapes import (
    CheckpointSizes,
    Refusals,
)
from evop_deap.runs.storage.findings import Findings
from evop_deap.runs.storage.pattern_card import pattern_card
from evop_deap.runs.storage.text_losses import Rival
from evop_deap.space.unit_names import block_of, is_unit_name


@dataclass(frozen=True)
class SearchResult(Findings):
    """The result of a run: its findings and the checkpoint.

    Attributes:
        checkpoint: sizes of the checkpoint: "layers", "half_layers" (layers with a single active
            half), "parameters", "zeroed" (stored parameters without effect) and "bytes"; None if
            neither the pattern nor another close pattern can be exported.
        export_difference: largest difference between the logits of the reloaded checkpoint
            and those of the model in memory; None without a checkpoint.
        refused: patterns that cannot be exported, with the units "dropped" and the "reason", in
            the order in which they were tried.
        seconds: time spent, with loading and exporting.
    """

    checkpoint: CheckpointSizes | None
    export_difference: float | None
    refused: Refusals
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values; a perplexity or loss that is not finite becomes None."""
        plain = dataclasses.asdict(self)
        for name in ("dense", "pruned"):
            plain["fitness"][name] = finite_or_none(plain["fitness"][name])
        plain["calibration"] = self.calibration.as_dict()
        plain["heldout"] = self.heldout.as_dict()
        plain["runner_up"] = self.runner_up and self.runner_up.as_dict()
        plain["heuristics"] = [rival.as_dict() for rival in self.heuristics]
        return {name: list(v) if isinstance(v, tuple) else v for name, v in plain.items()}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> SearchResult:
        """Return the result that `as_dict` made these values from.

        Raises:
            InputError: a value is missing or of another type, or units are named that the model
                does not have; the message names the path of the value.
        """
        if isinstance(plain, Mapping):
            # Earlier versions did not write these.
            lacking = {"compensation": None, "executed": plain.get("cost"), "refused": ()}
            plain = {"answers": None, **lacking, **plain}
        result = typed(cls, plain)
        _check_units(result)
        _check_losses(result)
        return result

    def _repr_html_(self) -> str:
        """HTML for notebooks."""
        rule = self.beside
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
            f"{counted(self.evaluations, 'pattern')} evaluated, cost {number(self.cost)} dense "
            f"forward passes, stopped {self.stopped}"
        )
        units = [unit["name"] for unit in self.units]
        notes = [spent, *standing(self), *recovery(self)]
        return pattern_card(self.model, units, self.dropped, table, notes)


def _check_units(result: SearchResult) -> None:
    """Refuse names of units that are not those of the model."""
    units = [unit["name"] for unit in result.units]
    if not all(map(is_unit_name, units)) or len(set(units)) < len(units):
        raise InputError(f"units: expected different names of units, found {shown(units)}")
    if len({block_of(name) for name in units}) != result.n_blocks:
        raise InputError(f"n_blocks: expected that of the units, found {result.n_blocks}")
    if sorted((*result.kept, *result.dropped)) != sorted(units) or not result.dropped:
        raise InputError("dropped: expected the units that are not in kept")
    learned = result.surrogate["units"] if result.surrogate else []
    cuts = result.compensation["cuts"] if result.compensation else []
    named = {
        "finalists": [name for one in result.finalists for name in one["dropped"]],
        "runner_up": result.runner_up.dropped if result.runner_up else (),
        "heuristics": [name for one in result.heuristics for name in one.dropped],
        "refused": [name for one in result.refused for name in one["dropped"]],
        "compensation.cuts": [name for cut in cuts for name in cut["dropped"]],
        "surrogate.units": [name for effect in learned for name in effect["units"]],
    }
    for place, names in named.items():
        if others := set(names) - set(units):
            raise InputError(f"{place}: expected names of units, found {shown(min(others))}")


def _check_losses(result: SearchResult) -> None:
    """Refuse a compensated model without its losses, and losses without such a model."""
    for place, text in (("calibration", result.calibration), ("heldout", result.heldout)):
        if ("compensated" in text.loss) != result.is_compensated:
            one = "one" if result.is_compensated else "none"
            raise InputError(f"{place}.loss: expected {one} of a compensated model")


def result_table(result: SearchResult) -> str:
    """Return the result as text: perplexities, sizes, dropped units and cost."""
    dense, pruned = result.parameters["dense"], result.parameters["pruned"]
    rule = result.beside
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
    rows += _answer_rows(result)
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
        f"{counted(result.evaluations, 'evaluation')}{short}, cost {result.cost:.1f} dense "
        f"forward passes{spared(result)}, {result.seconds:.0f} s; stopped {result.stopped}"
    )
    return "\n".join([*lines, "", *standing(result), *recovery(result), spent])


def _answer_rows(result: SearchResult) -> list[tuple[str, str, str, str, str, str]]:
    """Return the row on held-out questions; none without questions."""
    about = result.answers
    if about is None:
        return []
    shares = {kind: f"{share:.1%}" for kind, share in about["accuracy"].items()}
    of = f"{about['heldout']} held-out questions answered right"
    made = shares.get("compensated", "")
    return [("answers", shares["dense"], "", shares["pruned"], made, of)]


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
        said.append(f"{rule.heldout.said} {rule.name}{too}, {_compared_on(rule)}")
    if second is not None and (rule is None or second.dropped != rule.dropped):
        without = f"without {', '.join(second.dropped)}"
        said.append(f"{second.heldout.said} {second.name} ({without}), {_compared_on(second)}")
    return [*said, *naming(result)]


def _compared_on(other: Rival) -> str:
    return "on held-out text, both compensated" if other.compensated else "on held-out text"


def naming(result: Findings) -> list[str]:
    """Return the data that decided between near-equals; nothing without near-equals."""
    contenders, windows = result.validation["contenders"], result.validation["windows"]
    if contenders < 2:
        return []
    by = f"{windows} x {result.validation['window']} tokens of validation text and calibration text"
    if result.answers is not None:
        by = f"{windows} validation questions and the {result.answers['searched']} searched on"
        if read_fitness(result.fitness.name).is_sum:
            by = "text and questions for validation, and those searched on"
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
