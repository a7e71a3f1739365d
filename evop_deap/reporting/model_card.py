"""The model card of a pruned checkpoint: dropped units, perplexities and settings."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from evop_deap.base.formatting import plural
from evop_deap.heuristics.registry import METHODS
from evop_deap.runs.storage.result import standing
from evop_deap.settings.search_config import SEARCH

if TYPE_CHECKING:
    from evop_deap.runs.storage.result import Findings


def model_card(result: Findings, settings: str, *, base_model: str | None) -> str:
    """Return the README.md of a checkpoint, with the front matter for the hub.

    Args:
        result: the pattern found and its measurements.
        settings: the effective configuration as YAML.
        base_model: hub id of the dense model; None if it is not on a hub.
    """
    searched_on = {"ce": "perplexity", "kl": "divergence from the dense model"}[result.fitness.name]
    chosen_by = (
        f"evolutionary search on {searched_on} ([EvoP](https://arxiv.org/abs/2502.14910))"
        if result.method == SEARCH
        else METHODS[result.method].title
    )
    merges = result.method != SEARCH and METHODS[result.method].merges
    removed = "merged into blocks before them" if merges else "removed"
    units = plural(result.granularity)
    dense, pruned = result.parameters["dense"], result.parameters["pruned"]
    versions = ", ".join(f"{name} {version}" for name, version in result.versions.items())
    source = base_model or result.model
    front = [
        "---",
        *([f"base_model: {base_model}"] if base_model else []),
        "library_name: transformers",
        "pipeline_tag: text-generation",
        "tags: [evop, layer-pruning, pruned]",
        "---",
    ]
    best = result.heuristics[0] if result.heuristics else None
    rows = [
        f"| {name}, {text.windows} windows of {text.window} tokens of {result.corpus} "
        f"| {text.perplexity['dense']:.2f} |{f' {other.perplexity:.2f} |' if other else ''} "
        f"{text.perplexity['pruned']:.2f} |"
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
            f"{', '.join(result.dropped)} (counted from 0) were {removed}, and nothing else was "
            f"changed or trained. They were chosen by {chosen_by} with evop_deap. The checkpoint "
            "was reloaded with plain transformers, and its logits were compared with those of the "
            "model in the search.",
            "",
            f"| perplexity ({result.dtype}) | dense |{f' {best.name} |' if best else ''} pruned |",
            f"|---|---|---|{'---|' if best else ''}",
            *rows,
            f"| parameters | {dense:,} |{' |' if best else ''} {pruned:,} |",
            "",
            *stands,
            f"{result.evaluations} patterns were evaluated, at the cost of {result.cost:.1f} "
            f"forward passes of the dense model over the calibration windows, seed {result.seed}. "
            "The held-out windows are from documents that the search did not use.",
            "",
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
