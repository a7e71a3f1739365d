"""The commands that make the kept cells of a folder, without `python -m`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from benchmarks.board.making.cells import DENSE
from benchmarks.board.making.run_files import Run

_TEXTS = "--corpus mixed.jsonl --heldout mixed.jsonl"


def joined(commands: Collection[str]) -> str:
    """Return different commands as one text, in order."""
    return "; ".join(dict.fromkeys(commands))


def luck_command(runs: Sequence[Run]) -> str:
    """Return the commands that make these runs of `benchmarks.board.luck`."""
    cells: dict[int, dict[int, dict[str, int]]] = {}  # size -> draw -> method -> last seed
    for run in runs:
        text, cell = run["protocol"]["calibration"], run["cell"]
        if cell["method"] != DENSE:
            last = cells.setdefault(text["tokens"], {}).setdefault(text["seed"], {})
            last[cell["method"]] = max(cell["seed"], last.get(cell["method"], 0))
    sizes: dict[str, list[int]] = {}
    for size, of_draws in sorted(cells.items()):
        for methods, seed in dict.fromkeys(_in_steps(of_draws.values())):
            having = (
                draw
                for draw, last in of_draws.items()
                if all(last.get(method, -1) >= seed for method in methods)
            )
            flags = f"--draws {1 + max(having)}" + (f" --seeds {1 + seed}" if seed else "")
            sizes.setdefault(f"{flags} --methods {' '.join(methods)}", []).append(size)
    protocol = runs[0]["protocol"]
    start = (
        f"benchmarks.board.luck --corpus {protocol['calibration']['corpus'].replace(' + ', ' ')} "
        f"--heldout mixed.jsonl{_computed(protocol)}"
    )
    return joined([f"{start} {f} --sizes {' '.join(map(str, some))}" for f, some in sizes.items()])


def _in_steps(draws: Iterable[Mapping[str, int]]) -> Iterator[tuple[tuple[str, ...], int]]:
    """Yield the methods that have a seed or a later one, for each last seed of a method."""
    for last in draws:
        for seed in sorted(set(last.values())):
            yield tuple(sorted(name for name, most in last.items() if most >= seed)), seed


def models_command(runs: Mapping[str, Sequence[Run]]) -> str:
    """Return the commands that make these runs of `benchmarks.board.models`, by model."""
    models: dict[tuple[str, str], list[str]] = {}
    for name, own in runs.items():
        protocol = own[0]["protocol"]
        cells = [run["cell"] for run in own if run["cell"]["method"] != DENSE]
        chosen = {
            "granularity": sorted({cell["granularity"] for cell in cells}),
            "sparsity": sorted({f"{cell['sparsity']:g}" for cell in cells}),
            "methods": sorted({cell["method"] for cell in cells}),
            "seeds": [str(1 + max(cell["seed"] for cell in cells))],
        }
        flags = " ".join(f"--{flag} {' '.join(values)}" for flag, values in chosen.items())
        made = f"{flags} {_TEXTS}{_computed(protocol)}"
        models.setdefault((made, _asked(protocol)), []).append(name)
    commands = []
    for (made, asked), names in models.items():
        start = f"benchmarks.board.models --models {' '.join(names)} {made}"
        commands += _in_two_steps(start, asked, "runs/models")
    return joined(commands)


def fitness_command(dense: Mapping[str, Run]) -> str:
    """Return the commands that make a folder of `benchmarks.board.fitness`.

    Args:
        dense: a run of the dense model of each model.
    """
    models: dict[tuple[str, str], list[str]] = {}
    for name, run in dense.items():
        protocol = run["protocol"]
        models.setdefault((_computed(protocol), _asked(protocol)), []).append(name)
    commands = []
    for (computed, asked), names in models.items():
        start = (
            f"benchmarks.board.fitness --models {' '.join(names)} {_TEXTS} "
            f"--questions arc_easy.dev.jsonl arc_challenge.dev.jsonl{computed}"
        )
        commands += _in_two_steps(start, asked, "runs/fitness")
    return joined(commands)


def _in_two_steps(start: str, asked: str, folder: str) -> list[str]:
    """The command, or one that finds the patterns and one that asks them all at once."""
    if not asked:
        return [start]
    asks = f"{start} --patterns-from {folder}{asked} --output {folder}.asked"
    return [f"{start} --output {folder}", asks]


def _computed(protocol: Mapping[str, Any]) -> str:
    """The flags of how a model is computed, and of the compensation that all cells have."""
    compensated = protocol.get("compensate")
    more = f" --compensate {compensated['form']}" if compensated else ""
    return f" --dtype {protocol['dtype']}{more}"


def _asked(protocol: Mapping[str, Any]) -> str:
    """The flags of the tasks and of generated text; empty without tasks."""
    if not protocol.get("tasks"):
        return ""
    given = {name: protocol.get(name) for name in ("limit", "arithmetic", "prompts")}
    flags = " ".join(f"--{name} {value}" for name, value in given.items() if value is not None)
    return f" --tasks-from tasks {flags}".rstrip()
