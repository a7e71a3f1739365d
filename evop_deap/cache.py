"""Show or remove the losses that searches store in the user's cache and share.

The first search creates the file. Beside it lie embeddings, clusters, rehearsals and other answers
that are not worked out twice. `info` and `clear` are safe to run during a search.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from evop_deap.base.user_folders import LOSSES_FILE, cache_folder
from evop_deap.settings.parser import Parser, answer, path_flag

_EXAMPLES = """examples:
  show what is stored, and where:
    python -m evop_deap.cache info
  remove everything, or only the losses of contexts that begin so (`info` shows them):
    python -m evop_deap.cache clear
    python -m evop_deap.cache clear --context gpt2
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    parser = _parser()
    given = parser.parse_args(arguments)
    return answer(parser.prog, lambda: _answer(given))


def _answer(given: argparse.Namespace) -> str:
    from evop_deap.base.kept_folders import clear_folders, what_folders_hold
    from evop_deap.fitness.store.store_file import clear, what_is_kept

    path = Path(given.path) if given.path is not None else cache_folder() / LOSSES_FILE
    if given.command == "info":
        beside = what_folders_hold(cache_folder()) if given.path is None else []
        return "\n".join([*beside, what_is_kept(path, _warn)])
    losses = clear(path, given.context, _warn)
    whole = given.path is None and given.context is None
    return "\n".join([losses, *(clear_folders(cache_folder()) if whole else [])])


def _warn(message: str) -> None:
    print(message, file=sys.stderr)  # noqa: T201


def _parser() -> argparse.ArgumentParser:
    description, _, _ = (__doc__ or "").partition("\n\n")
    parser = Parser(
        prog="python -m evop_deap.cache",
        description=description,
        epilog=_EXAMPLES,
    )
    parser.add_argument(
        "--path",
        type=path_flag,
        metavar="FILE",
        help=f"file of losses (default: {LOSSES_FILE} in folder EVOP_CACHE, or the user's cache)",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="{info,clear}")
    commands.add_parser("info", help="show what is stored, for which contexts, and where")
    clear = commands.add_parser("clear", help="remove everything, or only losses")
    clear.add_argument("--context", metavar="PREFIX", help="only contexts that begin with PREFIX")
    return parser


if __name__ == "__main__":
    sys.exit(main())
