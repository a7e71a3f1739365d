"""The model card of a pruned checkpoint: dropped units, perplexities and settings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from evop_deap.base.formatting import counted, markdown, plural
from evop_deap.fitness.fitnesses import read_fitness
from evop_deap.heuristics.registry import METHODS
from evop_deap.reporting.parts_kept import front_matter, what_was_kept
from evop_deap.runs.storage.result import standing
from evop_deap.settings.heuristic_names import SEARCH

if TYPE_CHECKING:
    from evop_deap.models.loading.beside_decoder import BesideDecoder
    from evop_deap.runs.storage.findings import Findings
    from evop_deap.runs.storage.text_losses import TextLoss


_ON_TEXT = {"ce": "perplexity", "kl": "divergence from the dense model"}


def model_card(
    result: Findings,
    settings: str,
    *,
    base_model: str | None,
    beside: BesideDecoder,
    base: tuple[str, str, str] | None = None,
) -> str:
    """Return the README.md of a checkpoint, with the front matter for the hub.

    Args:
        result: the pattern found and its measurements.
        settings: the effective configuration as YAML.
        base_model: hub id of the dense model; None if it is not on a hub.
        beside: what the dense checkpoint holds beside its text decoder.
        base: name, fingerprint and dtype of the dense original that the weights are from, if it is
            not the model that was searched.
    """
    terms = read_fitness(result.fitness.name)
    words = [
        *([_ON_TEXT[terms.on_text]] if terms.on_text else []),
        *(["the answers to multiple-choice questions"] if terms.weight else []),
    ]
    searched_on = " and ".join(words)
    if result.fitness.compensated:
        searched_on += " of compensated models"
    chosen_by = (
        f"evolutionary search on {searched_on} ([EvoP](https://arxiv.org/abs/2502.14910))"
        if result.method == SEARCH
        else METHODS[result.method].title
    )
    merges = result.method != SEARCH and METHODS[result.method].merges
    one = len(result.dropped) == 1
    subject, were = ("It was", "was") if one else ("They were", "were")
    removed = "removed"
    if merges:
        removed = "merged into the block before it" if one else "merged into blocks before them"
    units = plural(result.granularity, len(result.dropped))
    patterns = counted(result.evaluations, "pattern")
    evaluated = f"{patterns} {'was' if result.evaluations == 1 else 'were'}"
    dense, pruned = result.parameters["dense"], result.parameters["pruned"]
    versions = ", ".join(f"{name} {version}" for name, version in result.versions.items())
    name, fingerprint, dtype = base or (result.model, result.model_fingerprint, result.dtype)
    source = markdown(base_model or name)
    of_base = (
        f"The weights are those of {source}; the pattern was found on {markdown(result.model)}, of "
        "which the figures are."
    )
    front = [
        "---",
        *([f"base_model: {base_model}"] if base_model else []),
        f"evop_base: {json.dumps(name)}",
        f"evop_base_fingerprint: {fingerprint}",
        f"evop_base_dtype: {dtype}",
        "library_name: transformers",
        *front_matter(beside),
        "tags: [evop, layer-pruning, pruned]",
        "---",
    ]
    best = result.beside
    made = result.is_compensated
    rows = [
        f"| {name}, {counted(text.windows, 'window')} of {text.window} tokens of "
        f"{markdown(result.corpus)} | {text.perplexity['dense']:.2f} |"
        f"{f' {other.perplexity:.2f} |' if other else ''} {text.perplexity['pruned']:.2f} |"
        f"{_compensated(text)}"
        for name, text, other in (
            ("calibration", result.calibration, best and best.calibration),
            ("held-out", result.heldout, best and best.heldout),
        )
    ]
    stands = [f"The pattern found: {'; '.join(said)}.", ""] if (said := standing(result)) else []
    return "\n".join(
        [
            *front,
            "",
            f"# {source.rstrip('/').rsplit('/', 1)[-1]} without {len(result.dropped)} {units}",
            "",
            f"Of the {result.n_blocks} decoder blocks of {source}, the {units} "
            f"{', '.join(result.dropped)} (counted from 0) {were} {removed}, "
            f"{else_changed(result.compensation)}. {subject} chosen by {chosen_by} with "
            "evop_deap. The checkpoint was reloaded with plain transformers, and its logits were "
            "compared with those of the model in memory.",
            "",
            f"| perplexity ({result.dtype}) | dense |{f' {best.name} |' if best else ''} pruned |"
            f"{' compensated |' if made else ''}",
            f"|---|---|---|{'---|' if best else ''}{'---|' if made else ''}",
            *rows,
            *_answers(result, beside=best is not None),
            f"| parameters | {dense:,} |{' |' if best else ''} {pruned:,} |"
            f"{f' {pruned:,} |' if made else ''}",
            "",
            *stands,
            *([of_base, ""] if base else []),
            *what_was_kept(beside),
            f"{evaluated} evaluated, at the cost of {result.cost:.1f} forward passes of the dense "
            f"model over the calibration windows, seed {result.seed}. "
            "The held-out windows are from documents that the search did not use.",
            "",
            *what_was_changed(result.compensation, result.corpus),
            "## How it was made",
            "",
            "```yaml",
            settings.rstrip(),
            "```",
            "",
            f"Model fingerprint {json.dumps(result.model_fingerprint)}; {versions}.",
            "",
        ]
    )


def _answers(result: Findings, *, beside: bool) -> list[str]:
    """Return the row on held-out questions; nothing without questions."""
    about = result.answers
    if about is None:
        return []
    cells = [f"{share:.1%}" for share in about["accuracy"].values()]
    if beside:
        cells.insert(1, "")
    return [
        f"| right answers, {counted(about['heldout'], 'held-out question')} | {' | '.join(cells)} |"
    ]


def _compensated(text: TextLoss) -> str:
    """Return the cell of the compensated model; nothing without one."""
    figure = text.perplexity.get("compensated")
    return "" if figure is None else f" {figure:.2f} |"


UNCHANGED = "and nothing else was changed or trained"
COMPENSATED = "the last weights before each cut were solved anew, and nothing was trained"


def else_changed(about: Mapping[str, Any] | None) -> str:
    """Return what was changed besides the dropped units, given the outcome of compensation."""
    return COMPENSATED if about is not None and about["taken"] else UNCHANGED


def what_was_changed(about: Mapping[str, Any] | None, corpus: str) -> list[str]:
    """Return the lines on compensation, with a row per cut; nothing without compensation."""
    if about is None:
        return []
    if not about["taken"]:
        return [f"Compensation changed nothing: {about['reason']}.", ""]
    rows = [
        f"| {', '.join(cut['dropped'])} | {cut['form'] or 'none'} | "
        f"{', '.join(cut['layers']) or '-'} | {cut['distance'][0]:.3f} → {cut['distance'][1]:.3f} |"
        for cut in about["cuts"]
    ]
    return [
        "## What was changed",
        "",
        f"Weights were solved anew by least squares on {counted(about['windows'], 'window')} of "
        f"{about['window']} tokens of {corpus}, so that states behind a cut are nearest "
        "the dense model's: full, the matrix on its own inputs; map, a map of its outputs; gains, "
        "a norm's channels; scale, a single number for all that is written behind the cut. "
        "Distances are relative, on windows kept aside.",
        "",
        "| without | form | changed | distance of states |",
        "|---|---|---|---|",
        *rows,
        "",
    ]
