"""Find the blocks that a language model can do without, and write the pruned model.

The search evolves binary patterns over the decoder blocks with DEAP (EvoP, arXiv 2502.14910);
the fitness of a pattern is the perplexity of the pruned model on calibration text. The pruned
model is an ordinary transformers checkpoint. The command reloads it and compares its logits
before it reports success.
"""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from json import dumps
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from evop_deap.base.errors import EvopError, InputError
from evop_deap.settings.config_files import read_settings
from evop_deap.settings.parser import Parser, add_flags
from evop_deap.settings.presets import preset_names, preset_settings
from evop_deap.settings.search_config import SearchConfig

_EXAMPLES = """examples:
  try it on a small real model; no model hub is needed:
    python -m evop_deap.search --model demo --sparsity 0.2 --output runs/demo
  drop a quarter of a hub model, calibrate on your own text, keep both ends:
    python -m evop_deap.search --model meta-llama/Llama-3.1-8B --sparsity 0.25 \\
        --corpus texts/ --tokens 32768 --window 2048 --protect 0 -1 --output runs/llama
  search several budgets in one run; each learns from those before it:
    python -m evop_deap.search --model demo --sparsity 0.1,0.2,0.3 --output runs/curve
  search for the whole front of loss against size, and export three points of it:
    python -m evop_deap.search --model demo --pareto parameters --sparsity 0.1,0.2,0.3 \\
        --generations 60 --output runs/front
  continue an interrupted run, or search for longer:
    python -m evop_deap.search --resume --output runs/llama --generations 60
  repeat a run with another seed:
    python -m evop_deap.search --config runs/demo/config.yaml --seed 1 --output runs/seed1
"""

_RUN = ("output", "preset", "config", "resume", "overwrite", "quiet", "json", "live", "tracker")


class _Terminated(BaseException):
    """SIGTERM has arrived."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit code."""
    parser = _parser()
    given = vars(parser.parse_args(arguments))
    run = {name: given.pop(name) for name in _RUN}
    before = None if run["resume"] else _settings_written(run["output"])
    previous = signal.signal(signal.SIGTERM, _raise_terminated)
    try:
        _search(given, **run)
    except EvopError as error:
        print(f"{parser.prog}: error: {error}", file=sys.stderr)  # noqa: T201
        return error.exit_code
    except KeyboardInterrupt:
        return _interrupted(run["output"], _written_since(run["output"], before), 130)
    except _Terminated:
        return _interrupted(run["output"], _written_since(run["output"], before), 143)
    finally:
        signal.signal(signal.SIGTERM, previous)
    return 0


def _search(
    given: Mapping[str, Any],
    *,
    output: str,
    preset: str | None,
    config: str | None,
    resume: bool,
    overwrite: bool,
    quiet: bool,
    json: bool,
    live: bool,
    tracker: str,
) -> None:
    settings = {
        **(preset_settings(preset) if preset else {}),
        **(read_settings(Path(config)) if config else {}),
        **given,
    }
    if resume:
        from evop_deap.runs.identity import resumed_settings

        settings = resumed_settings(output, settings)
    if "model" not in settings:
        raise InputError("`model` is required: give --model, or --config with it")
    checked = SearchConfig(**settings)

    from evop_deap.runs.listeners.progress import Progress, TerminalProgress, Together
    from evop_deap.runs.listeners.tracking import Tracker

    folder = Path(output)
    with ExitStack() as stack:
        listeners: list[Progress] = [
            stack.enter_context(Tracker(tracker, folder, checked.as_dict()))
        ]
        if live:
            from evop_deap.reporting.live import LiveReport

            listeners.append(stack.enter_context(LiveReport(folder)))
        if not quiet:
            listeners.append(TerminalProgress(checked.fitness))
        how = {"resume": resume, "overwrite": overwrite, "progress": Together(*listeners)}
        found, table = _found(checked, folder, how)
    if json:
        print(dumps(found, ensure_ascii=False, allow_nan=False))  # noqa: T201
    else:
        print(f"{table}\n\n{_what_next(folder, checked)}")  # noqa: T201


def _found(
    config: SearchConfig, output: Path, how: Mapping[str, Any]
) -> tuple[dict[str, Any], str]:
    """What a search found, as JSON values and as a table: at one budget, or at each of several."""
    from evop_deap.runs.run_search import run_search
    from evop_deap.runs.storage.curve import Curve, curve_table
    from evop_deap.runs.storage.result import result_table

    found = run_search(config, output, **how)
    table = curve_table(found) if isinstance(found, Curve) else result_table(found)
    return found.as_dict(), table


def _what_next(output: Path, config: SearchConfig) -> str:
    """The last thing that a search says."""
    figures, model = "result.json", output / "model"
    if config.several:
        from evop_deap.runs.storage.folder import RunFolder

        figures, model = "curve.json", RunFolder(output).budget(config.sparsity[-1]).model
    longer = f"python -m evop_deap.search --resume --output {shlex.quote(str(output))}"
    return "\n".join(
        [
            f"load it    AutoModelForCausalLM.from_pretrained({str(model)!r})",
            f"look at it {output / 'report.html'}; all figures are in {figures} beside it",
            f"search on  {longer} --generations N",
        ]
    )


def _interrupted(output: str, begun: bool, code: int) -> int:
    advice = (
        f"go on with: python -m evop_deap.search --resume --output {shlex.quote(output)}"
        if begun
        else "nothing was written yet"
    )
    print(f"\ninterrupted; {advice}", file=sys.stderr)  # noqa: T201
    return code


def _settings_written(output: str) -> int | None:
    """When the settings in a run's folder were written; None where there are none."""
    try:
        return (Path(output) / "config.yaml").stat().st_mtime_ns
    except OSError:
        return None


def _written_since(output: str, before: int | None) -> bool:
    """Whether there is something to go on with that is not an earlier run's."""
    return _settings_written(output) not in (None, before)


def _raise_terminated(number: int, frame: FrameType | None) -> NoReturn:
    raise _Terminated


def _parser() -> argparse.ArgumentParser:
    """Flags from the fields of `SearchConfig`, in its groups and with its help."""
    from evop_deap.runs.listeners.tracking import TRACKERS

    description, _, _ = (__doc__ or "").partition("\n\n")
    parser = Parser(
        prog="python -m evop_deap.search",
        usage="%(prog)s --model MODEL --sparsity SHARE --output DIR [options]",
        description=description,
        epilog=_EXAMPLES,
    )
    run = parser.add_argument_group("run")
    run.add_argument("--output", required=True, metavar="DIR", help="folder of the run")
    run.add_argument("--config", metavar="FILE", help="YAML file of settings; flags override it")
    known = " or ".join(preset_names())
    run.add_argument("--preset", metavar="NAME", help=f"named settings: {known}")
    run.add_argument("--resume", action="store_true", help="continue the run in --output")
    run.add_argument("--overwrite", action="store_true", help="replace the run in --output")
    run.add_argument("--quiet", action="store_true", help="no progress on stderr")
    run.add_argument("--json", action="store_true", help="print JSON and nothing else")
    run.add_argument("--live", action="store_true", help="serve the report during the search")
    run.add_argument(
        "--tracker",
        choices=TRACKERS,
        metavar="|".join(TRACKERS),
        default="none",
        help="log each generation to a tracker as well (default: none)",
    )
    add_flags(parser, SearchConfig)
    return parser


if __name__ == "__main__":
    sys.exit(main())
