"""How much of a held-out loss is luck: means, spreads and leads of the search, in nats a token."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.board.making.cells import DENSE
from benchmarks.board.making.run_files import Run, check_one_budget, check_protocol, comparable
from benchmarks.board.tables.ratios import mean_loss
from benchmarks.common.estimated import Estimated
from benchmarks.common.record import markdown_table
from evop_deap.base.errors import InputError
from evop_deap.base.formatting import plural
from evop_deap.heuristics.registry import METHODS
from evop_deap.settings.heuristic_names import SEARCH

_FEWEST = 3  # draws that tell something about their spread
_EQUAL = 0.001  # nats; rounding in bfloat16 makes as much of a difference

Losses = Mapping[str, Mapping[int, Mapping[int, Sequence[float]]]]
"""Method -> tokens -> draw -> held-out loss of each seed."""


@dataclass(frozen=True)
class Lead:
    """The lead of the search over the best rule that looks once, at one size of the text.

    Attributes:
        rule: the rule with the lowest mean loss at this size, chosen with hindsight.
        gain: loss of the rule less that of the search, paired by draw.
        spread: standard deviation over draws, of the search or of the rule, whichever is larger.
        better: number of draws in which the search has the lower loss, by more than rounding.
        draws: number of draws.
    """

    rule: str
    gain: Estimated
    spread: float
    better: int
    draws: int

    @property
    def beyond_luck(self) -> bool:
        """Whether the search is better by more than the spread over draws, for certain.

        Draws that all end alike do not tell how far others would spread.
        """
        low, _ = self.gain.interval()
        return self.spread > _EQUAL and low > 0 and self.gain.value > self.spread


def luck_tables(runs: Sequence[Run]) -> str:
    """Return all tables of the runs, in Markdown.

    Raises:
        InputError: there are no runs, or they differ in more than their calibration text.
    """
    pruned = [run for run in runs if run["cell"]["method"] != DENSE]
    if not pruned:
        raise InputError("`output` holds no finished cell")
    check_one_budget(pruned)
    alike = [comparable(run, (), ("corpus", "window")) for run in runs]
    check_protocol(alike, alike[0]["protocol"])
    losses = losses_of(pruned)
    sizes = sorted({size for found in losses.values() for size in found})
    names = [SEARCH, *sorted(losses.keys() - {SEARCH}, key=lambda name: _mean(losses, name))]
    names = [name for name in names if name in losses]
    parts = [
        _setting(pruned),
        "Mean held-out loss in nats a token, with an interval of 95 % over draws:",
        _table(names, sizes, lambda name, size: _loss(losses[name].get(size, {}))),
        "Standard deviation of it over draws / over seeds within a draw, in thousandths of a nat:",
        _table(names, sizes, lambda name, size: _spreads(losses[name].get(size, {}))),
    ]
    if SEARCH in losses and len(names) > 1:
        parts += [
            "Loss of each method less that of the search, paired by draw, in thousandths of a nat:",
            _table(names[1:], sizes, lambda name, size: _behind(losses, name, size)),
        ]
    parts += [
        "Cost in dense forward passes over the calibration text, mean over draws and seeds:",
        _table(names, sizes, lambda name, size: _cost(pruned, name, size)),
    ]
    if leads := leads_of(runs):
        parts += [_lead_table(leads), answer(leads)]
    return "\n\n".join(parts)


def losses_of(runs: Sequence[Run]) -> Losses:
    """Return the held-out loss of every run."""
    found: dict[str, dict[int, dict[int, list[float]]]] = {}
    for run in runs:
        text = run["protocol"]["calibration"]
        of_size = found.setdefault(run["cell"]["method"], {}).setdefault(text["tokens"], {})
        of_size.setdefault(text["seed"], []).append(mean_loss([run]))
    return found


def leads_of(runs: Sequence[Run]) -> dict[int, Lead]:
    """Return the lead of the search at every size that has it in enough draws."""
    losses = losses_of([run for run in runs if run["cell"]["method"] != DENSE])
    sizes = sorted({size for found in losses.values() for size in found})
    return {size: found for size in sizes if (found := lead(losses, size))}


def lead(losses: Losses, size: int) -> Lead | None:
    """Return the lead of the search over the best one-shot rule; None with less than 3 draws."""
    rules = {
        name: pairs
        for name in losses
        if is_one_shot(name) and len(pairs := _pairs(losses, name, size)) >= _FEWEST
    }
    if not rules:
        return None
    best = min(rules, key=lambda name: statistics.fmean(rule for rule, _ in rules[name]))
    of_rule, of_search = zip(*rules[best], strict=True)
    behind = [rule - searched for rule, searched in rules[best]]
    return Lead(
        rule=best,
        gain=Estimated.of(behind),
        spread=max(statistics.stdev(of_rule), statistics.stdev(of_search)),
        better=sum(one > _EQUAL for one in behind),
        draws=len(behind),
    )


def answer(leads: Mapping[int, Lead]) -> str:
    """Return a sentence on the sizes at which the search leads by more than luck."""
    if not leads:
        return f"No {_FEWEST} draws have both the search and a one-shot rule."
    sizes = sorted(leads)
    ahead = [size for size in sizes if leads[size].beyond_luck]
    enough = [s for s in ahead if all(more in ahead for more in sizes if more >= s)]
    if ahead and not enough:
        return (
            f"At {', '.join(f'{size:,}' for size in ahead)} tokens the search beats the best "
            "one-shot rule by more than the spread over draws; there is no size from which on it "
            "always does."
        )
    if not ahead:
        return (
            f"Up to {sizes[-1]:,} tokens, these draws do not show that the search beats the best "
            "one-shot rule by more than the spread over draws."
        )
    first = leads[enough[0]]
    return (
        f"**From {enough[0]:,} tokens on** the search beats the best one-shot rule by more than "
        f"the spread over draws: there by {_thousandths(first.gain)} thousandths of a nat, with a "
        f"spread of {1000 * first.spread:.0f}."
    )


def is_one_shot(name: str) -> bool:
    """Return whether a method looks at the dense model once and picks."""
    return name in METHODS and METHODS[name].cheap


def _setting(runs: Sequence[Run]) -> str:
    protocol, found = runs[0]["protocol"], runs[0]["found"]
    cell = runs[0]["cell"]
    draws = len({run["protocol"]["calibration"]["seed"] for run in runs})
    compensated = protocol.get("compensate")
    return (
        f"{protocol['model']} ({protocol['dtype']}) without {len(found['dropped'])} of "
        f"{found['units']} {plural(cell['granularity'])}, {draws} draws of "
        f"{protocol['calibration']['corpus']} in windows of {protocol['calibration']['window']}"
        + (f", all compensated ({compensated['form']})" if compensated else "")
        + ". The exam is the same for all cells, and no draw has its documents."
    )


def _table(names: Sequence[str], sizes: Sequence[int], shown: Callable[[str, int], str]) -> str:
    return markdown_table(
        ["tokens", *(f"{size:,}" for size in sizes)],
        [
            [f"**{name}**" if name == SEARCH else name, *(shown(name, size) for size in sizes)]
            for name in names
        ],
    )


def _loss(draws: Mapping[int, Sequence[float]]) -> str:
    if not draws:
        return "-"
    mean = Estimated.of([statistics.fmean(seeds) for seeds in draws.values()])
    return f"{mean.value:.3f}" + (_interval(mean, 1, ".3f") if len(draws) > 1 else "")


def _spreads(draws: Mapping[int, Sequence[float]]) -> str:
    if not draws:
        return "-"
    means = [statistics.fmean(seeds) for seeds in draws.values()]
    within = [statistics.variance(seeds) for seeds in draws.values() if len(seeds) > 1]
    over_draws = f"{1000 * statistics.stdev(means):.0f}" if len(means) > 1 else "-"
    over_seeds = f"{1000 * statistics.fmean(within) ** 0.5:.0f}" if within else "-"
    return f"{over_draws} / {over_seeds}"


def _cost(runs: Sequence[Run], name: str, size: int) -> str:
    costs = [
        run["found"]["cost"]
        for run in runs
        if run["cell"]["method"] == name and run["protocol"]["calibration"]["tokens"] == size
    ]
    return f"{statistics.fmean(costs):.1f}" if costs else "-"


def _behind(losses: Losses, name: str, size: int) -> str:
    pairs = _pairs(losses, name, size)
    if not pairs:
        return "-"
    behind = Estimated.of([other - searched for other, searched in pairs])
    return f"{1000 * behind.value:+.0f}" if len(pairs) < 2 else _thousandths(behind)


def _pairs(losses: Losses, name: str, size: int) -> list[tuple[float, float]]:
    """The losses of a method and of the search in every draw that has both."""
    theirs, ours = losses[name].get(size, {}), losses.get(SEARCH, {}).get(size, {})
    return [
        (statistics.fmean(theirs[draw]), statistics.fmean(ours[draw]))
        for draw in sorted(theirs.keys() & ours.keys())
    ]


def _lead_table(leads: Mapping[int, Lead]) -> str:
    header = [
        "tokens",
        "best one-shot rule",
        "rule - search",
        "spread over draws",
        "search ahead",
    ]
    return markdown_table(
        header,
        [
            [
                f"{size:,}",
                one.rule,
                _thousandths(one.gain),
                f"{1000 * one.spread:.0f}",
                f"in {one.better} of {one.draws} draws",
            ]
            for size, one in sorted(leads.items())
        ],
    )


def _thousandths(found: Estimated) -> str:
    return f"{1000 * found.value:+.0f}" + _interval(found, 1000, "+.0f")


def _interval(found: Estimated, scale: float, form: str) -> str:
    """The interval in brackets, which draws that are all equal do not have."""
    low, high = (format(scale * end, form) for end in found.interval())
    return f" ({low} to {high})" if low != high else " (in every draw)"


def _mean(losses: Losses, name: str) -> float:
    """The mean loss of a method over all its draws and sizes."""
    return statistics.fmean(
        statistics.fmean(seeds) for draws in losses[name].values() for seeds in draws.values()
    )
