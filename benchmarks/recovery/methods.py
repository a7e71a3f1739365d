"""Every method of the board with the same compensation: does the order of methods survive it?

    python -m benchmarks.recovery.methods --corpus mixed.jsonl --others wiki.valid.raw \\
        --json methods.json

Takes the patterns of blocks that the board's methods have picked (`board/results/demo`, seed 0),
compensates each of them on the same text, and measures all on the same held-out text. `--runs`
adds the patterns of finished runs that have evaluated patterns compensated.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.board.tables.ratios import figure
from benchmarks.common.claim import ROOT
from benchmarks.common.count_flag import count_flag
from benchmarks.common.record import circumstances, errors_in_one_line, markdown_table
from benchmarks.recovery.exam import Exam, add_exam_flags, check_sizes, exam_of
from evop_deap.base.errors import InputError
from evop_deap.base.files import write_json
from evop_deap.runs.storage.loaded_run import load_run
from evop_deap.settings.heuristic_names import SEARCH

_LEFT_OUT = ("laco", "random")  # a merge is no pattern; chance is below all
_COMPENSATED = "search, compensated"


def picks(folder: Path, seed: int) -> dict[float, dict[str, tuple[str, ...]]]:
    """Return the blocks that each method drops, by sparsity."""
    found: dict[float, dict[str, tuple[str, ...]]] = {}
    for path in sorted(folder.glob(f"block-*-{seed}.json")):
        run = json.loads(path.read_text(encoding="utf-8"))
        cell = run["cell"]
        if cell["method"] not in _LEFT_OUT:
            names = tuple(sorted(run["found"]["dropped"], key=int))
            found.setdefault(cell["sparsity"], {})[cell["method"]] = names
    return found


def picks_of_runs(folders: Sequence[str]) -> dict[float, dict[str, tuple[str, ...]]]:
    """Return the blocks that runs drop, by sparsity.

    Raises:
        InputError: a run has not evaluated its patterns compensated, or two have one sparsity.
    """
    found: dict[float, dict[str, tuple[str, ...]]] = {}
    for folder in folders:
        run = load_run(folder)
        if run.result is None:
            raise InputError(f"`runs` {folder} is not finished: go on with --resume")
        if run.settings["compensate"] == "off":
            raise InputError(f"`runs` {folder} was made with --compensate off: run it without")
        sparsity = run.settings["sparsity"]
        if sparsity in found:
            raise InputError(f"`runs` {folder} has the sparsity {sparsity} once more: name one")
        found[sparsity] = {_COMPENSATED: tuple(run.result.dropped)}
    return found


def measure(loaded: Any, exam: Exam, found: Mapping[float, Mapping[str, tuple[str, ...]]]) -> Any:
    """Return the losses of each distinct pattern, with and without compensation."""
    from evop_deap.models.anatomy.find_anatomy import find_anatomy
    from evop_deap.recovery.compensation.compensate import compensate

    anatomy = find_anatomy(loaded.model)
    rows: dict[str, dict[str, dict[str, float]]] = {}
    patterns = {names for methods in found.values() for names in methods.values()}
    for names in sorted(patterns, key=lambda names: (len(names), names)):
        dropped = tuple(map(int, names))
        made = compensate(loaded.model, anatomy, dropped, exam.fit, stored=loaded.stored_dtype)
        rows[",".join(names)] = {
            "pruned": exam.losses(loaded, anatomy, dropped, {}),
            "compensated": exam.losses(loaded, anatomy, dropped, made.changes),
        }
        row = rows[",".join(names)]
        print(names, {kind: round(_mean(losses), 3) for kind, losses in row.items()}, flush=True)
    return {"dense": exam.losses(loaded, anatomy, (), {}), "rows": rows}


def _mean(losses: Mapping[str, float]) -> float:
    return sum(losses.values()) / len(losses)


def order_kept(report: Mapping[str, Any]) -> dict[str, float]:
    """Return the rank correlation of losses before and after compensation, by sparsity."""
    from scipy.stats import spearmanr

    def losses(methods: Mapping[str, list[str]], kind: str) -> list[float]:
        return [_mean(report["rows"][",".join(names)][kind]) for names in methods.values()]

    return {
        sparsity: float(
            spearmanr(losses(methods, "pruned"), losses(methods, "compensated")).statistic
        )
        for sparsity, methods in report["picks"].items()
    }


def table(report: Mapping[str, Any]) -> str:
    """Perplexity of each method before and after compensation, at each sparsity."""
    sparsities = list(report["picks"])
    methods = sorted(
        {method for found in report["picks"].values() for method in found},
        key=lambda method: _mean_after(report, method),
    )
    header = ["method", *(f"{float(s):.0%} of blocks" for s in sparsities)]
    return markdown_table(
        header,
        [
            [
                f"**{method}**" if method in (SEARCH, _COMPENSATED) else method,
                *(_cell(report, report["picks"][s].get(method)) for s in sparsities),
            ]
            for method in methods
        ],
    )


def _cell(report: Mapping[str, Any], names: list[str] | None) -> str:
    if names is None:
        return "-"
    row = report["rows"][",".join(names)]
    return " → ".join(figure(math.exp(_mean(row[kind]))) for kind in ("pruned", "compensated"))


def _mean_after(report: Mapping[str, Any], method: str) -> float:
    found = [of[method] for of in report["picks"].values() if method in of]
    return _mean({str(n): _mean(report["rows"][",".join(p)]["compensated"])
                  for n, p in enumerate(found)})  # fmt: skip


def main(arguments: list[str] | None = None) -> None:
    """Parse, measure, print the table and write it if asked to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tokens", type=count_flag, default=32768, metavar="N")
    parser.add_argument("--runs", nargs="*", default=[], metavar="RUN")
    add_exam_flags(parser, heldout_tokens=1024)
    given = parser.parse_args(arguments)
    check_sizes(given)

    from evop_deap.models.loading.load_model import load_model

    loaded = load_model("demo", dtype="float32", device="cpu")
    found = picks(ROOT / "board" / "results" / "demo", given.seed)
    for sparsity, methods in picks_of_runs(given.runs).items():
        found.setdefault(sparsity, {}).update(methods)
    exam = exam_of(given, loaded.tokenizer, given.tokens)
    report = {
        "model": "demo",
        "tokens": given.tokens,
        "heldout_tokens": given.heldout_tokens,
        "window": given.window,
        "seed": given.seed,
        **circumstances(),
        "picks": {str(share): methods for share, methods in sorted(found.items())},
        **measure(loaded, exam, found),
    }
    print(table(report))
    if given.json is not None:
        write_json(given.json, report)


if __name__ == "__main__":
    with errors_in_one_line():
        main()
