"""Running the cells of a board that are missing in its folder."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from benchmarks.board.cells import DENSE, Cell, cells_of
from benchmarks.board.evaluation_plan import CutText, EvaluationPlan, evaluate_model
from benchmarks.board.pruned_model import Bench, config_of, prune
from benchmarks.board.run_files import (
    HELDOUT,
    WIKI,
    Run,
    check_protocol,
    path_of,
    read_runs,
    write_run,
)
from benchmarks.board.texts import calibration_of, heldout_text, joined_corpus
from benchmarks.common.exclusive_files import claimed
from benchmarks.common.record import circumstances
from evop_deap.base.errors import EvopError, InputError
from evop_deap.calibration import CalibrationSet
from evop_deap.models.loading.fingerprint import fingerprint_model
from evop_deap.models.loading.load_model import LoadedModel, load_model
from evop_deap.settings.search_config import SearchConfig
from evop_deap.text.whole_texts import EvaluationText, read_text


def fill(given: argparse.Namespace) -> list[Cell]:
    """Run the missing cells; return those that failed.

    Raises:
        EvopError: an argument, a model or a text cannot be used, or the folder holds runs of
            another protocol.
    """
    cells = cells_of(given.methods, given.sparsity, given.granularity, given.seeds)
    config = _settings_of(given)
    for cell in cells[1:]:
        config_of(config, cell)
    _check_sizes(given)
    _tell(f"loading the model {given.model}")
    loaded = load_model(given.model, dtype=given.dtype, device=given.device)
    calibration = calibration_for(given, loaded)
    plan = plan_of(given, loaded, calibration)
    protocol = _protocol_of(given, loaded, calibration, plan)
    check_protocol(read_runs(given.output), protocol)
    missing = [cell for cell in cells if not path_of(given.output, cell.name).exists()]
    _tell(f"{len(cells) - len(missing)} of {len(cells)} cells are there already")
    bench = Bench.of(loaded, calibration, config, given.granularity)
    for cell in missing:
        if cell.method != DENSE:
            bench.prepared_for(
                cell
            )  # what cannot be dropped is refused before anything is paid for
    return _make(given.output, bench, plan, protocol, missing)


def _settings_of(given: argparse.Namespace) -> SearchConfig:
    return SearchConfig(
        model=given.model,
        dtype=given.dtype,
        device=given.device,
        corpus=" ".join(given.corpus),
        window=given.window,
        tokens=given.tokens,
        heldout_tokens=given.window,
        max_cost=given.max_cost,
        sparsity=given.sparsity[0],
    )


def calibration_for(given: argparse.Namespace, loaded: LoadedModel) -> CalibrationSet:
    """Return the calibration set that all methods of the board use.

    Raises:
        InputError: a corpus cannot be read or is too small.
    """
    return calibration_of(
        joined_corpus(given.corpus),
        loaded,
        window=given.window,
        tokens=given.tokens,
        seed=given.calibration_seed,
    )


def plan_of(
    given: argparse.Namespace, loaded: LoadedModel, calibration: CalibrationSet
) -> EvaluationPlan:
    """Return the texts and tasks that the board evaluates on.

    Raises:
        InputError: a text cannot be read or fills no window, or a task cannot be run.
    """
    texts = []
    if given.wiki_test is not None:
        wiki = _wiki(given.wiki_test)
        for window in given.wiki_window:
            texts.append(CutText.of(WIKI, wiki, loaded, window, given.wiki_tokens))
    if given.heldout is not None:
        heldout = heldout_text(given.heldout, calibration)
        window, tokens = given.heldout_window, given.heldout_tokens
        texts.append(CutText.of(HELDOUT, heldout, loaded, window, tokens))
    tasks = tuple(given.tasks)
    plan = EvaluationPlan(tuple(texts), tasks, given.tasks_from, given.limit, given.batch_size)
    plan.check()
    return plan


def _protocol_of(
    given: argparse.Namespace,
    loaded: LoadedModel,
    calibration: CalibrationSet,
    plan: EvaluationPlan,
) -> dict[str, Any]:
    """The settings common to all cells of a folder, with texts identified by their content."""
    return {
        "model": _name_of(given.model),
        "model_sha256": fingerprint_model(loaded.model),
        "dtype": str(loaded.model.dtype).removeprefix("torch."),
        "calibration": {
            "corpus": calibration.manifest["corpus"]["name"],
            "window": given.window,
            "tokens": calibration.calibration.tokens.size,
            "seed": given.calibration_seed,
            "sha256": calibration.calibration.fingerprint,
        },
        "max_cost": given.max_cost,
        **plan.as_dict(),
    }


def _name_of(model: str) -> str:
    """The name of a model; of a folder the last part, since its location does not matter."""
    path = Path(model).expanduser()
    return path.resolve().name if path.exists() else model


def _make(
    folder: Path, bench: Bench, plan: EvaluationPlan, protocol: dict[str, Any], missing: list[Cell]
) -> list[Cell]:
    """Run these cells one after the other; a failure does not stop the others."""
    failed = []
    for number, cell in enumerate(missing, start=1):
        with claimed(path_of(folder, cell.name)) as mine:
            if not mine:  # another process works on the same board
                continue
            try:
                pruned = prune(bench, cell)
                run = {"protocol": protocol, "cell": cell.as_dict(), "found": pruned.found}
                run["judged"] = _evaluated_before(folder, run) or evaluate_model(
                    pruned.model, bench.loaded, plan
                )
            except EvopError as error:
                _tell(f"{number}/{len(missing)} {cell.name} could not be made: {error}")
                failed.append(cell)
                continue
            write_run(folder, cell.name, {**run, **circumstances()})
        _tell(f"{number}/{len(missing)} {_line(cell, pruned.found)}")
    return failed


def _evaluated_before(folder: Path, run: Run) -> dict[str, Any] | None:
    """The evaluation of the same pattern in another cell, if there is one."""
    if (key := _pattern(run)) is None:
        return None
    known = (other["judged"] for other in read_runs(folder) if _pattern(other) == key)
    return next(known, None)


def _check_sizes(given: argparse.Namespace) -> None:
    """Check, before the model is loaded, that no text is shorter than a window."""
    for name, window in (
        ("wiki_tokens", max(given.wiki_window)),
        ("heldout_tokens", given.heldout_window),
    ):
        tokens = getattr(given, name)
        if tokens is not None and tokens < window:
            raise InputError(f"`{name}` must be at least one window ({window}), but got {tokens}")
    if given.limit is not None and given.limit < 2:
        raise InputError(f"`limit` must be at least 2, but got {given.limit}")
    if given.batch_size < 1:
        raise InputError(f"`batch_size` must be at least 1, but got {given.batch_size}")


def _wiki(source: str) -> EvaluationText:
    try:
        return read_text(source)
    except InputError as error:
        message = str(error).replace("`perplexity`", "`wiki_test`", 1)
        raise InputError(message) from error


def _pattern(run: Run) -> tuple[str, ...] | None:
    """The pattern that was evaluated; None for a merge."""
    found = run["found"]
    return None if found["merged"] else (run["cell"]["granularity"], *found["dropped"])


def _line(cell: Cell, found: dict[str, Any]) -> str:
    if cell.method == DENSE:
        return DENSE
    return (
        f"{cell.name}: without {', '.join(found['dropped'])}; cost {found['cost']:.1f}, "
        f"{found['seconds']:.0f} s"
    )


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
