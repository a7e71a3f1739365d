r"""Best loss against evaluations and against cost, for several searches on one real model.

    python -m benchmarks.search.curves --text wiki.valid.raw --drop 6 --output runs/curves \
        --json out.json

The calibration windows are the first windows of the text, so that all methods use the same tokens.
Seeds and methods share losses in the user's cache, but each is charged its full cost. Each
finished run is a file in `--output`: the same command makes the missing runs, and several
processes can share the work.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.common.count_flag import count_flag
from benchmarks.common.exclusive_files import claimed
from benchmarks.common.record import errors_in_one_line
from benchmarks.search.curve_runs import (
    check_content,
    check_runs,
    path_of,
    read_runs,
    report_of,
    steps,
    write_run,
)
from benchmarks.search.curve_tables import table
from benchmarks.search.methods import METHODS, ScoringCost
from evop_deap.base.errors import InputError
from evop_deap.base.files import write_json
from evop_deap.base.numbers import finite_or_none
from evop_deap.base.user_folders import LOSSES_FILE, cache_folder
from evop_deap.evolution.racing import windows_together
from evop_deap.evolution.stopping import Stopping
from evop_deap.fitness.cached import CachedEvaluator
from evop_deap.fitness.model.population import PopulationEvaluator
from evop_deap.fitness.model.shared_losses import HeldBackStore, sharing_evaluator
from evop_deap.fitness.protocol import Evaluation, Evaluator
from evop_deap.fitness.store import LossStore
from evop_deap.fitness.walk_cost import walk_costs
from evop_deap.heuristics import ModelParts, Task
from evop_deap.models.anatomy.find_anatomy import find_anatomy
from evop_deap.models.anatomy.model_units import model_units
from evop_deap.models.loading.fingerprint import fingerprint_model
from evop_deap.models.loading.load_model import load_model
from evop_deap.space import Pattern, SearchSpace, dropped_units


class Metered(CachedEvaluator):
    """Records the cost and the best loss of the space after each request.

    The cost is that of the population evaluator without kept states or cached losses, so it does
    not depend on other seeds. The time between requests, in which a method chooses its next
    patterns, is measured as CPU time.
    """

    def __init__(self, evaluator: Evaluator, space: SearchSpace, head_work: int) -> None:
        super().__init__(evaluator)
        self._space, self._head_work = space, head_work
        self.events: list[tuple[int, float, float]] = []
        self._cost, self._best = 0.0, math.inf
        self.seconds_deciding, self._answered = 0.0, time.process_time()

    def evaluate(
        self, patterns: Sequence[Pattern], windows: Sequence[int] | None = None
    ) -> Evaluation:
        """Evaluate and record."""
        self.seconds_deciding += time.process_time() - self._answered
        before = {pattern: self._seen(pattern) for pattern in patterns}
        found = super().evaluate(patterns, windows)
        fresh: dict[int, list[Pattern]] = {}
        for pattern, seen in before.items():
            if (more := self._seen(pattern) - seen) > 0:
                fresh.setdefault(more, []).append(pattern)
        work = [unit.work for unit in self._space.units]
        self._cost += sum(
            float(walk_costs(group, work, self._head_work).sum()) * more / len(self.tokens)
            for more, group in fresh.items()
        )
        if windows is None:
            losses = zip(patterns, found.losses.tolist(), strict=True)
            inside = [loss for pattern, loss in losses if tuple(pattern) in self._space]
            self._best = min([self._best, *inside])
        if fresh:
            self.events.append((len(self.rows), self._cost, self._best))
        self._answered = time.process_time()
        return found

    def _seen(self, pattern: Pattern) -> int:
        row: NDArray[np.float64] | None = self.rows.get(tuple(pattern))
        return 0 if row is None else int((~np.isnan(row)).sum())


def first_windows(path: Path, tokenizer: Any, window: int, tokens: int) -> NDArray[np.int64]:
    """(windows, window) first tokens of a text."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"`text` {path} cannot be read: {error}") from error
    ids = np.array(tokenizer(text[: 16 * tokens]).input_ids, dtype=np.int64)
    count = tokens // window
    if len(ids) < count * window or count < 1:
        raise InputError(f"`text` {path} has fewer than {tokens} tokens, or less than a window")
    return ids[: count * window].reshape(count, window)


