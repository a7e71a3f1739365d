"""The board on a toy model: its files, its rerunning, its tables and what it refuses."""

from __future__ import annotations

import copy
import itertools
import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.board.__main__ import main
from benchmarks.board.limit import main as limit
from benchmarks.board.making import missing_cells
from benchmarks.board.making.cells import ALL, Cell, cells_of
from benchmarks.board.making.run_files import Run, check_protocol, path_of, read_runs, write_run
from benchmarks.board.making.texts import calibration_of, heldout_text, joined_corpus
from benchmarks.board.tables.board_tables import board_tables, cells_in
from benchmarks.board.tables.comparison import comparison
from benchmarks.board.tables.picture import draw_board
from benchmarks.board.tables.ratios import mean_ratio, perplexity, ratio
from benchmarks.board.tables.zero_shot import accuracy_table
from benchmarks.common.exclusive_files import claimed
from evop_deap.base.errors import InputError
from evop_deap.evaluation.perplexity import measure_perplexity
from evop_deap.fitness.landscape import Landscape, save_landscape
from evop_deap.fitness.model.reference import ReferenceEvaluator
from evop_deap.models.anatomy.find_anatomy import find_anatomy
from evop_deap.models.loading.load_model import load_model
from evop_deap.space import Unit
from evop_deap.text.whole_texts import read_text

WORDS = {"fruit": "apple pear plum cherry", "sea": "wave sail tide boat"}


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Mixed text of two domains, a text to judge on, and questions."""
    folder = tmp_path_factory.mktemp("texts")
    rng = np.random.default_rng(0)
    rows = [
        {"id": f"{domain}-{i}", "domain": domain, "text": f"{i} " + " ".join(rng.choice(w, 40))}
        for domain, w in ((domain, words.split()) for domain, words in WORDS.items())
        for i in range(30)
    ]
    (folder / "mixed.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "wiki.test.raw").write_text(" \n = Boats = \n \n A boat sails by the tide . \n" * 40)
    questions = [{"goal": f"Go {i}", "sol1": "by sea", "sol2": "run", "label": i % 2}
                 for i in range(4)]  # fmt: skip
    (folder / "piqa.jsonl").write_text("".join(json.dumps(row) + "\n" for row in questions))
    return folder


def arguments(texts: Path, toy: Path, output: Path, *more: str) -> list[str]:
    mixed = str(texts / "mixed.jsonl")
    return [
        "--model", str(toy), "--output", str(output), "--corpus", mixed, "--heldout", mixed,
        "--wiki-test", str(texts / "wiki.test.raw"), "--wiki-window", "32", "--wiki-tokens", "128",
        "--heldout-window", "32", "--heldout-tokens", "96", "--window", "16", "--tokens", "64",
        "--max-cost", "6", "--seeds", "1", *more,
    ]  # fmt: skip


QUICK = ["--sparsity", "0.4", "--granularity", "block"]


@pytest.fixture(scope="module")
def folder(texts: Path, toy_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A board of two granularities, a merge and questions among them."""
    output = tmp_path_factory.mktemp("boards") / "board"
    more = ["--sparsity", "0.4", "--methods", "search", "random", "last", "laco", "blockpruner"]
    tasks = ["--tasks-from", str(texts), "--tasks", "piqa", "--seeds", "2"]
    assert main(arguments(texts, toy_checkpoint, output, *more, *tasks)) == 0
    return output


def test_every_method_that_is_defined_has_a_file_and_chance_has_its_seeds(folder: Path) -> None:
    blocks = [f"block-0.4-{name}" for name in ("search-0", "search-1", "random-0", "random-1")]
    halves = [name.replace("block", "half") for name in blocks]
    rules = ["block-0.4-last-0", "half-0.4-last-0", "block-0.4-laco-0", "half-0.4-blockpruner-0"]
    found = {path.stem for path in folder.iterdir()}
    assert found == {"dense", *blocks, *halves, *rules}


