"""What was done, in three sentences with the numbers, and the figures that matter most."""

from __future__ import annotations

from collections.abc import Sequence

from evop_deap.base.formatting import duration, listed, millions, number
from evop_deap.base.numbers import perplexity
from evop_deap.reporting.named_units import dropped_names, label_of, noun, unit_names
from evop_deap.reporting.page_parts import escaped, paragraph
from evop_deap.runs.storage.loaded_run import Run
from evop_deap.runs.storage.result import SearchResult

_DEMO = "SmolLM2-135M-Instruct"


def model_of(run: Run) -> str:
    """What a run's model is called, without the way to it."""
    name = str(run.settings.get("model", "a model"))
    return _DEMO if name == "demo" else name.rstrip("/").rsplit("/", 1)[-1]


def title_of(runs: Sequence[Run]) -> str:
    """The heading of a page."""
    if len(runs) > 1:
        return f"{len(runs)} searches side by side"
    run = runs[0]
    if run.result is None:
        return f"Searching {model_of(run)}"
    names = unit_names(run)
    return f"{model_of(run)} without {len(run.result.dropped)} of its {len(names)} {noun(names)}"


def summary(runs: Sequence[Run]) -> str:
    """Three sentences and four figures, for each run."""
    cards = []
    for place, run in enumerate(runs):
        name = f"<h2>{escaped(label_of(runs, place))}</h2>" if len(runs) > 1 else ""
        tiles = _tiles(run.result) if run.result else _tiles_so_far(run)
        said = sentences(run.result, model_of(run)) if run.result else [_so_far(run)]
        shown = "".join(
            f'<div class="tile"><dt>{escaped(what)}</dt>'
            f"<dd>{escaped(value)}<small>{escaped(small)}</small></dd></div>"
            for what, value, small in tiles
        )
        tiles_html = f'<dl class="tiles">{shown}</dl>' if shown else ""
        cards.append(f'<div class="summary">{name}{paragraph(" ".join(said))}{tiles_html}</div>')
    return f'<div class="summaries">{"".join(cards)}</div>'


def sentences(result: SearchResult, model: str) -> list[str]:
    """What was dropped, what it does to the model, and what finding it took."""
    names = [unit["name"] for unit in result.units]
    dense, pruned = result.parameters["dense"], result.parameters["pruned"]
    held, seen = result.heldout, result.calibration
    rule = result.heuristics[:1]
    ruled = "".join(f" ({r.name} alone: {number(r.heldout.perplexity)})" for r in rule)
    short = f", {result.cut_short} of them in part," if result.cut_short else ""
    known = f" ({result.cache_hits} known from earlier searches)" if result.cache_hits else ""
    return [
        f"Without {noun(names)} {listed(result.dropped)}, {model} has "
        f"{millions(pruned)} parameters instead of {millions(dense)}, "
        f"{(dense - pruned) / dense:.1%} fewer.",
        f"Perplexity goes from {number(held.perplexity['dense'])} to "
        f"{number(held.perplexity['pruned'])}{ruled} on {held.windows} windows of {held.window} "
        f"tokens that the search did not see, and from {number(seen.perplexity['dense'])} to "
        f"{number(seen.perplexity['pruned'])} on the {seen.windows} it was judged on.",
        f"The search judged {result.evaluations} patterns{known}{short} for the work of "
        f"{number(result.cost)} forward passes of the dense model, in {duration(result.seconds)}; "
        f"the exported checkpoint was reloaded and its logits compared.",
    ]


def _so_far(run: Run) -> str:
    if not run.rows:
        return "The first generation is being judged."
    row = run.rows[-1]
    limit = run.settings.get("generations")
    of = f" of {limit}" if limit is not None else ""
    return (
        f"Generation {row['gen']}{of}: {row['evaluations']} patterns judged for the work of "
        f"{number(row['cost'])} forward passes of the dense model. The best so far is without "
        f"{listed(dropped_names(run))}."
    )


def _tiles(result: SearchResult) -> list[tuple[str, str, str]]:
    dense, pruned = result.parameters["dense"], result.parameters["pruned"]
    figures = result.heldout.perplexity
    rules = [f"best rule {number(rule.heldout.perplexity)}" for rule in result.heuristics[:1]]
    against = ", ".join([f"dense {number(figures['dense'])}", *rules])
    return [
        ("held-out perplexity", number(figures["pruned"]), against),
        *_lead(result),
        ("parameters", millions(pruned), f"dense {millions(dense)}"),
        ("patterns judged", number(result.evaluations), f"{result.cut_short} cut short"),
        ("cost", number(result.cost), "dense forward passes"),
    ]


def _lead(result: SearchResult) -> list[tuple[str, str, str]]:
    """How far the pattern found is from the best rule's, where there is one to be told from."""
    told = [(rule.name, rule.heldout) for rule in result.heuristics[:1]]
    return [
        (
            f"against {name}",
            f"{text.difference:+.3f}".replace("-", "\N{MINUS SIGN}"),
            ("" if text.error is None else f"± {text.error:.3f} ") + "nats a held-out token",
        )
        for name, text in told
        if text.difference
    ]


def _tiles_so_far(run: Run) -> list[tuple[str, str, str]]:
    if not run.rows:
        return []
    row = run.rows[-1]
    best = row["min"]
    what, value = ("divergence", best)
    if run.settings.get("fitness", "ce") == "ce":
        what, value = "perplexity", perplexity(best)
    return [
        (f"best {what}", number(value), "on the calibration text"),
        ("generation", number(row["gen"]), f"{row['seconds']:.0f} s"),
        ("patterns judged", number(row["evaluations"]), ""),
        ("cost", number(row["cost"]), "dense forward passes"),
    ]
