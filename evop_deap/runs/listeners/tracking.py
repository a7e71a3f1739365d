"""Log a run to a tracker: TensorBoard, Weights & Biases or Trackio.

The tracker receives the logbook row of each generation, and the figures of the pruned model at the
end. Nothing leaves the machine unless the tracker is configured to send it.
"""

from __future__ import annotations

import importlib.util
import math
import re
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from evop_deap.base.errors import InputError
from evop_deap.base.files import reporting_write_errors
from evop_deap.runs.listeners.progress import Progress
from evop_deap.runs.storage.folder import RunFolder

if TYPE_CHECKING:
    from typing_extensions import Self

    from evop_deap.evolution.state import EvolutionState
    from evop_deap.runs.storage.heuristic_state import HeuristicState
    from evop_deap.runs.storage.result import SearchResult

TRACKERS = ("none", "tensorboard", "wandb", "trackio")
_PROJECT = "evop_deap"

Log = Callable[[Mapping[str, float], int], object]
Close = Callable[[], object]


class TrackerLog:
    """A log of figures by step in a tracker, opened by the first of them.

    Args:
        name: "tensorboard", "wandb" or "trackio", whose package must be installed; "none" logs
            nothing.
        folder: folder of the run; files of the tracker go there.
        settings: settings of the run.

    Raises:
        InputError: an unknown name, or a missing package.
    """

    group = "search"
    """The group of figures whose names have none."""

    def __init__(self, name: str, folder: Path, settings: Mapping[str, Any]) -> None:
        if name not in TRACKERS:
            known = " or ".join(f"'{tracker}'" for tracker in TRACKERS)
            raise InputError(f"`tracker` must be {known}, but got '{name}'")
        if name != "none" and importlib.util.find_spec(name) is None:
            raise InputError(f"`tracker` {name} is not installed: pip install {name}")
        self._name = name
        self._folder = folder
        self._settings = settings
        self._open: tuple[Log, Close] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()

    def _close(self) -> None:
        if self._open is not None:
            with redirect_stdout(sys.stderr):
                self._open[1]()
            self._open = None

    def _log(self, row: Mapping[str, Any], step: int) -> None:
        if self._name == "none":
            return
        place = RunFolder(self._folder).tracking
        if self._open is None:
            # Messages of trackers must not mix with output on stdout.
            with redirect_stdout(sys.stderr), reporting_write_errors(place):
                self._open = _OPENERS[self._name](place, self._folder.name, self._settings, step)
        figures = {
            name if "/" in name else f"{self.group}/{name}": float(value)
            for name, value in row.items()
            if isinstance(value, int | float) and math.isfinite(value)
        }
        with reporting_write_errors(place):
            self._open[0](figures, step)


class Tracker(TrackerLog, Progress):
    """Logs a search, from its first generation until the `with` block ends.

    Example:
        >>> with Tracker("none", Path("runs/demo"), {}) as tracker:
        ...     tracker.stage("loading the model")
    """

    def budget(self, folder: Path, text: str) -> None:
        """Begin a new log, because every budget counts its own generations."""
        self._close()
        self._folder = folder

    def generation(self, state: EvolutionState | HeuristicState) -> None:
        """Log the last row of the logbook."""
        self._log(state.records[-1], state.generation)

    def finished(self, result: SearchResult) -> None:
        """Log the perplexities and sizes of the dense and the pruned model."""
        texts = {"calibration": result.calibration, "heldout": result.heldout}
        figures: dict[str, Any] = {
            f"{name}/{kind}_perplexity": value
            for name, text in texts.items()
            for kind, value in text.perplexity.items()
        }
        figures |= {f"parameters/{kind}": count for kind, count in result.parameters.items()}
        self._log(figures, result.generations)


def _tensorboard(
    place: Path, name: str, settings: Mapping[str, Any], step: int
) -> tuple[Log, Close]:
    from torch.utils.tensorboard import SummaryWriter

    _wait_for_a_later_name(place)
    # Steps after the last checkpoint of a killed process are logged again.
    writer: Any = SummaryWriter(str(place), purge_step=step)
    writer.add_text("settings", "\n".join(f"    {n}: {v}" for n, v in settings.items()), step)

    def log(figures: Mapping[str, float], step: int) -> None:
        for tag, value in figures.items():
            writer.add_scalar(tag, value, step)
        writer.flush()

    return log, writer.close


def _wait_for_a_later_name(place: Path) -> None:
    """Wait until a new file of TensorBoard is read after all that are there.

    Files are read in the order of their names. These begin with the second, and then go by host
    and process, which says nothing about the order.
    """
    seconds = (
        re.match(r"events\.out\.tfevents\.(\d{10})\.", file.name) for file in place.glob("*")
    )
    begun = [int(found[1]) for found in seconds if found]
    left = max(begun, default=0) + 1 - time.time()
    if 0 < left <= 1:
        time.sleep(left)


def _wandb(place: Path, name: str, settings: Mapping[str, Any], step: int) -> tuple[Log, Close]:
    import wandb

    place.mkdir(parents=True, exist_ok=True)
    run: Any = wandb.init(project=_PROJECT, name=name, dir=str(place), config=dict(settings))
    return (lambda figures, step: run.log(dict(figures), step=step)), run.finish


def _trackio(place: Path, name: str, settings: Mapping[str, Any], step: int) -> tuple[Log, Close]:
    import trackio

    run: Any = trackio.init(project=_PROJECT, name=name, config=dict(settings))
    return (lambda figures, step: run.log(dict(figures), step=step)), trackio.finish


_OPENERS = {"tensorboard": _tensorboard, "wandb": _wandb, "trackio": _trackio}
