"""What a search of a quantised model is worth: its losses against those of the float32 model.

    python -m benchmarks.evaluator.quantised --model demo --corpus mixed.jsonl --json out.json

The model is quantised by bitsandbytes to 8 bits (LLM.int8) and to 4 bits (NF4), written, and
loaded as `--model` of a search would be. The same random patterns are evaluated in each on the
same windows. Regret is what the pattern of the lowest quantised loss loses in float32 against the
one that is best there.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from benchmarks.common.count_flag import count_flag
from benchmarks.common.record import (
    circumstances,
    errors_in_one_line,
    markdown_table,
    without_folders,
)
from evop_deap.base.files import write_json
from evop_deap.evolution.operators import init_uniform
from evop_deap.fitness.model.population import PopulationEvaluator
from evop_deap.models.anatomy.find_anatomy import find_anatomy
from evop_deap.models.loading.load_model import LoadedModel, load_model
from evop_deap.models.loading.model_config import locate
from evop_deap.models.loading.quiet import quiet_transformers
from evop_deap.runs.listeners.progress import Progress
from evop_deap.runs.stages.prepare import prepare
from evop_deap.settings.search_config import SearchConfig
from evop_deap.space import Pattern, SearchSpace

if TYPE_CHECKING:
    from transformers import PreTrainedModel

DENSE = "float32"
BITS: dict[str, dict[str, Any]] = {
    "8 bit": {"load_in_8bit": True},
    "4 bit": {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"},
}
"""By name, how bitsandbytes quantises a model."""


@contextmanager
def quantised(model: str, bits: str) -> Iterator[LoadedModel]:
    """Quantise a model, write it, and load the checkpoint; it is deleted in the end."""
    from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

    where = locate(model)
    with tempfile.TemporaryDirectory() as folder, quiet_transformers():
        settings: Any = BitsAndBytesConfig(**BITS[bits])
        made = AutoModelForCausalLM.from_pretrained(
            **where, dtype=DENSE, quantization_config=settings
        )
        made.save_pretrained(folder)
        AutoTokenizer.from_pretrained(**where).save_pretrained(folder)
        del made
        yield load_model(folder, device="cpu")


def drawn(space: SearchSpace, count: int, seed: int) -> list[Pattern]:
    """Return different random patterns of a space: `count`, or all that there are."""
    rng, found = random.Random(seed), dict[Pattern, None]()
    while len(found) < min(count, space.size):
        found[init_uniform(space, rng=rng).pattern] = None
    return list(found)


def losses_of(
    model: PreTrainedModel, tokens: NDArray[np.int64], patterns: Sequence[Pattern]
) -> dict[str, Any]:
    """Return the loss of the whole model and of each pattern, in nats a token."""
    evaluator = PopulationEvaluator(model, find_anatomy(model), tokens)
    whole, *rest = evaluator.evaluate([(1,) * len(patterns[0]), *patterns]).losses
    return {"dense": float(whole), "losses": [float(loss) for loss in rest]}


def compared(found: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a row for each precision: how its losses rank patterns, and what they choose."""
    true = np.array(found[DENSE]["losses"])
    rows = []
    for name, one in found.items():
        losses = np.array(one["losses"])
        chosen = int(losses.argmin())
        rows.append(
            {
                "weights": name,
                "dense": one["dense"],
                "best": float(losses.min()),
                "difference": float(np.abs(losses - true).mean()),
                "rank_correlation": float(spearmanr(losses, true).statistic),
                "regret": float(true[chosen] - true.min()),
                "rank_chosen": int((true < true[chosen]).sum()) + 1,
            }
        )
    return rows


def table(rows: Sequence[dict[str, Any]]) -> str:
    """A row for each precision."""
    return markdown_table(
        ["weights", "dense", "best pattern", "mean difference", "rank correlation", "regret"],
        [
            [
                row["weights"],
                f"{row['dense']:.3f}",
                f"{row['best']:.3f}",
                f"{row['difference']:.3f}",
                f"{row['rank_correlation']:.3f}",
                f"{row['regret']:.3f} (rank {row['rank_chosen']})",
            ]
            for row in rows
        ],
    )


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Evaluate all patterns in all precisions."""
    config = SearchConfig(
        model=given.model, corpus=given.corpus, sparsity=(given.sparsity,), seed=given.seed,
        window=given.window, tokens=given.window * given.windows, compensate="off",
        heldout_tokens=given.window, dtype=DENSE, device="cpu",
    )  # fmt: skip
    prepared = prepare(config, Progress())
    text = prepared.text.calibration
    patterns = drawn(prepared.space, given.patterns, given.seed)
    found = {DENSE: losses_of(prepared.loaded.model, text.tokens, patterns)}
    del prepared
    for bits in BITS:
        print(f"evaluating in {bits}", file=sys.stderr, flush=True)
        with quantised(given.model, bits) as loaded:
            found[bits] = losses_of(loaded.model, text.tokens, patterns)
    return {
        **circumstances(),
        "bitsandbytes": version("bitsandbytes"),
        "settings": without_folders(
            {name: value for name, value in vars(given).items() if name != "json"}, "corpus"
        ),
        "calibration": text.fingerprint,
        "patterns": ["".join(map(str, pattern)) for pattern in patterns],
        "found": found,
        "rows": compared(found),
    }


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    line = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    line.add_argument("--model", default="demo", metavar="NAME")
    line.add_argument("--corpus", default="demo", metavar="FILE")
    line.add_argument("--sparsity", type=float, default=0.2, metavar="SHARE")
    line.add_argument("--patterns", type=count_flag, default=40, metavar="N")
    line.add_argument("--windows", type=count_flag, default=8, metavar="N")
    line.add_argument("--window", type=count_flag, default=256, metavar="TOKENS")
    line.add_argument("--seed", type=int, default=0, metavar="N")
    line.add_argument("--json", type=Path, metavar="FILE")
    given = line.parse_args(arguments)
    with errors_in_one_line():
        report = measure(given)
    print(table(report["rows"]))
    if given.json is not None:
        write_json(given.json, report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