def test_a_run_says_what_it_did_and_what_that_is_worth(
    folder: Path, texts: Path, toy_checkpoint: Path
) -> None:
    run = json.loads((folder / "half-0.4-blockpruner-0.json").read_text())
    assert {"versions", "machine", "date", "commit"} <= set(run)
    assert run["cell"] == {
        "method": "blockpruner", "sparsity": 0.4, "granularity": "half", "seed": 0,
    }  # fmt: skip
    dropped = run["found"]["dropped"]
    assert (len(dropped), run["found"]["units"]) == (4, 10)
    assert run["found"]["evaluations"] == 10 + 9 + 8 + 7
    assert run["found"]["cost"] > 0
    # Judged as a removed model; bypassing the same halves is the reference.
    loaded = load_model(str(toy_checkpoint))
    anatomy = find_anatomy(loaded.model, "half")
    names = [f"{i}.{half}" for i in range(5) for half in ("attn", "mlp")]
    pattern = tuple(int(name not in dropped) for name in names)
    text = read_text(str(texts / "wiki.test.raw"))
    (entry,) = (e for e in run["judged"]["perplexity"] if e["role"] == "wiki")
    (ids,) = loaded.tokenizer([text.parts[""]], return_tensors="np").input_ids[:, :128]
    judged = ReferenceEvaluator(loaded.model, anatomy, ids.reshape(4, 32)).evaluate([pattern])
    assert entry["losses"] == pytest.approx((judged.sums / judged.tokens)[0].tolist(), rel=1e-4)
    assert entry["perplexity"] == pytest.approx(math.exp(np.mean(entry["losses"])), rel=1e-4)
    assert [e["domain"] for e in run["judged"]["perplexity"]] == ["", "fruit", "sea"]
    assert {score["metric"]: len(score["scores"]) for score in run["judged"]["tasks"]} == {
        "acc": 4, "acc_norm": 4,
    }  # fmt: skip


def test_the_dense_model_is_judged_as_it_is(
    folder: Path, texts: Path, toy_checkpoint: Path
) -> None:
    run = json.loads((folder / "dense.json").read_text())
    loaded = load_model(str(toy_checkpoint))
    text = read_text(str(texts / "wiki.test.raw"))
    (expected,) = measure_perplexity(loaded.model, loaded.tokenizer, text, window=32, max_windows=4)
    assert run["judged"]["perplexity"][0]["losses"] == pytest.approx(expected.losses, rel=1e-6)
    assert run["found"]["dropped"] == []


def test_searches_do_better_on_their_calibration_set_than_chance(folder: Path) -> None:
    # Not each of them: a toy's patterns are near-equals, among which validation text decides.
    runs = {name: [json.loads(path.read_text()) for path in folder.glob(f"*-{name}-*.json")]
            for name in ("search", "random")}  # fmt: skip
    assert len(runs["search"]) == len(runs["random"]) == 4
    losses = {name: sum(run["found"]["calibration_loss"] for run in runs[name]) for name in runs}
    assert losses["search"] < losses["random"]
    assert all(run["protocol"] == runs["search"][0]["protocol"] for run in runs["random"])


@pytest.mark.slow
def test_quick_needs_no_file_and_yields_to_what_is_given(
    toy_checkpoint: Path, tmp_path: Path
) -> None:
    sizes = ["--window", "16", "--tokens", "64", "--heldout-window", "32", "--heldout-tokens", "64"]
    command = ["--quick", "--model", str(toy_checkpoint), "--output", str(tmp_path), *sizes]
    assert main([*command, "--sparsity", "0.4", "--max-cost", "4"]) == 0
    runs = read_runs(tmp_path)
    methods = {run["cell"]["method"] for run in runs}
    assert {"dense", "search", "sleb", "evopress", "block-influence"} <= methods
    assert {run["cell"]["sparsity"] for run in runs} == {0.0, 0.4}
    domains = {entry["domain"] for run in runs for entry in run["judged"]["perplexity"]}
    assert domains == {"docstring", "licence", "reference", "source"}
    assert runs[0]["protocol"]["max_cost"] == 4.0


