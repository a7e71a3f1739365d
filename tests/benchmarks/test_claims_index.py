"""The index of claims says what the committed files say, and how they are made."""

from __future__ import annotations

import importlib
import json
import re
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from benchmarks.calibration import clusters, near_equals
from benchmarks.claims import BY_HAND, claims, index
from benchmarks.common.claim import Claim, measured_at
from benchmarks.common.record import markdown_table, table_rows
from benchmarks.evaluator import cost_curve, speed
from benchmarks.search import against_heuristics, budget_curve, racing, stagnation

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "benchmarks"
PAGES = [
    *sorted(FOLDER.glob("*.md")),
    *sorted(FOLDER.glob("*/*.md")),
    *sorted((ROOT / "evop_deap").rglob("README.md")),
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
]
CLAIMS = claims()
COMMANDS = list(dict.fromkeys(one for claim in CLAIMS for one in claim.command.split("; ")))


def read(file: str) -> Any:
    return json.loads((FOLDER / file).read_text(encoding="utf-8"))


def test_the_readme_of_the_benchmarks_holds_the_index_as_the_files_give_it() -> None:
    assert index() in (FOLDER / "README.md").read_text(encoding="utf-8")


def test_a_figure_is_read_from_a_file_or_is_marked_as_read_by_hand() -> None:
    by_hand = [claim for claim in CLAIMS if not claim.file]
    assert all((FOLDER / claim.file).exists() for claim in CLAIMS)
    assert index().count(f"| {BY_HAND} |") == len(by_hand) < len(CLAIMS) / 5
    assert all(re.fullmatch(r"\(?[0-9a-f]{7}\+?\)?(, [0-9a-f]{7}\+?)*", c.commit) for c in CLAIMS)


def test_a_commit_in_parentheses_is_of_a_file_that_names_none() -> None:
    for claim in (claim for claim in CLAIMS if claim.file):
        assert (claim.commit == measured_at(claim.file)) != claim.commit.startswith("(")


