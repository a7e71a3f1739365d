"""Make a calibration set and write it to a folder: the work of `evop_deap.calibrate`."""

from __future__ import annotations

from contextlib import nullcontext
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evop_deap.base.errors import InputError
from evop_deap.base.files import (
    check_writable,
    claimed,
    names_in_output,
    new_folder,
    reporting_write_errors,
)
from evop_deap.base.user_folders import cache_folder
from evop_deap.calibration.set_files import CALIBRATION_FILE, WINDOWS_FILE
from evop_deap.runs.draw_calibration import make_calibration
from evop_deap.runs.files_of_runs import check_outside_runs
from evop_deap.runs.listeners.progress import Progress
from evop_deap.runs.open_model import open_model
from evop_deap.settings.calibration_config import CalibrationConfig
from evop_deap.space import SearchSpace, units_to_drop

if TYPE_CHECKING:
    from evop_deap.calibration import CalibrationSet
    from evop_deap.calibration.ccds import Stratification
    from evop_deap.calibration.strata import StratifiedWindows

MAP_FILE = "clusters.html"
IMAGE_FILE = "clusters.png"
_PROBED_SPARSITY = 0.25  # the sparsity of later searches is not known here


def run_calibration(
    config: CalibrationConfig,
    output: str | Path,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> CalibrationSet:
    """Draw a calibration set and write it to a folder for `--calibration`.

    The folder holds `calibration.json` (the manifest), `windows.npz` (the tokens) and, with
    clusters, their map in `clusters.html` and `clusters.png`. It is written as a whole or not at
    all, unless it also holds files of others: they stay, and those of the set are replaced one by
    one.

    Args:
        config: settings of the calibration set.
        output: the folder.
        overwrite: replace the files of the set in `output`.
        progress: receives progress messages; silent by default.

    Raises:
        EvopError: bad input, or a folder that cannot be written; the message is one line.

    Example:
        >>> config = CalibrationConfig(model="demo", calibration="ccds")
        >>> run_calibration(config, "calibrations/demo")  # doctest: +SKIP
    """
    if config.is_stored:
        raise InputError(
            f"`calibration` must be random or ccds, but {config.calibration} is a set already"
        )
    progress, output = progress or Progress(), Path(output)
    check_outside_runs(output, "output")
    with claimed(output):
        _check_usable(output, overwrite)
        made = _written(config, output, progress)
    progress.close()
    return made


def _written(config: CalibrationConfig, output: Path, progress: Progress) -> CalibrationSet:
    """Draw a set and write it, in a process that has claimed its folder."""
    from evop_deap.base.files import write_bytes
    from evop_deap.calibration import save_calibration
    from evop_deap.calibration.cluster_map import cluster_map, map_image
    from evop_deap.models.loading.load_model import load_tokenizer

    tokenizer, context = load_tokenizer(
        config.model, revision=config.revision, trust_remote_code=config.trust_remote_code
    )
    strata: list[tuple[Stratification, StratifiedWindows]] = []
    loading = cache(lambda: open_model(config, progress))
    made = make_calibration(
        config,
        tokenizer,
        context=context,
        model=loading,
        respond=lambda: responder_of(config, loading, progress),
        progress=progress,
        kept=cache_folder(),
        on_strata=lambda found, drawn: strata.append((found, drawn)),
    )
    made.manifest["settings"] = config.as_dict()
    pictures: dict[str, bytes] = {}
    for found, drawn in strata:
        picture = cluster_map(found, drawn)
        pictures[MAP_FILE] = picture.html.encode()
        image = map_image(picture)
        if image is None:
            progress.stage("no clusters.png: that needs matplotlib, the extra `bench`")
        else:
            pictures[IMAGE_FILE] = image
    others = set(names_in_output(output)) - {CALIBRATION_FILE, WINDOWS_FILE, MAP_FILE, IMAGE_FILE}
    with nullcontext(output) if others else new_folder(output) as folder:
        for name in (MAP_FILE, IMAGE_FILE):
            with reporting_write_errors(folder):
                (folder / name).unlink(missing_ok=True)
        for name, content in pictures.items():
            write_bytes(folder / name, content)
        save_calibration(folder, made)
    return made


def summary(made: CalibrationSet, output: Path) -> str:
    """Return a text with one line for each cluster, the sizes of the set and its folder."""
    count, window = made.calibration.tokens.shape
    lines = []
    if "clustering" in made.manifest:
        lines.append(f"{'cluster':>7}  {'documents':>9}  {'windows':>7}  words")
        for entry in made.manifest["clustering"]["clusters"]:
            name = "noise" if entry["cluster"] < 0 else str(entry["cluster"])
            words = ", ".join(entry["words"][:6])
            lines.append(f"{name:>7}  {entry['documents']:>9,}  {entry['windows']:>7}  {words}")
        lines.append("")
    lines.append(f"{count} x {window} tokens of {made.manifest['corpus']['name']}")
    spare = "none (no document left)" if made.validation is None else len(made.validation.tokens)
    lines.append(f"held-out windows: {len(made.heldout.tokens)}; validation windows: {spare}")
    text = 0 if made.compensation is None else made.compensation.tokens.size
    lines.append(f"text to compensate on: {text:,} tokens")
    lines.append(f"{output}  folder of the set, for evop_deap.search --calibration")
    return "\n".join(lines)


def _check_usable(output: Path, overwrite: bool) -> None:
    """Refuse a folder that holds other files or cannot be written; write nothing."""
    holds = names_in_output(output)
    if holds and not overwrite:
        raise InputError(
            f"`output` {output} already holds {holds[0]}: choose another folder, or add --overwrite"
        )
    if holds and not {CALIBRATION_FILE, WINDOWS_FILE} <= set(holds):
        raise InputError(
            f"`output` {output} is not the folder of a calibration set, so --overwrite leaves it "
            "alone: choose another folder"
        )
    check_writable(output)


def responder_of(config: CalibrationConfig, loading: Any, progress: Progress) -> Any:
    """Return the responder to probe patterns that drop a quarter of the blocks.

    The response of a window hardly depends on the number of dropped blocks.
    """
    from evop_deap.models.anatomy.model_units import model_units
    from evop_deap.runs.window_responses import responder

    loaded, anatomy = loading()
    units = model_units(anatomy)
    space = SearchSpace(units, units_to_drop(len(units), _PROBED_SPARSITY))
    return responder(loaded, anatomy, space, seed=config.seed, fitness="ce", progress=progress)
