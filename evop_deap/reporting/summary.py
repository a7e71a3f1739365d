"""The summary of a run: three sentences and its main figures."""

from __future__ import annotations

from collections.abc import Sequence

from evop_deap.base.formatting import counted, duration, listed, millions, number
from evop_deap.base.numbers import perplexity
from evop_deap.models.loading.demo_model import DEMO_MODELS
from evop_deap.reporting.named_units import dropped_names, label_of, noun, unit_names
from evop_deap.reporting.page_parts import escaped, paragraph
from evop_deap.runs.storage.loaded_run import Run
from evop_deap.runs.storage.result import SearchResult
from evop_deap.runs.storage.text_losses import TextLoss


def model_of(run: Run) -> str:
    """Return the name of a run's model, without its path."""
    name = str(run.settings.get("model", "a model"))
    known = DEMO_MODELS.get(name)
    return known.title if known else name.rstrip("/").rsplit("/", 1)[-1]


def title_of(runs: Sequence[Run]) -> str:
    """Return the heading of a page."""
    if len(runs) > 1:
        return f"{len(runs)} searches side by side"
    run = runs[0]
    if run.result is None:
        return f"Searching {model_of(run)}"
    names = unit_names(run)
    return f"{model_of(run)} without {len(run.result.dropped)} of its {len(names)} {noun(names)}"


def summary(runs: Sequence[Run]) -> str:
    """Return three sentences and the main figures for each run."""
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
    """Return sentences on the dropped units, the perplexities and the work of the search."""
    names = [unit["name"] for unit in result.units]
    dense, pruned = result.parameters["dense"], result.parameters["pruned"]
    held, seen = result.heldout, result.calibration
    pick = result.beside
    picked = f" ({pick.name} alone: {number(pick.heldout.perplexity)})" if pick else ""
    partly = f", {result.cut_short} of them in part," if result.cut_short else ""
    known = f" ({result.cache_hits} known from earlier searches)" if result.cache_hits else ""
    return [
        f"Without {noun(names, len(result.dropped))} {listed(result.dropped)}, {model} has "
        f"{millions(pruned)} parameters instead of {millions(dense)}, "
        f"{(dense - pruned) / dense:.1%} fewer.",
        f"Perplexity goes from {number(held.perplexity['dense'])} to "
        f"{number(held.perplexity['pruned'])}{picked}{_compensated(held)} on "
        f"{counted(held.windows, 'held-out window')} of {held.window} tokens, and from "
        f"{number(seen.perplexity['dense'])} to {number(seen.perplexity['pruned'])}"
        f"{_compensated(seen)} on {counted(seen.windows, 'calibration window')}.",
        *_answers(result),
        f"The search evaluated {counted(result.evaluations, 'pattern')}{known}{partly} for the "
        f"work of {number(result.cost)} forward passes of the dense model, in "
        f"{duration(result.seconds)}; the exported checkpoint was reloaded and its logits "
        "compared.",
    ]


def _answers(result: SearchResult) -> list[str]:
    """Return a sentence on held-out questions; nothing without questions."""
    about = result.answers
    if about is None:
        return []
    shares = {kind: f"{share:.1%}" for kind, share in about["accuracy"].items()}
    made = f" (compensated: {shares['compensated']})" if "compensated" in shares else ""
    return [
        f"Patterns were evaluated by their answers to {counted(about['searched'], 'question')}. Of "
        f"{counted(about['heldout'], 'held-out question')}, the dense model answers "
        f"{shares['dense']} right and the pruned model {shares['pruned']}{made}."
    ]


def _compensated(text: TextLoss) -> str:
    figure = text.perplexity.get("compensated")
    return "" if figure is None else f" (compensated: {number(figure)})"


def _so_far(run: Run) -> str:
    if not run.rows:
        return "The first generation is being evaluated."
    row = run.rows[-1]
    limit = run.settings.get("generations")
    of = f" of {limit}" if limit is not None else ""
    return (
        f"Generation {row['gen']}{of}: {counted(row['evaluations'], 'pattern')} evaluated for the "
        f"work of {number(row['cost'])} forward passes of the dense model. The best so far drops "
        f"{listed(dropped_names(run))}."
    )


def _tiles(result: SearchResult) -> list[tuple[str, str, str]]:
    dense, pruned = result.parameters["dense"], result.parameters["pruned"]
    figures = result.heldout.perplexity
    pick, made = result.beside, result.is_compensated
    picks = [f"best heuristic {number(pick.heldout.perplexity)}"] if pick else []
    alone = [f"pruned alone {number(figures['pruned'])}"] if made else []
    against = ", ".join([f"dense {number(figures['dense'])}", *alone, *picks])
    return [
        ("held-out perplexity", number(result.heldout.exported), against),
        *_lead(result),
        ("parameters", millions(pruned), f"dense {millions(dense)}"),
        ("patterns evaluated", number(result.evaluations), f"{result.cut_short} eliminated"),
        ("cost", number(result.cost), "dense forward passes"),
    ]


def _lead(result: SearchResult) -> list[tuple[str, str, str]]:
    """Return the difference from the best heuristic's pick, if it is another pattern."""
    best = [(one.name, one.heldout) for one in result.heuristics[:1]]
    return [
        (
            f"against {name}",
            f"{text.difference:+.3f}".replace("-", "\N{MINUS SIGN}"),
            ("" if text.error is None else f"± {text.error:.3f} ") + "nats a held-out token",
        )
        for name, text in best
        if text.difference
    ]


def _tiles_so_far(run: Run) -> list[tuple[str, str, str]]:
    if not run.rows:
        return []
    row = run.rows[-1]
    best = row["min"]
    answers = "answers" in run.settings.get("fitness", "ce")
    on = "on the questions" if answers else "on the calibration text"
    what, value = ("loss" if answers else "divergence", best)
    if run.settings.get("fitness", "ce") == "ce":
        what, value = "perplexity", perplexity(best)
    return [
        (
            f"best {what}",
            number(value),
            on,
        ),
        ("generation", number(row["gen"]), f"{row['seconds']:.0f} s"),
        ("patterns evaluated", number(row["evaluations"]), ""),
        ("cost", number(row["cost"]), "dense forward passes"),
    ]
