"""Calibration by clusters: every kind of text is heard, and the manifest says how."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest

from evop_deap.base.errors import InputError
from evop_deap.calibration import ClusterSampler, Corpus, Document, build_calibration, make_corpus
from evop_deap.calibration.cluster_words import characteristic_words, sample_line
from evop_deap.calibration.embedding import TfidfEncoder
from evop_deap.calibration.within_cluster import order_within

KINDS = {
    "fruit": "apple pear plum cherry grape orchard juice ripe harvest basket",
    "sea": "wave sail harbour tide anchor boat storm captain shore mast",
    "music": "violin chord tempo melody choir rhythm opera sonata cello score",
}
COUNTS = {"fruit": 60, "sea": 40, "music": 20}
WINDOW = 16


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    rng = np.random.default_rng(0)
    documents = [
        Document(f"{kind}-{i}", " ".join(rng.choice(KINDS[kind].split(), size=30)))
        for kind, count in COUNTS.items()
        for i in range(count)
    ]
    return make_corpus("kinds", [documents[i] for i in rng.permutation(len(documents))])


def built(corpus: Corpus, tokenizer, *, sampler: dict | None = None, **changes):
    options = {"encoder": TfidfEncoder(), "reducer": "none", **(sampler or {})}
    arguments = {"window": WINDOW, "tokens": 30 * WINDOW, "heldout_tokens": WINDOW, "seed": 1}
    return build_calibration(
        corpus,
        tokenizer,
        **{"stratify": ClusterSampler(**options), "strategy": "ccds", **arguments, **changes},
    )


def kinds_of(made) -> list[str]:
    return [stretches[0].document.split("-")[0] for stretches in made.calibration.stretches]


def test_every_kind_is_heard_by_its_share_from_the_beginning(corpus, tokenizer) -> None:
    made = built(corpus, tokenizer)
    clusters = made.manifest["clustering"]["clusters"]
    assert [entry["cluster"] for entry in clusters if entry["cluster"] >= 0] == [0, 1, 2]
    assert sum(entry["windows"] for entry in clusters) == 30
    assert set(kinds_of(made)[:4]) == set(KINDS)
    heard = Counter(kinds_of(made))
    assert heard["fruit"] > heard["sea"] > heard["music"] >= 3


def test_equal_shares_hear_every_kind_as_often(corpus, tokenizer) -> None:
    heard = Counter(kinds_of(built(corpus, tokenizer, sampler={"allocation": "equal"})))
    assert max(heard.values()) - min(heard.values()) <= 2


def test_the_same_seed_gives_the_same_set_and_another_another(corpus, tokenizer) -> None:
    one, two, other = (built(corpus, tokenizer, seed=seed) for seed in (1, 1, 2))
    assert one.manifest == two.manifest
    assert one.calibration.fingerprint != other.calibration.fingerprint


def test_more_tokens_leave_the_first_windows_as_they_are(corpus, tokenizer) -> None:
    few, more = built(corpus, tokenizer), built(corpus, tokenizer, tokens=60 * WINDOW)
    assert np.array_equal(more.calibration.tokens[:30], few.calibration.tokens)


def test_no_heldout_document_is_seen_by_the_encoder(corpus, tokenizer) -> None:
    seen: list[str] = []

    def watching(texts):
        seen.extend(texts)
        return TfidfEncoder().encode(texts)

    made = built(corpus, tokenizer, sampler={"encoder": watching})
    plain = build_calibration(
        corpus, tokenizer, window=WINDOW, tokens=WINDOW, heldout_tokens=WINDOW, seed=1
    )
    assert made.heldout.fingerprint == plain.heldout.fingerprint
    texts = {document.id: document.text for document in corpus.documents}
    held = {texts[entry["id"]] for entry in made.manifest["heldout"]["documents"]}
    assert held
    assert not held & set(seen)


def test_the_manifest_names_cluster_words_and_a_sample(corpus, tokenizer) -> None:
    manifest = built(corpus, tokenizer).manifest
    assert json.loads(json.dumps(manifest)) == manifest
    about = manifest["clustering"]
    for entry in about["clusters"]:
        if entry["cluster"] < 0:
            continue
        (words,) = (w.split() for w in KINDS.values() if entry["words"][0] in w.split())
        assert set(entry["words"]) <= set(words)
        assert entry["sample"].split()[0] in words
        assert entry["documents"] > 0
    clusters = {d["id"]: d["cluster"] for d in manifest["calibration"]["documents"]}
    for label, window in zip(
        manifest["calibration"]["clusters"], manifest["calibration"]["windows"], strict=True
    ):
        assert {clusters[stretch["document"]] for stretch in window} == {label}
    assert about["embedding"]["name"] == "tfidf"
    assert {"hdbscan", "umap-learn", "scikit-learn"} <= set(about["versions"])
    assert (about["allocation"], about["within"]) == ("sqrt", "random")


def test_weights_say_what_a_window_of_each_cluster_counts(corpus, tokenizer) -> None:
    made = built(corpus, tokenizer, sampler={"allocation": "equal"}, weighting="corpus")
    assert made.weights is not None
    assert made.weights.mean() == pytest.approx(1)
    shares = {e["cluster"]: e["tokens"] for e in made.manifest["clustering"]["clusters"]}
    labels = np.array(made.manifest["calibration"]["clusters"])
    total = sum(shares[label] for label in set(labels.tolist()))
    for label in set(labels.tolist()):
        assert made.weights[labels == label].sum() / 30 == pytest.approx(shares[label] / total)
    assert made.manifest["calibration"]["weights"] == made.weights.tolist()
    assert built(corpus, tokenizer).weights is None


def test_responses_choose_among_four_times_as_many_windows(corpus, tokenizer) -> None:
    pools: list[np.ndarray] = []

    def respond(tokens):
        pools.append(tokens)
        return np.stack([tokens.mean(axis=1), tokens.std(axis=1)])

    made = built(corpus, tokenizer, respond=respond)
    (pool,) = pools
    assert len(pool) == 120
    assert len(made.calibration.tokens) == 30
    assert {row.tobytes() for row in made.calibration.tokens} <= {row.tobytes() for row in pool}
    error = np.abs(respond(made.calibration.tokens).mean(axis=1) - respond(pool).mean(axis=1))
    plain = np.abs(respond(pool[:30]).mean(axis=1) - respond(pool).mean(axis=1))
    assert error.sum() < plain.sum()
    assert made.manifest["select"]["by"] == "response"


def test_responses_choose_without_clusters_too(corpus, tokenizer) -> None:
    made = built(corpus, tokenizer, stratify=None, respond=lambda tokens: tokens[None].mean(axis=2))
    assert made.calibration.tokens.shape == (30, WINDOW)


@pytest.mark.parametrize("count", [2, 5, 30])
def test_small_corpora_are_one_cluster_and_a_set_all_the_same(tokenizer, count: int) -> None:
    small = make_corpus(
        "small", [Document(str(i), f"Text {i} of a small corpus. " * 4) for i in range(count)]
    )
    made = built(small, tokenizer, tokens=WINDOW)
    assert made.calibration.tokens.shape == (1, WINDOW)
    assert made.manifest["clustering"]["clusters"]


def test_clusters_that_fill_no_window_are_heard_with_the_noise(tokenizer) -> None:
    texts = {"long": "many words of one kind here " * 12, "tiny": "x"}
    documents = [Document(f"{kind}-{i}", f"{texts[kind]}{i}") for i in range(24) for kind in texts]

    def by_length(texts):
        rng = np.random.default_rng(0)
        base = np.array([[1.0, 0.0] if len(text) > 9 else [0.0, 1.0] for text in texts])
        return base + rng.normal(scale=0.01, size=base.shape)

    made = built(
        make_corpus("two", documents),
        tokenizer,
        sampler={"encoder": by_length},
        window=128,
        tokens=128 * 8,
        heldout_tokens=128,
    )
    labels = [entry["cluster"] for entry in made.manifest["clustering"]["clusters"]]
    assert -1 in labels
    assert any("too small to fill" in note for note in made.manifest["clustering"]["notes"])


def test_within_a_cluster_order_is_by_the_centre_by_distance_or_by_chance() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(30, 4)).astype(np.float32) + 2
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    centre = vectors.mean(axis=0)
    nearest = order_within(vectors, "nearest", rng)
    assert np.all(np.diff((vectors @ centre)[nearest]) <= 1e-6)
    spread = order_within(vectors, "spread", rng)
    assert spread[0] == nearest[0]
    assert spread[1] == (vectors @ vectors[spread[0]]).argmin()
    for order in (nearest, spread, order_within(vectors, "random", rng)):
        assert sorted(order.tolist()) == list(range(30))
    with pytest.raises(InputError, match="`within` must be random, nearest or spread"):
        order_within(vectors, "best", rng)


def test_spreading_over_a_large_cluster_ends_with_the_nearest() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(700, 3)).astype(np.float32)
    order = order_within(vectors, "spread", rng)
    assert sorted(order.tolist()) == list(range(700))


def test_words_and_samples_of_odd_texts() -> None:
    assert characteristic_words([["1 2 3"], []]) == [[], []]
    assert sample_line("a\n\n b\tc") == "a b c"
    assert len(sample_line("word " * 100)) <= 100
