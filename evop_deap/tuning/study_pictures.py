"""Optuna's standard plots of a study, as HTML and PNG."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from evop_deap.base.errors import InputError
from evop_deap.base.files import write_bytes, write_text
from evop_deap.tuning.experimental import accepting_experiments

if TYPE_CHECKING:
    from optuna import Study

_PLOTLY = "plotly.min.js"
_PARALLEL = "parallel_coordinate"
_USUAL, _WIDE = (7, 4.5), (15, 6)  # inches; parallel coordinates have an axis for each setting
_LEAST_TRIALS = 3  # plots of fewer trials show nothing


def write_pictures(folder: Path, study: Study) -> list[Path]:
    """Write plots of importance, parallel coordinates, and the history or the Pareto front.

    The HTML files share one script in the same folder, so that they open offline.

    Returns:
        The written files; none for fewer than three completed trials.

    Raises:
        InputError: plotly or matplotlib is not installed.
        OutputError: a file cannot be written.
    """
    from optuna.trial import TrialState

    if len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))) < _LEAST_TRIALS:
        return []
    try:
        import matplotlib.pyplot as plt
        import plotly.offline
        from optuna import visualization
        from optuna.visualization import matplotlib as printed
    except ImportError as error:
        raise InputError(
            f"pictures need {error.name}: pip install 'evop_deap[tune]', or --no-pictures"
        ) from error
    written = [folder / _PLOTLY]
    write_text(written[0], plotly.offline.get_plotlyjs())
    with accepting_experiments(), warnings.catch_warnings():
        # Optuna warns that it treats low values as good, which is right here.
        warnings.simplefilter("ignore", UserWarning)
        for name, draw in _plots(study).items():
            html, png = folder / f"{name}.html", folder / f"{name}.png"
            write_text(html, draw(visualization).to_html(include_plotlyjs="directory"))
            figure = _figure(draw(printed))
            figure.set_size_inches(_WIDE if name == _PARALLEL else _USUAL)
            buffer = io.BytesIO()
            figure.savefig(buffer, format="png", dpi=120, bbox_inches="tight")
            plt.close(figure)
            write_bytes(png, buffer.getvalue())
            written += [html, png]
    return written


def _plots(study: Study) -> dict[str, Callable[[ModuleType], Any]]:
    """Return the plots, each a function of one of Optuna's two visualization modules."""
    names = study.metric_names or ["value"]
    asked: dict[str, Any] = {"target_name": names[0]}
    if len(study.directions) > 1:
        asked["target"] = _first_value
    plots: dict[str, Callable[[ModuleType], Any]] = {
        "importance": lambda module: module.plot_param_importances(study, **asked),
        _PARALLEL: lambda module: module.plot_parallel_coordinate(study, **asked),
    }
    if len(study.directions) > 1:
        plots["pareto_front"] = lambda module: module.plot_pareto_front(study)
    else:
        plots["history"] = lambda module: module.plot_optimization_history(study, **asked)
    return plots


def _first_value(trial: Any) -> float:
    return float(trial.values[0])


def _figure(axes: Any) -> Any:
    """Return the figure of one axes or of an array of axes."""
    return (axes.flat[0] if hasattr(axes, "flat") else axes).figure
