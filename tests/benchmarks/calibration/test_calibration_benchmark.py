"""The benchmark of sampling strategies, on losses that are made up and on a toy model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from benchmarks.calibration.__main__ import main
from benchmarks.calibration.loss_matrix import load_matrix, patterns_like
from benchmarks.calibration.replay import Pool, kendall, replay, strategies
from benchmarks.calibration.replay_tables import summary_table
from evop_deap.base.errors import InputError


@pytest.fixture(scope="module")
def pool() -> Pool:
    """Four domains whose windows answer patterns in ways of their own; clusters know them."""
    rng = np.random.default_rng(0)
    domains = np.repeat([0, 1, 2, 3, -1], [100, 60, 30, 10, 20])
    ways = rng.normal(size=(24, 4))
    levels = rng.normal(3, 0.2, size=(24, 1))
    answers = levels + 0.2 * ways[:, domains] + 0.1 * rng.normal(size=(24, len(domains)))
    clusters = domains.copy()
    clusters[rng.permutation(200)[:20]] = -1
    return Pool(
        losses=answers[:16],
        groups=np.repeat([2, 3], 8),
        probes=answers[16:],
        domains=domains,
        clusters=clusters,
        centroids=clusters + 1,
        vectors=rng.normal(size=(len(domains), 4)).astype(np.float32),
    )


def test_every_strategy_gives_figures_with_intervals(pool) -> None:
    chosen = strategies(pool, ["a", "b", "c", "d"])
    rows = replay(pool, chosen, [4, 16], draws=30, seed=0)
    assert {row["strategy"] for row in rows} == set(chosen)
    for row in rows:
        assert row["draws"] == 30
        assert row["windows_had"] <= row["windows"]
        for truth in ("tokens", "domains"):
            figure = row[f"kendall_{truth}"]
            assert figure["confidence"][0] <= figure["mean"] <= figure["confidence"][1]
            assert figure["spread"][0] <= figure["spread"][1]
            assert row[f"regret_{truth}"]["mean"] >= 0
    by_name = {(row["strategy"], row["windows"]): row for row in rows}
    one, all_of_them = by_name["only a", 16], by_name["domains", 16]
    assert one["kendall_tokens"]["mean"] < all_of_them["kendall_tokens"]["mean"]
    assert replay(pool, chosen, [4, 16], draws=30, seed=0) == rows


def test_a_choice_is_of_different_windows_at_hand(pool) -> None:
    rng = np.random.default_rng(1)
    at_hand = np.sort(rng.permutation(200)[:100])
    for name, strategy in strategies(pool, ["a", "b", "c", "d"]).items():
        choice = strategy(pool, at_hand, 12, np.random.default_rng(2))
        windows = choice.windows.tolist()
        assert len(set(windows)) == len(windows) <= 12
        if name != "only other text":
            assert set(windows) <= set(at_hand.tolist())
        if choice.weights is not None:
            assert len(choice.weights) == len(windows)
            assert choice.weights.mean() == pytest.approx(1)


def test_tau_is_one_for_the_same_order_and_minus_one_for_the_other() -> None:
    values = np.array([3.0, 1.0, 2.0])
    assert kendall(values, 10 * values) == 1
    assert kendall(values, -values) == -1


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    words = {"fruit": "apple pear plum cherry", "sea": "wave sail tide boat"}
    rows = [
        {"id": f"{d}-{i}", "domain": d, "text": " ".join(rng.choice(w.split(), size=40))}
        for d, w in words.items()
        for i in range(60)
    ]
    path = tmp_path_factory.mktemp("corpus") / "kinds.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_clusters_are_judged_by_a_column_that_they_do_not_see(
    corpus, toy_checkpoint, tmp_path, capsys
) -> None:
    report = tmp_path / "clusters.json"
    common = ["--corpus", str(corpus), "--model", str(toy_checkpoint), "--embedding", "tfidf"]
    sizes = ["--window", "16", "--tokens", "256", "--reducer", "pca", "--json", str(report)]
    main(["clusters", *common, *sizes])
    found = json.loads(report.read_text())
    assert found["homogeneity"] == pytest.approx(1)
    assert 0 < found["nmi"] <= 1 + 1e-9
    assert 0 <= found["noise"] < 1
    assert (found["clusters"], found["domains"], found["domains_drawn"]) == (2, 2, 2)
    assert found["seconds"] > 0
    assert found["peak_memory_mib"] > 0
    assert "| documents | clusters |" in capsys.readouterr().out
    main(["clusters", *common, *sizes, "--repeat-to", "500"])
    assert json.loads(report.read_text())["documents"] == 500
    with pytest.raises(InputError, match="`repeat_to` must be above the 120 documents"):
        main(["clusters", *common, *sizes, "--repeat-to", "50"])


def test_a_corpus_without_domains_is_refused(tmp_path) -> None:
    (tmp_path / "plain.jsonl").write_text('{"text": "a"}\n')
    with pytest.raises(InputError, match="must be JSON lines with `id`, `domain` and `text`"):
        main(["clusters", "--corpus", str(tmp_path / "plain.jsonl")])


@pytest.mark.slow
def test_strategies_are_replayed_on_a_matrix_of_a_model(corpus, toy_checkpoint, tmp_path) -> None:
    report, losses = tmp_path / "replay.json", tmp_path / "losses.npz"
    other = tmp_path / "other.txt"
    other.write_text("\n\n".join(f"Another text, number {i}. " * 30 for i in range(20)))
    common = ["losses", "--corpus", str(corpus), "--other", str(other), "--model",
              str(toy_checkpoint), "--pool-tokens", "960", "--other-tokens", "64",
              "--dtype", "float32"]  # fmt: skip
    main(
        [*common, "--window", "16", "--sparsities", "0.4", "0.6", "--random", "6", "--near", "3",
         "--generations", "1", "--probes", "3", "--output", str(losses)]
    )  # fmt: skip
    longer = tmp_path / "longer.npz"
    main([*common, "--window", "32", "--like", str(losses), "--output", str(longer)])
    known, again = load_matrix(losses), load_matrix(longer)
    assert (again.patterns == known.patterns).all()
    assert (again.probes == known.probes).all()
    assert again.sums.shape == (len(known.patterns), 32)
    assert np.isfinite(again.sums).all()
    main(
        ["replay", "--losses", str(losses), "--embedding", "tfidf", "--budgets", "64",
         "--draws", "20", "--json", str(report)]
    )  # fmt: skip
    (pool,) = json.loads(report.read_text())["pools"]
    assert (pool["windows"], pool["other_windows"]) == (60, 4)
    assert pool["patterns"] >= 4
    assert {row["strategy"] for row in pool["rows"]} >= {"random", "herding", "only other text"}


def test_what_is_no_matrix_of_losses_is_refused(tmp_path) -> None:
    (tmp_path / "losses.npz").write_text("nothing")
    with pytest.raises(InputError, match="`losses` .*losses.npz is no matrix of losses"):
        main(["replay", "--losses", str(tmp_path / "losses.npz")])
    with pytest.raises(InputError, match="`like` .*losses.npz is no matrix of losses"):
        patterns_like(tmp_path / "losses.npz", prepared=cast(Any, None))  # not used


def test_the_readme_shows_the_replay_that_is_kept() -> None:
    folder = Path(__file__).parents[3] / "benchmarks" / "calibration"
    kept = folder / "results/replay.demo.json"
    report = json.loads(kept.read_text(encoding="utf-8"))
    assert [pool["window"] for pool in report["pools"]] == [128, 256]
    assert {row["draws"] for pool in report["pools"] for row in pool["rows"]} == {1000}
    assert summary_table(report) in (folder / "README.md").read_text(encoding="utf-8")
