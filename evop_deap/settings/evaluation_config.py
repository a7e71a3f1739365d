"""The settings of an evaluation of finished models, as a frozen dataclass."""

from __future__ import annotations

from dataclasses import dataclass, fields

from evop_deap.base.errors import InputError
from evop_deap.settings.model_options import (
    MODEL,
    WHERE,
    attention_option,
    device_option,
    dtype_option,
    remote_code_option,
)
from evop_deap.settings.options import REQUIRED, Settings, option

PERPLEXITY = "perplexity"
TASKS = "zero-shot tasks (pip install 'evop_deap[eval]')"
SPEED = "speed and memory"
DEGENERACY = "degeneracy"
ARITHMETIC = "arithmetic"
RANDOMNESS = "randomness"

_KINDS = {
    PERPLEXITY: "perplexity", TASKS: "tasks", SPEED: "speed", DEGENERACY: "degeneracy",
}  # fmt: skip
"""The measurement that the settings of a group are for."""


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig(Settings):
    """The settings of an evaluation; see `python -m evop_deap.evaluate --help`.

    Example:
        >>> EvaluationConfig(checkpoint="runs/demo/model", against="demo").measured
        ('speed', 'degeneracy')

    Raises:
        InputError: a value has the wrong type or is out of bounds.
    """

    checkpoint: str = option(REQUIRED, MODEL, WHERE)
    against: str | None = option(
        None, MODEL, "dense model to compare with, given in the same way", metavar="DENSE"
    )
    dtype: str = dtype_option()
    device: str = device_option()
    attn_implementation: str | None = attention_option()
    trust_remote_code: bool = remote_code_option()

    perplexity: tuple[str, ...] = option(
        (),
        PERPLEXITY,
        "texts to measure on: text, jsonl, csv or parquet files, folders, or wikitext2 (its test "
        "split, from the hub); wiki.test.raw is joined like the published split; with a column "
        "`domain`, each domain is reported as well",
        metavar="TEXT",
    )
    window: tuple[int, ...] = option(
        (2048,), PERPLEXITY, "tokens in a window, one length or several", metavar="N", least=2
    )
    max_windows: int | None = option(
        None, PERPLEXITY, "evaluate only the first N windows of each domain", metavar="N", least=1
    )
    prefix: bool = option(
        True,
        PERPLEXITY,
        "begin every window with the special tokens that the tokenizer puts before a text, as "
        "Gemma needs; --no-prefix puts them before the first window only, as most papers do",
    )
    text_column: str | None = option(
        None,
        PERPLEXITY,
        "column with the text (default: text, or the only column)",
        metavar="NAME",
    )

    tasks: tuple[str, ...] = option(
        (), TASKS, "task names of lm-evaluation-harness: piqa arc_easy ...", metavar="TASK"
    )
    tasks_from: str | None = option(
        None,
        TASKS,
        "folder with TASK.jsonl files of piqa, arc_easy, arc_challenge, winogrande, hellaswag or "
        "openbookqa (default: the harness fetches its own data)",
        metavar="DIR",
    )
    limit: int | None = option(
        None, TASKS, "ask only the first N questions of each task", metavar="N", least=1
    )

    speed: bool = option(
        False, SPEED, "time prefill, first token and decoding; measure peak memory"
    )
    batches: tuple[int, ...] = option(
        (1, 4), SPEED, "rows in a batch, one size or several", metavar="N", least=1
    )
    prompt_tokens: int = option(128, SPEED, "tokens in the prompt of a row", metavar="N", least=1)
    new_tokens: int = option(32, SPEED, "tokens generated for a row", metavar="N", least=2)
    repeats: int = option(5, SPEED, "timings of each model, taken in turns", metavar="N", least=1)

    degeneracy: bool = option(
        False, DEGENERACY, "measure how far greedy continuations repeat themselves"
    )
    prompts: int = option(16, DEGENERACY, "number of continuations", metavar="N", least=2)
    continuation: int = option(128, DEGENERACY, "tokens in a continuation", metavar="N", least=8)

    arithmetic: int | None = option(
        None,
        ARITHMETIC,
        "ask N questions of each of four levels, from plain sums to problems of three steps, and "
        "compare the numbers that the model generates",
        metavar="N",
        least=2,
        most=2000,
    )
    batch_size: int = option(
        8, ARITHMETIC, "answers in one batch, of tasks too", metavar="N", least=1
    )

    seed: int = option(
        0, RANDOMNESS, "seed of the timed prompts and of --arithmetic", metavar="N", least=0
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for one in fields(self):
            kind = _KINDS.get(one.metadata["group"])
            if kind in (None, one.name, *self.measured) or getattr(self, one.name) == one.default:
                continue
            instead = ", or `max_windows` for perplexity" if one.name == "limit" else ""
            raise InputError(f"`{one.name}` is for {kind}: give `{kind}` as well{instead}")

    @property
    def measured(self) -> tuple[str, ...]:
        """The selected measurements; by default speed and degeneracy, which need no text."""
        asked = [
            name
            for name in ("perplexity", "tasks", "arithmetic", "speed", "degeneracy")
            if getattr(self, name)
        ]
        return tuple(asked or ["speed", "degeneracy"])
