"""Data to repeat a run: the command, all settings, versions and fingerprints."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from evop_deap.base.formatting import NOTHING
from evop_deap.reporting.named_units import label_of
from evop_deap.reporting.page_parts import Table, escaped
from evop_deap.runs.storage.loaded_run import Run
from evop_deap.runs.storage.result import SearchResult
from evop_deap.settings.search_config import SearchConfig
from evop_deap.settings.switched_off import OFF, SWITCHES


def settings_parts(runs: Sequence[Run]) -> str:
    """Return commands, settings and versions, with a column for each run; differences first."""
    labels = [label_of(runs, place) for place in range(len(runs))]
    commands = "".join(
        f"<p>Repeat {escaped(label)}:</p>"
        f'<pre tabindex="0"><code>{escaped(command_of(run))}</code></pre>'
        for label, run in zip(labels, runs, strict=True)
    )
    settings = _side_by_side([run.settings for run in runs])
    facts = _side_by_side([_facts(run) for run in runs])
    return "".join(
        [
            commands,
            Table(("setting", *labels), settings).html("Settings"),
            Table(("what", *labels), facts).html("Versions and fingerprints"),
        ]
    )


def command_of(run: Run) -> str:
    """Return the search command that repeats a run, without default values.

    Example:
        >>> from pathlib import Path
        >>> settings = {"model": "demo", "sparsity": 0.2, "seed": 0, "protect": ["0", "-1"]}
        >>> command_of(Run(Path("runs/demo"), settings, (), None, None))
        'python -m evop_deap.search --output runs/again --model demo --sparsity 0.2 --protect 0 -1'
    """
    words = ["python", "-m", "evop_deap.search", "--output", "runs/again"]
    for option in dataclasses.fields(SearchConfig):
        value = run.settings.get(option.name)
        default = list(option.default) if isinstance(option.default, tuple) else option.default
        if option.name not in run.settings or value == default:
            continue
        flag = "--" + option.name.replace("_", "-")
        if value is None:  # a run by --budget has no --sparsity, which cannot be off
            words += [flag, OFF] if option.metadata["read"] in SWITCHES else []
        elif isinstance(value, bool):
            words.append(flag if value else flag.replace("--", "--no-", 1))
        else:
            values = [str(one) for one in value] if isinstance(value, list) else [str(value)]
            words += [flag, *([",".join(values)] if option.name == "sparsity" else values)]
    return shlex.join(words)


def _facts(run: Run) -> dict[str, Any]:
    """Return versions, fingerprints and other facts of a run."""
    facts: dict[str, Any] = {}
    if run.result is not None:
        facts |= {f"version of {name}": version for name, version in run.result.versions.items()}
        facts |= {
            "evaluator": run.result.evaluator,
            "computed in": f"{run.result.dtype} on {run.result.device}",
            "model fingerprint": run.result.model_fingerprint,
            "calibration windows": run.result.calibration.fingerprint,
            "held-out windows": run.result.heldout.fingerprint,
            "validation windows": run.result.validation["fingerprint"],
            "logits of the export differ by": _export_difference(run.result),
            "stopped": run.result.stopped,
        }
    return facts


def _export_difference(result: SearchResult) -> str:
    if result.export_difference is None:
        return "not exported"
    return f"{result.export_difference:.2g}"


def _side_by_side(columns: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """Return a row for each name, those with differences first."""
    names = dict.fromkeys(name for column in columns for name in column)
    rows = [(name, *(_formatted(column.get(name)) for column in columns)) for name in names]
    return sorted(rows, key=lambda row: len(set(row[1:])) == 1) if len(columns) > 1 else rows


def _formatted(value: Any) -> str:
    if value is None or value == []:
        return NOTHING
    if isinstance(value, list):
        return " ".join(map(str, value))
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
