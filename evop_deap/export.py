"""Write the pattern of a run in the format of another tool.

A checkpoint is built again from the dense model and checked. A text goes to stdout or --output.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from evop_deap.settings.parser import Parser, answer, path_flag

_FORMATS = """formats:
  transformers      checkpoint in the fewest layers of its own architecture (default)
  block-configs     checkpoint with no-op halves, read by vLLM's DeciLM (Llama, Mistral)
  layer-drop        EvoPress's layer_drop_config.txt
  mergekit          passthrough recipe (whole blocks only)
  per-layer-config  field of a transformers configuration, for code that reads it
  prune-layers      list for llama-quantize --prune-layers (whole blocks only)

examples:
    python -m evop_deap.export runs/demo --output pruned/demo
    llama-quantize --prune-layers $(python -m evop_deap.export runs/demo --format prune-layers) \\
        dense.gguf pruned.gguf Q4_K_M
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    parser = _parser()
    given = parser.parse_args(arguments)
    return answer(parser.prog, lambda: _export(given))


def _export(given: argparse.Namespace) -> str:
    from evop_deap.models.formats import PER_LAYER_WARNING
    from evop_deap.runs.export_run import export_run
    from evop_deap.runs.listeners.progress import Progress, TerminalProgress

    progress = Progress() if given.quiet else TerminalProgress()
    output = Path(given.output) if given.output else None
    message = export_run(
        Path(given.run),
        given.format,
        output,
        export_from=given.export_from,
        overwrite=given.overwrite,
        progress=progress,
    )
    if given.format == "per-layer-config":
        print(f"warning: {PER_LAYER_WARNING}", file=sys.stderr)  # noqa: T201
    return message


def _parser() -> argparse.ArgumentParser:
    description, _, _ = (__doc__ or "").partition("\n\n")
    parser = Parser(
        prog="python -m evop_deap.export",
        usage="%(prog)s RUN [--format FORMAT] [--output PATH] [options]",
        description=description,
        epilog=_FORMATS,
    )
    parser.add_argument("run", type=path_flag, metavar="RUN", help="folder of a finished run")
    parser.add_argument(
        "--format",
        default="transformers",
        metavar="FORMAT",
        help="see below (default: transformers)",
    )
    parser.add_argument(
        "--output", type=path_flag, metavar="PATH", help="folder of the checkpoint, or text file"
    )
    parser.add_argument(
        "--export-from",
        metavar="MODEL",
        help="dense original of a run's quantised model, for a checkpoint (default: the run's)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace what is at --output")
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")
    return parser


if __name__ == "__main__":
    sys.exit(main())
