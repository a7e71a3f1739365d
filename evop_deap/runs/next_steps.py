"""Advice printed at the end of a search, or when it was interrupted."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from evop_deap.evolution.stopping import EXHAUSTED
from evop_deap.settings.heuristic_names import SEARCH
from evop_deap.settings.search_config import SearchConfig

if TYPE_CHECKING:
    from evop_deap.runs.storage.curve import Curve
    from evop_deap.runs.storage.result import SearchResult

_LIMITS = ("max_evaluations", "max_cost", "max_seconds", "patience")


def table_of(found: SearchResult | Curve) -> str:
    """The result of a search as a table: of one budget, or of each of several."""
    from evop_deap.runs.storage.curve import Curve, curve_table
    from evop_deap.runs.storage.result import result_table

    return curve_table(found) if isinstance(found, Curve) else result_table(found)


def next_steps(output: Path, config: SearchConfig, found: SearchResult | Curve) -> str:
    """Return how to load the result, where its report is, and how to continue the search.

    Args:
        output: folder of the run.
        config: settings of the run.
        found: its result.
    """
    figures, model = "result.json", output / "model"
    if config.several:
        from evop_deap.runs.storage.folder import RunFolder

        figures, model = "curve.json", RunFolder(output).budget(config.sparsity[-1]).model
    page = output / "report.html"
    shown = f"look at it {page}; all figures are in {figures} beside it"
    if not page.is_file():
        shown = f"figures    {output / figures}; there is no {page.name}"
    lines = [f"load it    {_auto_class(model)}.from_pretrained({str(model)!r})", shown]
    if config.method == SEARCH and any(one.stopped != EXHAUSTED for one in _results(found)):
        lines.append(f"search on  {_resume(output)}{_longer(config)}")
    return "\n".join(lines)


def _results(found: SearchResult | Curve) -> Sequence[SearchResult]:
    from evop_deap.runs.storage.curve import Curve

    return found.results if isinstance(found, Curve) else [found]


def _longer(config: SearchConfig) -> str:
    """Return the flags that move every limit of a search; N is for the user to choose."""
    sure = "" if config.stop_when_sure is None else " --stop-when-sure off"
    given = [name for name in _LIMITS if getattr(config, name) is not None]
    flags = (f" --{name.replace('_', '-')} N" for name in ("generations", *given))
    return sure + "".join(flags)


def _auto_class(model: Path) -> str:
    """Return the name of the class of transformers that loads all of a checkpoint."""
    from evop_deap.base.data_files import read_json
    from evop_deap.models.loading.auto_classes import auto_class_name

    path = model / "config.json"
    fields = read_json(path, str(path)) if path.is_file() else {}
    return auto_class_name(fields.get("model_type", ""), is_nested="text_config" in fields)


def how_to_go_on(output: Path, written_before: int | None) -> str:
    """Return how to resume an interrupted search, if it has written anything.

    Args:
        output: folder of the run.
        written_before: value of `settings_written` before the search; the same value now means
            that the search has written nothing.
    """
    if settings_written(output) in (None, written_before):
        return "nothing was written yet"
    return f"go on with: {_resume(output)}"


def settings_written(output: Path) -> int | None:
    """Return the time at which a run's settings were written, in ns, or None without any."""
    try:
        return (output / "config.yaml").stat().st_mtime_ns
    except OSError:
        return None


def _resume(output: Path) -> str:
    return f"python -m evop_deap.search --resume --output {shlex.quote(str(output))}"
