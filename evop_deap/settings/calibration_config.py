"""The settings that decide a calibration set, as one frozen value."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from evop_deap.base.errors import InputError
from evop_deap.calibration.set_files import CALIBRATION_FILE
from evop_deap.settings.model_options import (
    MODEL,
    WHERE,
    attention_option,
    device_option,
    dtype_option,
    remote_code_option,
)
from evop_deap.settings.options import REQUIRED, Settings, option

CALIBRATION = "calibration"
CLUSTERS = "clusters, with --calibration ccds"
RANDOMNESS = "randomness"

STRATEGIES = ("random", "ccds")


@dataclass(frozen=True, kw_only=True)
class CalibrationConfig(Settings):
    """The settings that decide a calibration set; see `python -m evop_deap.calibrate --help`.

    Raises:
        InputError: a value of the wrong type or out of its bounds.
    """

    model: str = option(REQUIRED, MODEL, WHERE)
    revision: str | None = option(None, MODEL, "branch, tag or commit of a hub id", metavar="REV")
    dtype: str = dtype_option()
    device: str = device_option()
    attn_implementation: str | None = attention_option()
    trust_remote_code: bool = remote_code_option()

    corpus: str = option(
        "demo",
        CALIBRATION,
        "text, jsonl, csv or parquet file, a folder of them, wikitext2, c4, fineweb-edu, or demo "
        "(prose and code that every Python carries, for trying out)",
    )
    text_column: str | None = option(
        None,
        CALIBRATION,
        "column that holds the text (default: text, or the only one)",
        metavar="NAME",
    )
    calibration: str = option(
        "random",
        CALIBRATION,
        "how calibration text is chosen: random (documents drawn uniformly), ccds (by clusters), "
        "or a folder that evop_deap.calibrate has written",
        metavar="random|ccds|DIR",
    )
    window: int = option(256, CALIBRATION, "tokens of a window", metavar="N", least=2)
    tokens: int = option(
        2048, CALIBRATION, "tokens to calibrate on, cut to whole windows", metavar="N", least=2
    )
    heldout_tokens: int = option(
        8192, CALIBRATION, "tokens of other documents to report on", metavar="N", least=2
    )
    check_against: tuple[str, ...] = option(
        (),
        CALIBRATION,
        "texts or tables of evaluation data: documents that repeat 13 words of one are not used",
        metavar="FILE",
    )

    embedding: str = option(
        "demo",
        CLUSTERS,
        "hub id or folder of a sentence encoder, demo (all-MiniLM-L6-v2), model (hidden states of "
        "the model itself) or tfidf (words, needs no model)",
    )
    reducer: str = option(
        "umap", CLUSTERS, "what makes embeddings small", choices=("umap", "pca", "none")
    )
    min_cluster_size: int | None = option(
        None,
        CLUSTERS,
        "documents that make a cluster (default: by the size of the corpus)",
        metavar="N",
        least=2,
    )
    allocation: str = option(
        "sqrt",
        CLUSTERS,
        "windows of a cluster: by the square root of its text, as its text, or the same for each",
        choices=("sqrt", "proportional", "equal"),
    )
    within: str = option(
        "random",
        CLUSTERS,
        "documents of a cluster: at random, nearest its centre first, or spread over it",
        choices=("random", "nearest", "spread"),
    )
    select: str = option(
        "balanced",
        CLUSTERS,
        "windows in the order of their clusters, or those whose losses respond to pruning as "
        "the losses of four times as many do",
        choices=("balanced", "response"),
    )
    weighting: str = option(
        "none",
        CLUSTERS,
        "what a window counts: the same as any other, as much as its cluster has in the corpus, "
        "or so that every cluster counts the same",
        choices=("none", "corpus", "cluster"),
    )

    seed: int = option(0, RANDOMNESS, "of everything that is random", metavar="N", least=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.calibration not in STRATEGIES and not self.is_stored:
            raise InputError(
                "`calibration` must be random, ccds or a folder that evop_deap.calibrate has "
                f"written, but got '{self.calibration}'"
            )
        if self.calibration == "random":
            for field in dataclasses.fields(self):
                value = getattr(self, field.name)
                if field.metadata["group"] == CLUSTERS and value != field.default:
                    raise InputError(
                        f"`{field.name}` {value} speaks of clusters, which `calibration` random "
                        "has not: add --calibration ccds"
                    )
        if self.tokens < self.window:
            raise InputError(
                f"`tokens` must be at least one `window` ({self.window}), but got {self.tokens}"
            )
        if self.heldout_tokens < self.window:
            raise InputError(
                f"`heldout_tokens` must be at least one `window` ({self.window}), "
                f"but got {self.heldout_tokens}"
            )

    @property
    def is_stored(self) -> bool:
        """Whether `calibration` names a folder with a calibration set."""
        try:
            return (Path(self.calibration).expanduser() / CALIBRATION_FILE).is_file()
        except (OSError, ValueError):  # a name too long, or not a name at all
            return False
