"""The model card of a healed checkpoint: that of the pruned one, and what the training did."""

from __future__ import annotations

from evop_deap.base.formatting import counted, markdown, number
from evop_deap.base.numbers import exponential
from evop_deap.reporting.model_card import COMPENSATED, UNCHANGED
from evop_deap.runs.storage.healing_result import HealingResult

_TRAINED = "and what is left was then trained"


def healing_card(card: str | None, result: HealingResult) -> str:
    """Return README.md of a healed checkpoint.

    Args:
        card: README.md of the checkpoint that was trained; None without one.
        result: the outcome of the training.
    """
    if card is None:
        card = f"# {markdown(result.source.rstrip('/').rsplit('/', 1)[-1])}, healed\n"
    if not result.taken:
        return f"{card.rstrip()}\n\n## Healing\n\nTraining changed nothing: {result.reason}.\n"
    compensated = COMPENSATED.replace("and nothing was trained", _TRAINED)
    card = card.replace(UNCHANGED, _TRAINED).replace(COMPENSATED, compensated)
    loss = result.loss["heldout"]
    windows = result.windows["heldout"]
    return "\n".join(
        [
            card.rstrip(),
            "",
            "## Healing",
            "",
            f"After pruning, {result.trained} were trained on {result.tokens:,} tokens of "
            f"{markdown(result.corpus)} towards {markdown(result.base)} (loss {result.objective}, "
            f"{result.best_step} of {counted(result.steps, 'step')}, seed {result.seed}).",
            "",
            f"| perplexity, {counted(windows, 'held-out window')} of {result.window} tokens of "
            f"{markdown(result.corpus)} | {' | '.join(loss)} |",
            f"|---|{'---|' * len(loss)}",
            f"| | {' | '.join(number(exponential(value)) for value in loss.values())} |",
            "",
        ]
    )
