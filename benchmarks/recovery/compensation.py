"""The excess that compensation removes, by form and by the amount of text.

    python -m benchmarks.recovery.compensation --corpus mixed.jsonl --others wiki.valid.raw \\
        --drop 13,14,15,16,17,18 --json compensation.json

Excess is the loss above the dense model's, in nats per token. A cost of 1 is a forward pass of the
dense model over 2,048 tokens. `map` is ReplaceMe's form (arXiv 2505.02819), `scale` Prune&Comp's
(arXiv 2507.18212), on the same text and with the same ridges.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

from benchmarks.common.count_flag import count_flag
from benchmarks.common.record import circumstances, errors_in_one_line, markdown_table
from benchmarks.recovery.exam import Exam, add_exam_flags, check_sizes, exam_of
from evop_deap.base.files import write_json
from evop_deap.models.formats import read_pattern

UNIT_TOKENS = 2048


def measure(loaded: Any, anatomy: Any, dropped: tuple[int, ...], exam: Exam, sizes: list[int],
            forms: list[str]) -> dict[str, Any]:  # fmt: skip
    """Return losses of the dense and the pruned model, and a row for each form and size."""
    from evop_deap.recovery.compensation.compensate import compensate

    rows = []
    for form in forms:
        for tokens in sizes:
            windows = exam.fit[: tokens // exam.fit.shape[1]]
            started = time.monotonic()
            made = compensate(
                loaded.model, anatomy, dropped, windows, form=form, stored=loaded.stored_dtype
            )
            rows.append(
                {
                    "form": form,
                    "tokens": windows.size,
                    "seconds": time.monotonic() - started,
                    "cost": made.work / anatomy.dense_work / UNIT_TOKENS,
                    "cuts": [cut.as_dict() for cut in made.cuts],
                    "loss": exam.losses(loaded, anatomy, dropped, made.changes),
                }
            )
            print(form, tokens, f"{rows[-1]['seconds']:.1f} s", flush=True)
    return {
        "dense": exam.losses(loaded, anatomy, (), {}),
        "pruned": exam.losses(loaded, anatomy, dropped, {}),
        "rows": rows,
    }


def removed(report: dict[str, Any], row: dict[str, Any], domains: list[str]) -> float:
    """Return the share of the mean excess over some domains that a row removes."""
    dense, pruned, made = (
        statistics.fmean(losses[name] for name in domains)
        for losses in (report["dense"], report["pruned"], row["loss"])
    )
    return (pruned - made) / (pruned - dense)


def mixed(report: dict[str, Any]) -> list[str]:
    """Return the domains of the mixed corpus."""
    return [name for name in report["dense"] if name not in report["others"]]


def table(report: dict[str, Any]) -> str:
    """The shares of the excess removed: over the mixed corpus, and on each domain."""
    names = list(report["dense"])
    header = ["form", "tokens", "cost", "seconds", "mixed", *names]
    return markdown_table(
        header,
        [
            [
                row["form"],
                f"{row['tokens']:,}",
                f"{row['cost']:.1f}",
                f"{row['seconds']:.0f}",
                f"{removed(report, row, mixed(report)):.1%}",
                *(f"{removed(report, row, [name]):.0%}" for name in names),
            ]
            for row in report["rows"]
        ],
    )


def main(arguments: list[str] | None = None) -> None:
    """Parse, measure, print the table and write it if asked to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="demo", metavar="NAME")
    parser.add_argument("--drop", required=True, metavar="LIST|FILE")
    parser.add_argument(
        "--tokens", type=count_flag, nargs="+", metavar="N",
        default=[2048, 4096, 8192, 16384, 32768, 40960, 65536, 131072],
    )  # fmt: skip
    parser.add_argument("--forms", nargs="+", default=["full", "map", "scale"])
    add_exam_flags(parser, heldout_tokens=2048)
    given = parser.parse_args(arguments)
    check_sizes(given)

    from evop_deap.models.anatomy.find_anatomy import find_anatomy
    from evop_deap.models.loading.load_model import load_model

    loaded = load_model(given.model, dtype="float32", device="cpu")
    drops = read_pattern(given.drop, len(find_anatomy(loaded.model).blocks))
    anatomy = find_anatomy(loaded.model, drops.granularity)
    dropped = drops.positions([part.name for part in anatomy.parts])
    exam = exam_of(given, loaded.tokenizer, max(given.tokens))
    report = {
        "model": given.model,
        "dropped": drops.names,
        "window": given.window,
        "heldout_tokens": given.heldout_tokens,
        "seed": given.seed,
        "others": [other.rsplit("/", 1)[-1] for other in given.others],
        **circumstances(),
        **measure(loaded, anatomy, dropped, exam, given.tokens, given.forms),
    }
    print(table(report))
    if given.json is not None:
        write_json(given.json, report)


if __name__ == "__main__":
    with errors_in_one_line():
        main()