def test_running_again_makes_what_is_missing_and_nothing_else(
    texts: Path, toy_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = arguments(texts, toy_checkpoint, tmp_path / "b", *QUICK, "--methods", "last", "sleb")
    assert main(command) == 0
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "b").iterdir()}
    sleb = tmp_path / "b" / "block-0.4-sleb-0.json"
    found = {k: v for k, v in json.loads(sleb.read_text())["found"].items() if "seconds" not in k}
    sleb.unlink()
    (tmp_path / "b" / ".block-0.4-sleb-0.json.0123abcd.part").write_text('{"protocol":')
    capsys.readouterr()
    assert main(command) == 0
    assert "2 of 3 cells are there already" in capsys.readouterr().err
    after = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "b").iterdir()}
    assert {name for name in after if after[name] != before[name]} == {sleb.name}
    again = json.loads(sleb.read_text())["found"]
    assert {k: v for k, v in again.items() if "seconds" not in k} == found


def test_what_another_process_is_at_is_left_to_it(
    texts: Path, toy_checkpoint: Path, tmp_path: Path
) -> None:
    command = arguments(texts, toy_checkpoint, tmp_path / "b", *QUICK, "--methods", "last", "sleb")
    with claimed(path_of(tmp_path / "b", "block-0.4-sleb-0")) as mine:
        assert mine
        assert main(command) == 0
        assert {run["cell"]["method"] for run in read_runs(tmp_path / "b")} == {"dense", "last"}
    assert main(command) == 0
    assert {run["cell"]["method"] for run in read_runs(tmp_path / "b")} == {"dense", "last", "sleb"}


