"""A calibration set of its own, from settings to a folder: what `evop_deap.calibrate` runs."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evop_deap.base.errors import InputError
from evop_deap.base.files import check_writable, names_in_output, new_folder, remove_leftovers
from evop_deap.calibration.set_files import CALIBRATION_FILE, WINDOWS_FILE
from evop_deap.runs.draw_calibration import make_calibration
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
_PROBED_SPARSITY = 0.25  # no search has said yet how much is to go


def run_calibration(
    config: CalibrationConfig,
    output: str | Path,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> CalibrationSet:
    """Draw a calibration set and write it into a folder that searches take.

    Written are `calibration.json`, the manifest, `windows.npz`, the tokens, and, where there
    are clusters, a map of them in `clusters.html` and `clusters.png`. All of it or nothing.

    Args:
        config: what to draw, and how.
        output: the folder.
        overwrite: replace the set in `output`.
        progress: told what is going on.

    Raises:
        EvopError: bad input, or a place that cannot be written; its message is one line.

    Example:
        >>> config = CalibrationConfig(model="demo", calibration="ccds")
        >>> run_calibration(config, "calibrations/demo")  # doctest: +SKIP
    """
    from evop_deap.base.files import write_bytes, write_text
    from evop_deap.calibration import save_calibration
    from evop_deap.calibration.cluster_map import cluster_map, map_image
    from evop_deap.models.loading.load_model import load_tokenizer

    progress = progress or Progress()
    if config.is_stored:
        raise InputError(
            f"`calibration` must be random or ccds, but {config.calibration} is a set already"
        )
    output = Path(output)
    _check_usable(output, overwrite)
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
        respond=lambda: _respond(config, loading, progress),
        progress=progress,
        on_strata=lambda found, drawn: strata.append((found, drawn)),
    )
    made.manifest["settings"] = config.as_dict()
    if output.parent.is_dir():
        remove_leftovers(output.parent, [output.name])
    with new_folder(output) as folder:
        save_calibration(folder, made)
        for found, drawn in strata:
            picture = cluster_map(found, drawn)
            write_text(folder / MAP_FILE, picture.html)
            image = map_image(picture)
            if image is None:
                progress.stage("no clusters.png: that needs matplotlib, the extra `bench`")
            else:
                write_bytes(folder / IMAGE_FILE, image)
    progress.close()
    return made


def summary(made: CalibrationSet, output: Path) -> str:
    """What was drawn, a line a cluster, and where it is."""
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
    spare = "no document is left" if made.validation is None else len(made.validation.tokens)
    lines.append(
        f"windows of other text, to report on: {len(made.heldout.tokens)}; "
        f"to decide between near-equals: {spare}"
    )
    lines.append(f"{output}  is what evop_deap.search takes with --calibration")
    return "\n".join(lines)


def _check_usable(output: Path, overwrite: bool) -> None:
    """Refuse a place that holds something else; writes nothing."""
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


def _respond(config: CalibrationConfig, loading: Any, progress: Progress) -> Any:
    """Probes that drop a quarter of the blocks: how a window responds hardly depends on that."""
    from evop_deap.models.anatomy.model_units import model_units
    from evop_deap.runs.window_responses import responder

    loaded, anatomy = loading()
    units = model_units(anatomy)
    space = SearchSpace(units, units_to_drop(len(units), _PROBED_SPARSITY))
    return responder(loaded, anatomy, space, seed=config.seed, fitness="ce", progress=progress)