def fill(given: argparse.Namespace) -> dict[str, str]:
    """Make the missing runs of the folder; return the fingerprints of their model and windows.

    Raises:
        InputError: the text or the model cannot be used, or is another than that of the runs.
    """
    loaded = load_model(given.model, dtype=given.dtype)
    model, anatomy = loaded.model, find_anatomy(loaded.model, given.granularity)
    windows = first_windows(given.text, loaded.tokenizer, given.window, given.tokens)
    fingerprint = fingerprint_model(model)
    content = {
        "model_sha256": fingerprint,
        "windows_sha256": hashlib.sha256(windows.astype("<i8").tobytes()).hexdigest(),
    }
    check_content(read_runs(given.output), content)
    units = model_units(anatomy)
    space, limit = SearchSpace(units, given.drop), Stopping(evaluations=given.evaluations)
    parts = ModelParts(model, anatomy, windows)
    with LossStore(cache_folder() / LOSSES_FILE) as store:
        held_back = HeldBackStore(store)
        together = windows_together(given.window)
        shared = sharing_evaluator(
            PopulationEvaluator(model, anatomy, windows, windows_at_once=together),
            held_back,
            model=model,
            name=given.model,
            fingerprint=fingerprint,
            tokens=windows,
        )
        for method, seed in asked_for(given):
            with claimed(path_of(given.output, method, seed)) as mine:
                if not mine:
                    continue
                evaluator = Metered(shared, space, anatomy.head_work)
                evaluator.evaluate([space.dense])
                found = METHODS[method](Task(space, evaluator, random.Random(seed), limit, parts))
                scoring = found if isinstance(found, ScoringCost) else 0.0
                held_back.release()
                run = _run(method, seed, evaluator, space, scoring)
                # "auto" is another format on another machine.
                about = {"limit": given.evaluations, "dtype": str(model.dtype)}
                write_run(given.output, {**settings_of(given), **content}, {**about, **run})
            print(_line(run), file=sys.stderr, flush=True)
    return content


def asked_for(given: argparse.Namespace) -> list[tuple[str, int]]:
    """Each method with each seed; greedy removal is deterministic and gets one seed."""
    return [
        (method, seed)
        for method in given.methods
        for seed in range(1 if method == "greedy" else given.seeds)
    ]


def settings_of(given: argparse.Namespace) -> dict[str, Any]:
    """The settings common to the runs of a folder."""
    names = ("model", "window", "tokens", "drop", "granularity", "dtype")
    return {"text": given.text.name, **{name: getattr(given, name) for name in names}}


def _run(
    method: str, seed: int, evaluator: Metered, space: SearchSpace, scoring: float
) -> dict[str, Any]:
    full = [p for p, row in evaluator.rows.items() if p in space and not np.isnan(row).any()]
    losses = evaluator.evaluate(full).losses  # all of them known
    best = full[int(losses.argmin())]
    return {
        "method": method,
        "seed": seed,
        "loss": float(losses.min()),
        "perplexity": math.exp(float(losses.min())),
        "dropped": list(dropped_units(best)),
        "evaluations": len(evaluator.rows) - 1,
        "cost": scoring + evaluator.events[-1][1],
        "seconds_deciding": round(evaluator.seconds_deciding, 3),
        "events": steps(
            (count, round(scoring + cost, 4), finite_or_none(lowest))
            for count, cost, lowest in evaluator.events
        ),
    }


def _line(run: dict[str, Any]) -> str:
    dropped = ", ".join(map(str, run["dropped"]))
    return (
        f"{run['method']} {run['seed']}: {run['perplexity']:.2f} without {dropped} after "
        f"{run['evaluations']} patterns, cost {run['cost']:.1f}"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, search, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--window", type=count_flag, default=256)
    parser.add_argument("--tokens", type=count_flag, default=1024)
    parser.add_argument("--drop", type=count_flag, default=6, help="units")
    parser.add_argument("--granularity", choices=("block", "half"), default="block")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument(
        "--evaluations", type=count_flag, default=300, help="of every search, at most"
    )
    parser.add_argument("--seeds", type=count_flag, default=5)
    parser.add_argument("--target", type=float, help="show the cost of reaching this perplexity")
    parser.add_argument("--output", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)
    of, wanted = settings_of(given), asked_for(given)
    check_runs(read_runs(given.output), of, wanted, given.evaluations)
    content = fill(given)
    report = {**report_of(read_runs(given.output), {**of, **content}), "target": given.target}
    print(table(report, given.target))
    if given.json:
        write_json(given.json, report)


if __name__ == "__main__":
    with errors_in_one_line():
        main()
