"""CCDS, EvoP's cluster-based calibration sampling (arXiv 2502.14910, section 3.2).

Documents are embedded and clustered. Every cluster is a stratum, and so is the noise. Options
choose the number of windows of each stratum and the order of its documents.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evop_deap.base.formatting import counted
from evop_deap.calibration.balance import shares_of
from evop_deap.calibration.cluster_words import characteristic_words, sample_line
from evop_deap.calibration.clustering import NOISE
from evop_deap.calibration.embedding import as_encoder, embed
from evop_deap.calibration.embedding.encoder import Vectors
from evop_deap.calibration.kept_clusters import kept_cluster
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
    """Strata and the clustering that they come from.

    Attributes:
        strata: at least one; the largest cluster first, noise last.
        documents: the documents that were clustered.
        labels: (documents,) cluster of each document; -1 is noise.
        coordinates: (documents, dimensions) points that were clustered, after the reduction.
        about: plain JSON for the manifest.
    """

    strata: tuple[Stratum, ...]
    documents: tuple[Document, ...]
    labels: NDArray[np.int64]
    coordinates: Vectors
    about: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class ClusterSampler:
    """Splits documents into clusters, and sets the share of windows of each.

    Attributes:
        encoder: an `Encoder`, a callable, or an object with a method `encode`.
        reducer: "umap", "pca", "none", or an object with `fit_transform`.
        clusterer: an object with `fit_predict`; None for HDBSCAN.
        min_cluster_size: parameter of HDBSCAN; by default it depends on the number of documents.
        allocation: windows of a cluster: by the "sqrt" of the size of its text, "proportional"
            to it, or "equal".
        within: order of the documents in a cluster: "random", "nearest" or "spread".
        folder: where embeddings are cached; None for no cache.
        clusters: where clusterings are cached, likewise.
        on_stage: called with a message at each stage.

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
    clusters: Path | None = None
    on_stage: Callable[[str], object] = lambda text: None

    def __call__(
        self,
        documents: Sequence[Document],
        tokenizer: PreTrainedTokenizerBase,
        *,
        window: int,
        rng: np.random.Generator,
    ) -> Stratification:
        """Return strata of the documents for windows of `window` tokens.

        Raises:
            InputError: the encoder, the reducer or the clusterer cannot be used.
        """
        capacity = capacity_of(window, special_prefix(tokenizer))
        # Two streams, so that another order within clusters does not change the clusters.
        to_cluster, to_order = rng.spawn(2)
        self.on_stage(f"embedding {counted(len(documents), 'document')}")
        encoder = as_encoder(self.encoder)
        texts, fingerprint = [d.text for d in documents], encoder.fingerprint
        vectors = embed(texts, encoder, folder=self.folder, fingerprint=fingerprint)
        self.on_stage(f"clustering {counted(len(documents), 'document')}")
        found = kept_cluster(
            vectors,
            rng=to_cluster,
            reducer=self.reducer,
            clusterer=self.clusterer,
            min_cluster_size=self.min_cluster_size,
            folder=self.clusters,
        )
        for note in found.notes:
            self.on_stage(note)
        sizes = text_sizes(token_counts(documents, tokenizer), capacity)
        labels, small = _without_small(found.labels, sizes, capacity)
        strata = _strata(documents, vectors, labels, sizes, self.allocation, self.within, to_order)
        about = {
            "embedding": {
                "name": encoder.name,
                "fingerprint": fingerprint,
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
    """Return the number of tokens of each document: (documents,)."""
    counts: list[int] = []
    for first in range(0, len(documents), _COUNTED_AT_ONCE):
        some = documents[first : first + _COUNTED_AT_ONCE]
        counts += [len(ids) for ids in tokenised(tokenizer, [d.text for d in some])]
    return np.array(counts, dtype=np.int64)


def _without_small(
    labels: NDArray[np.int64], sizes: NDArray[np.int64], capacity: int
) -> tuple[NDArray[np.int64], list[str]]:
    """Label clusters that cannot fill a window as noise, because a window is from one stratum."""
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
    return renamed, [
        f"too small to fill a window, and thus noise: {counted(len(small), 'cluster')}"
    ]


def _strata(
    documents: Sequence[Document],
    vectors: Vectors,
    labels: NDArray[np.int64],
    sizes: NDArray[np.int64],
    allocation: str,
    within: str,
    rng: np.random.Generator,
) -> tuple[Stratum, ...]:
    """Return a stratum for each label whose documents have text, noise last."""
    texts = {label: int(sizes[labels == label].sum()) for label in np.unique(labels).tolist()}
    names = sorted((label for label, size in texts.items() if size), key=lambda n: (n < 0, n))
    shares = shares_of([texts[name] for name in names], allocation)
    # A stream for each, so that an additional cluster does not change the order of the others.
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
    """Describe each stratum for the manifest: size, share, words and a sample line."""
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
