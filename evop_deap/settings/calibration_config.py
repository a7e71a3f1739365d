"""The settings of a calibration set, as a frozen dataclass."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from evop_deap.base.errors import InputError
from evop_deap.base.user_paths import existing_path
from evop_deap.calibration.set_files import CALIBRATION_FILE
from evop_deap.settings.model_options import (
    MODEL,
    WHERE,
    attention_option,
    device_option,
    dtype_option,
    remote_code_option,
    text_only_option,
)
from evop_deap.settings.options import REQUIRED, Settings, option

CALIBRATION = "calibration"
CLUSTERS = "clusters, with --calibration ccds"
COMPENSATION = "compensation of dropped units"
RANDOMNESS = "randomness"

STRATEGIES = ("random", "ccds")


@dataclass(frozen=True, kw_only=True)
class CalibrationConfig(Settings):
    """The settings of a calibration set; see `python -m evop_deap.calibrate --help`.

    Raises:
        InputError: a value has the wrong type or is out of bounds.
    """

    model: str = option(REQUIRED, MODEL, WHERE)
    revision: str | None = option(None, MODEL, "branch, tag or commit of a hub id", metavar="REV")
    dtype: str = dtype_option()
    device: str = device_option()
    attn_implementation: str | None = attention_option()
    trust_remote_code: bool = remote_code_option()
    text_only: bool = text_only_option()

    corpus: str = option(
        "demo",
        CALIBRATION,
        "text, jsonl, csv or parquet file, a folder of such files, wikitext2, c4, fineweb-edu, or "
        "demo (prose and code that come with Python, for first trials)",
    )
    text_column: str | None = option(
        None,
        CALIBRATION,
        "column with the text (default: text, or the only column)",
        metavar="NAME",
    )
    calibration: str = option(
        "random",
        CALIBRATION,
        "how to choose calibration text: random (documents drawn uniformly), ccds (by clusters), "
        "or a folder written by evop_deap.calibrate",
        metavar="random|ccds|DIR",
    )
    window: int = option(256, CALIBRATION, "tokens in a window", metavar="N", least=2)
    tokens: int = option(
        2048, CALIBRATION, "calibration tokens, in whole windows", metavar="N", least=2
    )
    heldout_tokens: int = option(
        4096, CALIBRATION, "tokens of held-out documents, for the report", metavar="N", least=2
    )
    check_against: tuple[str, ...] = option(
        (),
        CALIBRATION,
        "texts or tables of evaluation data; documents that share 13 words in a row with them are "
        "left out",
        metavar="FILE",
    )

    embedding: str = option(
        "demo",
        CLUSTERS,
        "how to embed documents: hub id or folder of a sentence encoder, demo (all-MiniLM-L6-v2), "
        "model (hidden states of the model itself) or tfidf (word counts, no model needed)",
    )
    reducer: str = option(
        "umap", CLUSTERS, "dimension reduction before clustering", choices=("umap", "pca", "none")
    )
    min_cluster_size: int | None = option(
        None,
        CLUSTERS,
        "fewest documents that form a cluster (default: depends on the size of the corpus)",
        metavar="N",
        least=2,
    )
    allocation: str = option(
        "sqrt",
        CLUSTERS,
        "windows drawn from a cluster: in proportion to the square root of the size of its text, "
        "in proportion to the size, or equally many from each",
        choices=("sqrt", "proportional", "equal"),
    )
    within: str = option(
        "random",
        CLUSTERS,
        "documents drawn from a cluster: at random, nearest to its centre first, or spread over it",
        choices=("random", "nearest", "spread"),
    )
    select: str = option(
        "balanced",
        CLUSTERS,
        "windows drawn: balanced (cluster by cluster), or response (draw four times as many and "
        "keep those whose losses respond to pruning most like the losses of all)",
        choices=("balanced", "response"),
    )
    weighting: str = option(
        "none",
        CLUSTERS,
        "weight of a window in the loss: none weighs all windows equally, corpus weighs by the "
        "share of the cluster in the corpus, cluster gives every cluster the same total",
        choices=("none", "corpus", "cluster"),
    )

    compensation_tokens: int = option(
        40960,
        COMPENSATION,
        "tokens of calibration documents on which kept weights are solved anew",
        metavar="N",
        least=2,
    )

    seed: int = option(0, RANDOMNESS, "seed of everything random", metavar="N", least=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.calibration not in STRATEGIES and not self.is_stored:
            raise InputError(
                "`calibration` must be random, ccds or a folder written by evop_deap.calibrate, "
                f"but got '{self.calibration}'"
            )
        if self.calibration == "random":
            for field in dataclasses.fields(self):
                value = getattr(self, field.name)
                if field.metadata["group"] == CLUSTERS and value != field.default:
                    raise InputError(
                        f"`{field.name}` {value} needs clusters, but `calibration` is random: "
                        "add --calibration ccds"
                    )
        if self.tokens < self.window:
            raise InputError(
                f"`tokens` must be at least one `window` ({self.window}), but got {self.tokens}"
            )
        for name in ("heldout_tokens", "compensation_tokens"):
            if (tokens := getattr(self, name)) < self.window:
                raise InputError(
                    f"`{name}` must be at least one `window` ({self.window}), but got {tokens}"
                )

    @property
    def is_stored(self) -> bool:
        """Whether `calibration` is a folder with a calibration set."""
        return self.calibration not in STRATEGIES and (
            existing_path(f"{self.calibration}/{CALIBRATION_FILE}", "calibration") is not None
        )