def test_an_interrupted_board_goes_on_by_the_same_command(
    texts: Path,
    toy_checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    prune = missing_cells.prune

    def interrupted(bench: Any, cell: Cell) -> Any:
        if cell.method == "magnitude":
            raise KeyboardInterrupt
        return prune(bench, cell)

    command = arguments(texts, toy_checkpoint, tmp_path / "b", *QUICK)
    command += ["--methods", "last", "magnitude"]
    with monkeypatch.context() as patch:
        patch.setattr(missing_cells, "prune", interrupted)
        assert main(command) == 130
    assert "the same command makes what is missing" in capsys.readouterr().err
    assert len(read_runs(tmp_path / "b")) == 2
    assert main(command) == 0
    assert len(read_runs(tmp_path / "b")) == 3


@pytest.mark.slow
def test_a_killed_board_leaves_finished_cells_alone(
    texts: Path, toy_checkpoint: Path, tmp_path: Path
) -> None:
    output = tmp_path / "b"
    methods = ["sleb", "evopress", "search"]
    command = arguments(texts, toy_checkpoint, output, *QUICK, "--methods", *methods)
    child = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.board", *command],
        cwd=Path(__file__).parents[3],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while not (output / "dense.json").exists() and child.poll() is None:
        time.sleep(0.01)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    done = {run["cell"]["method"] for run in read_runs(output)}  # all whole
    assert "dense" in done
    assert main(command) == 0
    assert {run["cell"]["method"] for run in read_runs(output)} == {"dense", *methods}


def test_another_protocol_does_not_go_into_the_same_folder(
    texts: Path, toy_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = arguments(texts, toy_checkpoint, tmp_path / "b", *QUICK, "--methods", "last")
    assert main(command) == 0
    before = (tmp_path / "b" / "dense.json").read_bytes()
    for changed, says in (
        (["--max-cost", "7"], "max_cost 6.0, but now it is 7.0"),
        (["--tokens", "32"], "calibration.tokens 64, but now it is 32"),
        (["--wiki-tokens", "64"], "texts.0.tokens 128, but now it is 64"),
    ):
        capsys.readouterr()
        assert main([*command, *changed]) == 2
        said = capsys.readouterr().err.splitlines()[-1]
        assert said.startswith("error: `output` holds runs with ")
        assert says in said
    assert (tmp_path / "b" / "dense.json").read_bytes() == before


def test_a_method_that_cannot_be_run_stops_no_other(
    texts: Path,
    toy_checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    prune = missing_cells.prune

    def refusing(bench: Any, cell: Cell) -> Any:
        if cell.method == "random":
            raise InputError("`method` has had a bad day")
        return prune(bench, cell)

    monkeypatch.setattr(missing_cells, "prune", refusing)
    command = arguments(texts, toy_checkpoint, tmp_path / "b", *QUICK)
    assert main([*command, "--methods", "random", "last"]) == 1
    assert "random-0 could not be made: `method` has had a bad day" in capsys.readouterr().err
    assert {path.stem for path in (tmp_path / "b").iterdir()} == {"dense", "block-0.4-last-0"}


@pytest.mark.parametrize("compensation", [0, 64])
def test_no_held_out_document_decides_anything_before(
    compensation: int, texts: Path, toy_checkpoint: Path
) -> None:
    mixed = str(texts / "mixed.jsonl")
    loaded = load_model(str(toy_checkpoint))
    made = calibration_of(
        joined_corpus([mixed]), loaded, window=16, tokens=128, seed=0,
        compensation_tokens=compensation,
    )  # fmt: skip
    parts = ["calibration", "validation", *(["compensation"] if compensation else [])]
    used = {entry["id"] for part in parts for entry in made.manifest[part]["documents"]}
    text = heldout_text(mixed, made)
    rows = [json.loads(line) for line in (texts / "mixed.jsonl").read_text().splitlines()]
    for row in rows:
        assert (row["text"] in text.parts[row["domain"]].split("\n\n")) == (row["id"] not in used)
    assert 0 < len(used) < len(rows)


def test_several_corpora_are_one_with_ids_that_do_not_clash(texts: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.jsonl"
    other.write_text(json.dumps({"id": "sea-0", "text": "another sea"}) + "\n")
    corpus = joined_corpus([str(texts / "mixed.jsonl"), str(other)])
    ids = [document.id for document in corpus.documents]
    assert len(ids) == len(set(ids)) == 61
    assert {"mixed.jsonl/sea-0", "other.jsonl/sea-0"} <= set(ids)


def test_rules_without_chance_have_one_seed_and_a_board_of_one_seed_comes_first() -> None:
    cells = cells_of(ALL, [0.1, 0.2], ["block", "half"], seeds=3)
    assert cells[0].method == "dense"
    assert {cell.seed for cell in cells if cell.method in ("last", "sleb", "laco")} == {0}
    assert {cell.seed for cell in cells if cell.method == "evopress"} == {0, 1, 2}
    assert [cell.seed for cell in cells] == sorted(cell.seed for cell in cells)
    names = [cell.name for cell in cells]
    assert len(names) == len(set(names))
    assert not {"half-0.1-laco-0", "block-0.1-blockpruner-0"} & set(names)


def test_the_tables_are_made_of_the_files_alone(folder: Path, tmp_path: Path) -> None:
    said = board_tables(read_runs(folder))
    assert "### 2 of 5 blocks" in said
    assert "### 4 of 10 halves" in said
    assert "| **search** |" in said
    assert "over 2 cells" in said
    run = json.loads((folder / "block-0.4-last-0.json").read_text())
    rows = [line.strip("| ").split(" | ") for line in said.splitlines() if "| last |" in line]
    figures = {cell for row in rows for cell in row}
    found = run["found"]
    assert {f"{perplexity([run]):,.0f}", f"{found['cost']:.1f}"} <= figures
    accuracy = run["judged"]["tasks"][1]  # length-normalised
    assert f"{100 * accuracy['value']:.1f} ± {100 * accuracy['error']:.1f}" in figures
    copied = tmp_path / "copy"
    for one in read_runs(folder):
        write_run(copied, Cell(**one["cell"]).name, one)
    assert board_tables(read_runs(copied)) == said
    draw_board(cells_in(read_runs(folder)), tmp_path / "board.png")
    assert (tmp_path / "board.png").read_bytes().startswith(b"\x89PNG")


def asked(*values: float, error: float = 0.03) -> dict[str, Any]:
    tasks = [
        {
            "task": str(number), "metric": metric, "value": value, "error": error,
            "scores": "1" * round(10 * value) + "0" * round(10 - 10 * value),
        }
        for number, value in enumerate(values)
        for metric, value in (("acc", 0.0), ("acc_norm", value))
    ]  # fmt: skip
    return {"judged": {"tasks": tasks}}


def test_accuracies_are_length_normalised_means_over_tasks_runs_and_cells() -> None:
    cells = [
        ("few", {"sleb": [asked(0.4, 0.6), asked(0.5, 0.7)], "last": [asked(0.2, 0.2)]}),
        ("many", {"search": [asked(0.3, 0.4)], "sleb": [asked(0.1, 0.3)]}),
    ]
    table = accuracy_table([asked(0.6, 0.8)], cells)
    assert table is not None
    assert table.split("\n")[2:] == [
        "| dense | 70.0 ± 2.1 | 70.0 ± 2.1 | 70.0 ± 2.1 | -35.0 ± 11.2 |",
        "| sleb | 55.0 ± 2.1 | 20.0 ± 2.1 | 37.5 ± 2.1 | +15.0 ± 8.3 |",
        "| **search** | - | 35.0 ± 2.1 | - |  |",
        "| last | 20.0 ± 2.1 | - | - | - |",
    ]
    assert accuracy_table([asked(0.6)], cells[:1]) is None
    assert accuracy_table([asked()], cells) is None


def test_the_lead_of_the_search_is_paired_by_question() -> None:
    few = [("few", {"search": [asked(0.5, 0.9)], "sleb": [asked(0.5, 0.4), asked(0.5, 0.4)]})]
    table = accuracy_table([asked(0.5, 0.9)], few * 2)
    assert table is not None
    dense, search, sleb = table.split("\n")[2:]
    # The same five of ten right on the one task; five more of ten on the other, in every run.
    assert sleb.endswith(f"| +25.0 ± {100 / 2 * math.sqrt(0.25 / 9):.1f} |")
    assert dense.endswith("| +0.0 ± 0.0 |")  # though each alone has an error of some points
    assert search.endswith("|  |")
    without = accuracy_table([asked(0.5)], [("few", {"sleb": [asked(0.5)]})] * 2)
    assert without is not None
    assert without.split("\n")[0] == "| zero-shot | few | few | mean |"


def made_up(losses: dict[str, list[float]]) -> dict[str, Any]:
    entries = [{"role": "heldout", "domain": d, "window": 8, "losses": x, "perplexity": 1.0}
               for d, x in losses.items()]  # fmt: skip
    return {"judged": {"perplexity": entries}}


def test_domains_count_the_same_however_long_they_are() -> None:
    run = made_up({"short": [1.0], "long": [3.0, 3.0, 3.0]})
    assert perplexity([run]) == pytest.approx(math.exp(2.0))


def test_what_makes_a_window_hard_drops_out_of_an_interval() -> None:
    rng = np.random.default_rng(0)
    hard = {d: rng.normal(3, 1, 40) for d in ("a", "b")}
    noise = {d: rng.normal(0, 0.1, 40) for d in ("a", "b")}
    one = made_up({d: x.tolist() for d, x in hard.items()})
    other = made_up({d: (x + 0.1 + noise[d]).tolist() for d, x in hard.items()})
    found = ratio([one], [other])
    mean = np.mean([0.1 + x.mean() for x in noise.values()])
    assert found.value == pytest.approx(math.exp(-mean))
    error = math.sqrt(sum(x.var() / 40 for x in noise.values())) / 2
    assert math.log(found.high / found.low) == pytest.approx(2 * 1.96 * error, rel=0.1)
    assert found.low < found.value < found.high < 1


def test_seeds_that_differ_widen_an_interval() -> None:
    base = made_up({"a": [3.0] * 20})
    seeds = [made_up({"a": [loss] * 20}) for loss in (2.0, 3.0, 4.0)]
    alike, spread = ratio([base] * 3, [base]), ratio(seeds, [base])
    assert (alike.low, alike.high) == pytest.approx((1.0, 1.0))
    assert spread.value == pytest.approx(1.0)
    reach = 4.303 / math.sqrt(3)  # Student's t with two degrees of freedom
    assert math.log(spread.high / spread.low) == pytest.approx(2 * reach, rel=1e-3)


def test_seeds_of_two_boards_are_samples_of_their_own() -> None:
    base = made_up({"a": [3.0] * 20})
    seeds = [made_up({"a": [loss] * 20}) for loss in (2.0, 3.0, 4.0)]
    one, both = (mean_ratio([[(seeds, [base])]] * boards) for boards in (1, 2))
    alone, together = (math.log(found.high / found.low) for found in (one, both))
    # Twice as many degrees of freedom, too.
    assert together / alone == pytest.approx(2.776 / 4.303 / math.sqrt(2), rel=1e-3)


def test_windows_of_two_boards_are_the_same() -> None:
    easy, hard = made_up({"a": [1.0, 3.0]}), made_up({"a": [3.0, 1.0]})
    base = made_up({"a": [2.0, 2.0]})
    one = mean_ratio([[([easy], [base])]])
    both = mean_ratio([[([easy], [base])], [([hard], [base])]])
    assert one.low < 0.01 < 100 < one.high
    assert (both.low, both.high) == pytest.approx((1.0, 1.0))


def test_draws_that_both_methods_have_are_paired() -> None:
    def drawn(losses: tuple[float, ...], seeds: tuple[int, ...] = (0, 1, 2)) -> list[Run]:
        protocols = [{"protocol": {"calibration": {"seed": seed}}} for seed in seeds]
        return [
            {**made_up({"a": [loss] * 9}), **protocol}
            for loss, protocol in zip(losses, protocols, strict=True)
        ]

    one, other = (2.0, 3.0, 4.0), (2.1, 3.1, 4.1)
    paired = ratio(drawn(one), drawn(other))
    assert (paired.low, paired.high) == pytest.approx((math.exp(-0.1),) * 2)
    for seeds in ((0, 1, 3), (0, 0, 0)):
        apart = ratio(drawn(one), drawn(other, seeds))
        assert apart.low < 0.3 < 3.0 < apart.high


def test_ninety_five_of_a_hundred_intervals_hold_the_truth() -> None:
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        windows = {d: rng.normal(3, 1, 4) for d in "abc"}
        runs = [
            [
                made_up(
                    {d: (x + seed + rng.normal(0, 0.05, 4)).tolist() for d, x in windows.items()}
                )
                for seed in rng.normal(0, 0.1, 3)
            ]
            for _ in range(2)
        ]
        found = ratio(runs[0], runs[1])
        held += found.low < 1 < found.high
    assert 370 <= held <= 394


def test_the_search_stands_beside_each_rule_over_the_cells_that_it_was_run_in() -> None:
    def runs(loss: float, cost: float) -> list[Run]:
        return [{**made_up({"a": [loss] * 9}), "found": {"cost": cost}}]

    one = {"sleb": runs(2.8, 50.0), "search": runs(3.0, 55.0), "angular": runs(3.2, 2.0)}
    other = {"search": runs(4.0, 55.0), "sleb": runs(4.4, 90.0), "laco": runs(5.0, 9.0)}
    said = comparison([("few", one), ("many", other)])
    assert said is not None
    assert "over 2 cells: **0.905 (0.905 to 0.905)**" in said
    assert "The best: sleb (cost 50.0), sleb (cost 90.0)." in said
    assert "of each cell at equal or lower cost, geometric mean over 2 cells: **0.670 " in said
    assert "The best: sleb (cost 50.0), laco (cost 9.0)." in said
    rows = [line for line in said.splitlines() if line.startswith("| ")]
    assert rows == [
        "| held-out | few | many | search / this | highest mean cost |",
        "| --- | --- | --- | --- | --- |",
        "| **search** | 20.1 | 54.6 |  | 55.0 |",
        "| sleb | 16.4 | 81.5 | 0.905 (0.905 to 0.905) | 90.0 |",
        "| angular | 24.5 | - | 0.819 (0.819 to 0.819) | 2.0 |",
        "| laco | - | 148.4 | 0.368 (0.368 to 0.368) | 9.0 |",
    ]
    alone = comparison([("few", one)])
    assert alone is not None
    assert "1 cell:" in alone
    assert "|" not in alone
    assert comparison([("few", {"sleb": one["sleb"]})]) is None
    dear = comparison([("many", {name: other[name] for name in ("search", "sleb")})])
    assert dear is not None
    assert "lower cost" not in dear


def test_a_loss_that_is_no_number_never_wins() -> None:
    broken, sane = made_up({"a": [None, 1.0]}), made_up({"a": [9.0, 9.0]})  # type: ignore[list-item]
    assert perplexity([broken]) > perplexity([sane])


def test_runs_of_two_protocols_make_no_table(folder: Path) -> None:
    runs = [dict(run) for run in read_runs(folder)]
    runs[1] = {**copy.deepcopy(runs[1]), "protocol": {**runs[1]["protocol"], "max_cost": 1.0}}
    with pytest.raises(InputError, match="max_cost"):
        board_tables(runs)
    check_protocol(read_runs(folder), runs[0]["protocol"])


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--methods", "nothing"], "`methods` must be of search, "),
        (["--methods", "laco", "--granularity", "half"], "`methods` laco are not defined"),
        (["--seeds", "0"], "`seeds` must be at least 1"),
        (["--sparsity", "1.5"], "`sparsity` must be above 0 and below 1"),
        (["--sparsity", "0.01"], "`sparsity`"),
        (["--max-cost", "0"], "`max_cost` must be above 0"),
        (["--tokens", "8"], "`tokens` must be at least one `window`"),
        (["--wiki-tokens", "8"], "`wiki_tokens` must be at least one window (32), but got 8"),
        (["--wiki-test", "none.raw"], "`wiki_test` "),
        (["--heldout", "none.jsonl"], "`heldout` must be a file"),
        (["--wiki-window", "4096", "--wiki-tokens", "4096"], "`wiki_window`"),
        (["--heldout-window", "0"], "`heldout_window` must be at least 2, but got 0"),
        (["--wiki-window", "0"], "`wiki_window` must be at least 2, but got 0"),
        (["--patterns-from", "none"], "`patterns_from` must be a folder of cells, but none has"),
        (["--tasks-from", "none"], "`tasks_from` none must hold piqa.jsonl"),
        (["--limit", "1"], "`limit` must be at least 2"),
        (["--batch-size", "0"], "`batch_size` must be at least 1"),
        (["--model", "none/here"], "`model` none/here"),
    ],
)
def test_what_cannot_be_run_is_refused_in_one_line(
    more: list[str],
    says: str,
    texts: Path,
    toy_checkpoint: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = arguments(texts, toy_checkpoint, tmp_path / "b", *QUICK, "--methods", "last")
    assert main([*command, *more]) in (1, 2)
    assert says in capsys.readouterr().err
    assert not (tmp_path / "b").exists() or not read_runs(tmp_path / "b")


@pytest.mark.parametrize("content", ["", "[]", '{"cell": {}}'])
def test_a_file_that_is_no_run_is_named(content: str, tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text(content)
    with pytest.raises(InputError, match=r"`output` has .*other.json, which"):
        read_runs(tmp_path)


def test_the_readme_of_the_board_shows_the_tables_of_the_runs_that_are_kept() -> None:
    board = Path(__file__).parents[3] / "benchmarks" / "board"
    readme = (board / "README.md").read_text(encoding="utf-8")
    said = board_tables(read_runs(board / "results/demo"))
    *_, hindsight, at_equal_cost, table = said.split("\n\n")
    assert table in readme
    assert hindsight.split("**")[1] in readme
    assert at_equal_cost.split("**")[1] in readme
    *_, table = board_tables(read_runs(board / "results/blocks")).split("\n\n")
    ratios = {row.split(" | ")[0].strip("| "): row.split(" | ")[-2] for row in table.split("\n")}
    said = next(line for line in readme.split("\n") if "results/blocks" in line)
    assert f"{ratios['evopress']} of EvoPress" in said
    assert f"{ratios['sleb']} of greedy removal" in said
    asked = board_tables(read_runs(board / "results/tasks")).split("\n\n")
    assert next(part for part in asked if part.startswith("| zero-shot")) in readme
    _, _, quick, *_ = board_tables(read_runs(board / "results/quick")).split("\n\n")
    held_out = {row.split(" | ")[0].strip("|* "): row.split(" | ")[2] for row in quick.split("\n")}
    said = next(line for line in readme.split("\n") if "results/quick" in line)
    assert all(f" {held_out[name]} for " in said for name in ("search", "evopress", "sleb"))


def test_the_best_of_a_landscape_by_held_out_text_is_what_a_board_can_find(
    texts: Path, toy_checkpoint: Path, folder: Path, tmp_path: Path
) -> None:
    patterns = [
        [int(i not in gone) for i in range(5)] for gone in itertools.combinations(range(5), 2)
    ]
    landscape = Landscape(
        tuple(Unit(str(i), 1, 1) for i in range(5)),
        np.array(patterns, np.uint8),
        np.arange(10.0)[:, None],
        np.array([1]),
        head_work=1,
        about={},
    )
    path, output = tmp_path / "toy.npz", tmp_path / "limit.json"
    save_landscape(path, landscape)
    board = arguments(texts, toy_checkpoint, folder, "--sparsity", "0.4")
    limit(["--landscape", str(path), "--best", "9", "--json", str(output), *board])
    rows = json.loads(output.read_text())["patterns"]
    assert len(rows) == 9
    assert [3, 4] not in [row["dropped"] for row in rows]  # the worst by the landscape
    assert [row["heldout"] for row in rows] == sorted(row["heldout"] for row in rows)
    # What a method has found is judged alike.
    run = json.loads((folder / "block-0.4-last-0.json").read_text())
    found = [int(name) for name in run["found"]["dropped"]]
    (row,) = (row for row in rows if row["dropped"] == found)
    assert math.exp(row["heldout"]) == pytest.approx(perplexity([run]), rel=1e-4)
    with pytest.raises(InputError, match="`landscape` has 5 units, but the model has 10"):
        limit(["--landscape", str(path), *board, "--granularity", "half"])
    with pytest.raises(InputError, match=r"`heldout_tokens` must be at least one window \(32\)"):
        limit(["--landscape", str(path), *board, "--heldout-tokens", "1"])
    with pytest.raises(InputError, match="`landscape` has no pattern without 1 of its units"):
        limit(["--landscape", str(path), *board, "--sparsity", "0.2"])