@pytest.mark.parametrize("command", COMMANDS)
def test_the_command_of_a_claim_exists_with_its_flags(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module, *arguments = command.split()
    (*subcommand,) = [word for word in arguments[:1] if module == "benchmarks.calibration"]
    helped = [module]
    passes_on = {
        "benchmarks.board.limit": "benchmarks.board",
        "benchmarks.search.time_to_quality": "evop_deap.search",
    }
    helped += [passes_on[module]] if module in passes_on else []
    for name in helped:
        monkeypatch.setattr(sys, "argv", [name, *subcommand, "--help"])
        with pytest.raises(SystemExit) as ended:
            started(name)()
        assert ended.value.code == 0
    known = set(re.findall(r"--[a-z][a-z-]+", capsys.readouterr().out))
    assert {word for word in arguments if word.startswith("--")} <= known


def started(name: str) -> Callable[[], object]:
    """What `python -m` runs."""
    module = importlib.import_module(name)
    if hasattr(module, "__path__"):
        module = importlib.import_module(f"{name}.__main__")
    return module.main  # type: ignore[no-any-return]


@pytest.mark.parametrize("file", sorted({claim.file for claim in CLAIMS if claim.file}))
def test_a_claim_of_a_file_stands_beside_the_page_that_explains_it(file: str) -> None:
    assert (FOLDER / file.split("/")[0] / "README.md").exists()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_benchmark_that_a_page_names_is_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    modules = set(re.findall(r"python -m (benchmarks[a-z_.]*[a-z_])", text))
    assert [name for name in modules if find_spec(name) is None] == []
    files = set(re.findall(r"benchmarks/[a-z_/]+\.(?:py|md|yaml)", text))
    assert [name for name in files if not (ROOT / name).exists()] == []
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    linked = {link.split("#")[0] for link in re.findall(r"\]\((?!http)([^)]+)\)", prose)}
    assert [link for link in linked if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("script", sorted(FOLDER.rglob("*.py")), ids=lambda path: path.stem)
def test_a_script_tells_commands_that_exist(script: Path) -> None:
    text = script.read_text(encoding="utf-8")
    modules = set(re.findall(r"python -m (benchmarks[a-z_.]*[a-z_])", text))
    assert [name for name in modules if find_spec(name) is None] == []


def test_the_readme_of_each_folder_is_short() -> None:
    pages = {page.parent.name: page.stat().st_size for page in FOLDER.glob("*/README.md")}
    folders = {path.parent.name for path in FOLDER.glob("*/__init__.py")}
    assert folders == set(pages)
    assert max(pages.values()) < 8192


def seeding_table() -> str:
    found = {
        name: read(f"search/results/seeding.{name}.json")["inits"]
        for name in ("demo.blocks", "demo.blocks.8-29")
    }
    rows = [
        [
            f"`{init}`",
            *(
                f"{one[init]['evaluations']:.1f} ± {one[init]['error']:.1f}, "
                f"cost {one[init]['cost']:.1f}"
                for one in found.values()
            ),
        ]
        for init in found["demo.blocks"]
    ]
    return markdown_table(["begins with", *found], rows)


def clusters_table() -> str:
    names = ("mixed", "mixed_10k", "mixed_50k")
    first, *others = (
        clusters.clusters_table(read(f"calibration/results/clusters.{name}.json")).split("\n")
        for name in names
    )
    return "\n".join([*first, *(other[-1] for other in others)])


def near_equals_table() -> str:
    rows = read("calibration/results/near_equals.demo.json")["rows"]
    return near_equals.table([row for row in rows if row["calibrate"] < 64])


TABLES: dict[str, tuple[str, Callable[[], str]]] = {
    "seeding": ("search/README.md", seeding_table),
    "racing": (
        "search/README.md",
        lambda: racing.table(read("search/results/racing.demo.json")["reports"]),
    ),
    "budgets": (
        "search/README.md",
        lambda: budget_curve.table(read("search/results/budget_curve.demo.json")["runs"]),
    ),
    "heuristics": (
        "search/halves.md",
        lambda: against_heuristics.table(
            read("search/results/against_heuristics.demo.json")["runs"]
        ),
    ),
    "stagnation": (
        "search/stagnation.md",
        lambda: stagnation.table(read("search/results/stagnation.json")),
    ),
    "clusters": ("calibration/README.md", clusters_table),
    "near-equals": ("calibration/README.md", near_equals_table),
    "cost": (
        "evaluator/README.md",
        lambda: cost_curve.table(read("evaluator/results/cost_curve.demo.json")["rows"]),
    ),
    **{
        f"speed {name}": (
            "evaluator/README.md",
            lambda name=name: speed.table(read(f"evaluator/results/speed.{name}.json")),
        )
        for name in ("demo", "h200.bfloat16", "h200.float32")
    },
}


@pytest.mark.parametrize("name", TABLES)
def test_a_page_shows_the_table_of_its_file(name: str) -> None:
    page, table = TABLES[name]
    assert table() in (FOLDER / page).read_text(encoding="utf-8")


def test_commits_are_told_once_from_the_earliest_on(tmp_path: Path) -> None:
    late, early = "b" * 40, "a" * 40 + "+"
    runs = [{"date": "2026-02-02", "commit": late}, {"date": "2026-01-01", "commit": early}]
    (tmp_path / "one.json").write_text(json.dumps({"runs": [*runs, {"seed": 1}], "commit": None}))
    (tmp_path / "two.json").write_text(json.dumps(runs[0]))
    assert measured_at(str(tmp_path / "one.json")) == "aaaaaaa+, bbbbbbb"
    assert measured_at(str(tmp_path / "two.json")) == "bbbbbbb"
    assert measured_at(str(tmp_path)) == "aaaaaaa+, bbbbbbb"


def test_what_a_row_has_in_common_with_the_one_above_is_not_said_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = Claim("a", "1", "x", "board/f.json", "c")
    other = Claim("c", "3", "z", "", "d")
    monkeypatch.setattr(
        "benchmarks.claims.claims", lambda: [one, Claim("b", "2", "x", "board/f.json", "c"), other]
    )
    assert table_rows(index()) == {
        "a": ["1", "`x`", "[f.json](board/f.json)", "c"],
        "b": ["2", "″", "″", "″"],
        "c": ["3", "`z`", "by hand", "d"],
    }
