"""CCDS, EvoP's cluster-based calibration sampling (arXiv 2502.14910, section 3.2).

Documents are embedded and clustered, and every cluster is a stratum of its own; so is what
belongs to none. How many windows each gets and which of its documents come first are choices.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evop_deap.calibration.balance import shares_of
from evop_deap.calibration.cluster_words import characteristic_words, sample_line
from evop_deap.calibration.clustering import NOISE, cluster
from evop_deap.calibration.embedding import as_encoder, embed
from evop_deap.calibration.embedding.encoder import Vectors
from evop_deap.calibration.strata import Stratum, text_sizes
from evop_deap.calibration.within_cluster import centre_of, order_within
from evop_deap.text.documents import Document
from evop_deap.text.tokens import special_prefix, tokenised
from evop_deap.text.windows import capacity_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_VERSIONED = ("hdbscan", "numba", "scikit-learn", "umap-learn")
_COUNTED_AT_ONCE = 256


@dataclass(frozen=True, eq=False)
class Stratification:
    """Strata and where they are from.

    Attributes:
        strata: at least one; the largest cluster first, noise last.
        documents: that were clustered.
        labels: (documents,) cluster of each; -1 is noise.
        coordinates: (documents, dimensions) where the clusters were found.
        about: plain JSON for the manifest.
    """

    strata: tuple[Stratum, ...]
    documents: tuple[Document, ...]
    labels: NDArray[np.int64]
    coordinates: Vectors
    about: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class ClusterSampler:
    """Parts documents into clusters and says what each is to give.

    Attributes:
        encoder: an `Encoder`, a callable, or an object with a method `encode`.
        reducer: "umap", "pca", "none", or an object with `fit_transform`.
        clusterer: an object with `fit_predict`; None is HDBSCAN.
        min_cluster_size: of HDBSCAN; None goes by the number of documents.
        allocation: of windows, by the "sqrt" of a cluster's text, "proportional" to it, or
            "equal".
        within: which documents of a cluster come first: "random", "nearest" or "spread".
        folder: where embeddings are kept; None keeps none.
        on_stage: told what is being done.

    Example:
        >>> from evop_deap.calibration.embedding import TfidfEncoder
        >>> ClusterSampler(encoder=TfidfEncoder(), reducer="none").allocation
        'sqrt'
    """

    encoder: Any
    reducer: Any = "umap"
    clusterer: Any = None
    min_cluster_size: int | None = None
    allocation: str = "sqrt"
    within: str = "random"
    folder: Path | None = None
    on_stage: Callable[[str], object] = lambda text: None

    def __call__(
        self,
        documents: Sequence[Document],
        tokenizer: PreTrainedTokenizerBase,
        *,
        window: int,
        rng: np.random.Generator,
    ) -> Stratification:
        """Strata of documents that are to fill windows of so many tokens.

        Raises:
            InputError: the encoder, the reducer or the clusterer cannot be used.
        """
        capacity = capacity_of(window, special_prefix(tokenizer))
        # Drawn apart, so that another order within clusters leaves the clusters as they are.
        to_cluster, to_order = rng.spawn(2)
        self.on_stage(f"embedding {len(documents)} documents")
        vectors = embed([d.text for d in documents], self.encoder, folder=self.folder)
        self.on_stage(f"clustering {len(documents)} documents")
        found = cluster(
            vectors,
            rng=to_cluster,
            reducer=self.reducer,
            clusterer=self.clusterer,
            min_cluster_size=self.min_cluster_size,
        )
        for note in found.notes:
            self.on_stage(note)
        sizes = text_sizes(token_counts(documents, tokenizer), capacity)
        labels, small = _without_small(found.labels, sizes, capacity)
        strata = _strata(documents, vectors, labels, sizes, self.allocation, self.within, to_order)
        encoder = as_encoder(self.encoder)
        about = {
            "embedding": {
                "name": encoder.name,
                "fingerprint": encoder.fingerprint,
                "dimensions": vectors.shape[1],
            },
            **found.parameters,
            "allocation": self.allocation,
            "within": self.within,
            "notes": [*found.notes, *small],
            "clusters": _described(documents, vectors, labels, strata),
            "versions": {name: version(name) for name in _VERSIONED},
        }
        return Stratification(strata, tuple(documents), labels, found.coordinates, about)


def token_counts(
    documents: Sequence[Document], tokenizer: PreTrainedTokenizerBase
) -> NDArray[np.int64]:
    """(documents,) tokens of each, a few at a time."""
    counts: list[int] = []
    for first in range(0, len(documents), _COUNTED_AT_ONCE):
        some = documents[first : first + _COUNTED_AT_ONCE]
        counts += [len(ids) for ids in tokenised(tokenizer, [d.text for d in some])]
    return np.array(counts, dtype=np.int64)


def _without_small(
    labels: NDArray[np.int64], sizes: NDArray[np.int64], capacity: int
) -> tuple[NDArray[np.int64], list[str]]:
    """Clusters too small to fill a window count as noise, for a window is of one stratum."""
    small = [
        label
        for label in range(int(labels.max(initial=NOISE)) + 1)
        if int(sizes[labels == label].sum()) < capacity
    ]
    if not small:
        return labels, []
    kept = [label for label in range(int(labels.max()) + 1) if label not in small]
    renamed = np.full_like(labels, NOISE)
    for rank, label in enumerate(kept):
        renamed[labels == label] = rank
    return renamed, [f"{len(small)} clusters that fill no window were put with the noise"]


def _strata(
    documents: Sequence[Document],
    vectors: Vectors,
    labels: NDArray[np.int64],
    sizes: NDArray[np.int64],
    allocation: str,
    within: str,
    rng: np.random.Generator,
) -> tuple[Stratum, ...]:
    """A stratum for each label whose documents have any text, noise last."""
    texts = {label: int(sizes[labels == label].sum()) for label in np.unique(labels).tolist()}
    names = sorted((label for label, size in texts.items() if size), key=lambda n: (n < 0, n))
    shares = shares_of([texts[name] for name in names], allocation)
    # A stream for each, so that one cluster more leaves the others' order as it is.
    streams = dict(zip(names, rng.spawn(len(names)), strict=True))
    strata = []
    for name, share in zip(names, shares.tolist(), strict=True):
        (members,) = np.nonzero(labels == name)
        order = members[order_within(vectors[members], within, streams[name])]
        strata.append(
            Stratum(name, tuple(documents[i] for i in order.tolist()), share, float(texts[name]))
        )
    return tuple(strata)


def _described(
    documents: Sequence[Document],
    vectors: Vectors,
    labels: NDArray[np.int64],
    strata: Sequence[Stratum],
) -> list[dict[str, Any]]:
    """What is in each stratum, in words."""
    texts = [[document.text for document in stratum.documents] for stratum in strata]
    described = []
    for stratum, words in zip(strata, characteristic_words(texts), strict=True):
        (members,) = np.nonzero(labels == stratum.label)
        centre = centre_of(vectors[members])
        middle = documents[int(members[int((vectors[members] @ centre).argmax())])]
        described.append(
            {
                "cluster": stratum.label,
                "documents": len(members),
                "tokens": int(stratum.size),
                "share": stratum.share,
                "words": words,
                "sample": sample_line(middle.text),
            }
        )
    return described
