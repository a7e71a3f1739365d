"""Whatever stands on flags and in files ends in a result or in one short line; a seeded fuzzer."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from ended_commands import ended
from hostile_values import as_file, changed, fuzzed, leaves, values, words
from hypothesis import given, settings
from hypothesis import strategies as st

import evop_deap.apply
import evop_deap.cache
import evop_deap.calibrate
import evop_deap.evaluate
import evop_deap.export
import evop_deap.heal
import evop_deap.inspect
import evop_deap.report
import evop_deap.search
import evop_deap.tune
from evop_deap.base.data_files import parse_json, parse_yaml
from evop_deap.base.errors import EvopError
from evop_deap.models.formats import Drops, read_pattern
from evop_deap.runs.heal.heal_folder import HealFolder

COMMANDS: dict[str, tuple[Callable[[list[str]], int], list[str]]] = {
    "apply": (
        evop_deap.apply.main,
        ["--quiet", "--model", "./nowhere", "--pattern", "1", "--output", "out"],
    ),
    "cache": (evop_deap.cache.main, ["clear"]),
    "calibrate": (evop_deap.calibrate.main, ["--quiet", "--model", "./nowhere", "--output", "out"]),
    "evaluate": (evop_deap.evaluate.main, ["./nowhere", "--quiet"]),
    "export": (evop_deap.export.main, ["nowhere", "--quiet"]),
    "heal": (evop_deap.heal.main, ["./nowhere", "--quiet", "--output", "out"]),
    "inspect": (evop_deap.inspect.main, ["./nowhere", "--quiet"]),
    "report": (evop_deap.report.main, ["nowhere", "--output", "page.html"]),
    "search": (
        evop_deap.search.main,
        ["--quiet", "--model", "./nowhere", "--sparsity", "0.4", "--output", "out"],
    ),
    "tune": (evop_deap.tune.main, ["--quiet", "--landscape", "nowhere.npz", "--output", "out"]),
}
# These serve, print the help, or fetch.
LEFT_OUT = {"--help", "--live", "--tracker", "--tasks"}


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of our own with a file and links in a circle; no hub."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("text")
    Path("loop").symlink_to("loop")


def ends_well(main: Callable[[list[str]], int], arguments: Sequence[str]) -> int:
    """Run a command; check that it ends in a result or in one short line and leaves nothing."""
    before = sorted(map(str, Path.cwd().rglob("*")))
    run = ended(main, arguments)
    code, said = run.code, run.err
    assert code in (0, 2), (arguments, said)
    if code == 2:
        assert run.out == ""
        assert len(said.splitlines()) == 1, said
        assert len(said) < 800
        assert said.isprintable() or said.rstrip("\n").isprintable(), said
        assert sorted(map(str, Path.cwd().rglob("*"))) == before
    return code


@pytest.mark.parametrize("command", COMMANDS)
@fuzzed
@given(data=st.data())
def test_whatever_stands_on_a_flag_ends_in_one_short_line(
    command: str, data: st.DataObject
) -> None:
    main, base = COMMANDS[command]
    chosen = data.draw(st.lists(st.sampled_from(flags_of(command)), min_size=1, max_size=3))
    given_words = [[flag, *data.draw(st.lists(words, max_size=2))] for flag in chosen]
    ends_well(main, [*base, *(word for flag in given_words for word in flag)])


_FLAGS: dict[str, list[str]] = {}


def flags_of(command: str) -> list[str]:
    if command not in _FLAGS:
        main, base = COMMANDS[command]
        end = ended(main, [*base[:1], "--help"] if command == "cache" else ["--help"])
        found = re.findall(r"^ +(--[a-z-]+)", end.out, re.MULTILINE)
        _FLAGS[command] = sorted(set(found) - LEFT_OUT)
    return _FLAGS[command]


RAW = [
    "", "\ufeff", "[" * 3000, "{" * 3000, "a: " * 3000, "9" * 5000, "&a [*a]", "a: 2026-13-45",
    "? [1]\n: 2", "!!python/object/apply:os.getcwd []", "a: &x [1]\nb: *x", "a: 1\na: 2",
    "a: !!timestamp 2026-13-45", "a: !!int x", "a: .nan", "a: 1:99", "- 1\n---\n- 2", "\x00",
    "a: !!binary '?'", "{\"a\": NaN}", "{\"a\": 1e999}", "\x85", "a: 0x_", "a: ''\n\tb",
    "<<: 3", "<<: [1, 2]", "a: {<<: {b: 1}}", "%YAML 9.9\n---\na", "a: 0b", "=: 1", "a: 1__",
]  # fmt: skip


@fuzzed
@given(
    text=st.sampled_from(RAW) | values.map(as_file) | st.text(max_size=30),
    key=st.sampled_from(["", "seed: ", "model: ", "protect: ", "sparsity: ", "init: ", "budget: "]),
)
def test_whatever_a_settings_file_holds_ends_in_one_short_line(text: str, key: str) -> None:
    Path("config.yaml").write_bytes((key + text).encode("utf-8", "surrogatepass"))
    main, base = COMMANDS["search"]
    assert ends_well(main, [*base, "--config", "config.yaml"]) == 2


@fuzzed
@given(
    text=st.sampled_from(RAW) | values.map(as_file) | st.dictionaries(
        st.sampled_from(["source", "base", "corpus", "seed", "tokens", "full", "loss", "recipe"]),
        values,
        min_size=1,
    ).map(as_file),
)  # fmt: skip
def test_whatever_the_settings_of_a_healing_hold_ends_in_one_short_line(text: str) -> None:
    path = HealFolder(Path("out")).settings
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    main, base = COMMANDS["heal"]
    assert ends_well(main, [*base, "--resume"]) == 2


@fuzzed
@given(
    text=st.sampled_from(RAW) | st.dictionaries(
        st.sampled_from(["population", "init", "racing", "mutation", "tournament", "restart"]),
        values | st.dictionaries(st.sampled_from(["low", "high", "log"]), leaves),
        min_size=1,
    ).map(as_file),
)  # fmt: skip
def test_whatever_a_space_of_settings_holds_ends_in_one_short_line(text: str) -> None:
    Path("space.yaml").write_bytes(text.encode("utf-8", "surrogatepass"))
    main, base = COMMANDS["tune"]
    assert ends_well(main, [*base, "--space", "space.yaml"]) == 2


@fuzzed
@given(text=st.sampled_from(RAW) | values.map(as_file) | st.text(max_size=30))
def test_a_parser_returns_plain_values_or_says_in_one_line_why_not(text: str) -> None:
    for parse in (parse_json, parse_yaml):
        with contextlib.suppress(EvopError):
            parse(text)


RECIPES: list[dict[str, Any]] = [
    {
        "slices": [
            {"sources": [{"model": "m", "layer_range": [0, 2]}]},
            {"sources": [{"model": "m", "layer_range": [3, 5]}]},
        ],
        "merge_method": "passthrough",
        "dtype": "float32",
    },
    {"n_blocks": 5, "dropped": ["1", "2.mlp"], "merged": False},
    {"per_layer_config": {"1": {"skip": ["attention", "mlp"]}, "3": {"skip": "mlp"}}},
    {
        "block_configs": [
            {"attention": {"no_op": i == 1, "n_heads_in_group": 4}, "ffn": {"no_op": i == 2}}
            for i in range(5)
        ]
    },
]


@settings(fuzzed, max_examples=400)
@given(data=st.data(), recipe=st.sampled_from(RECIPES), bom=st.booleans())
def test_a_changed_recipe_is_read_as_it_says_or_refused_in_one_line(
    data: st.DataObject, recipe: dict[str, Any], bom: bool
) -> None:
    text = ("\ufeff" if bom else "") + as_file(changed(recipe, data))
    Path("recipe").write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        drops = read_pattern("recipe", 5)
    except EvopError:
        return
    assert isinstance(drops, Drops)
    assert drops.n_blocks == 5


TEXTS = ["none\nattn\nmlp\nnone\nattn+mlp\n", "1,2.mlp", "Block Removal Order: [1, 3]\n"]


@fuzzed
@given(
    text=st.sampled_from(TEXTS), at=st.integers(0, 40), word=words, bom=st.booleans()
)  # fmt: skip
def test_a_changed_list_is_read_or_refused_in_one_line(
    text: str, at: int, word: str, bom: bool
) -> None:
    changed_text = ("\ufeff" if bom else "") + text[:at] + word + text[at:]
    Path("recipe").write_bytes(changed_text.encode("utf-8", "surrogatepass"))
    with contextlib.suppress(EvopError):
        assert read_pattern("recipe", 5).n_blocks == 5
    with contextlib.suppress(EvopError):
        assert read_pattern(changed_text, 5).n_blocks == 5


@pytest.fixture
def own_run(finished_run: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    shutil.copytree(finished_run, folder, ignore=shutil.ignore_patterns("model", "report.html"))
    return folder


@settings(fuzzed, max_examples=100)
@given(data=st.data(), name=st.sampled_from(["result.json", "calibration.json", "history.jsonl"]))
def test_a_changed_file_of_a_run_is_shown_or_refused_in_one_line(
    own_run: Path, data: st.DataObject, name: str
) -> None:
    path = own_run / name
    kept = path.read_bytes()
    try:
        value = json.loads(kept.splitlines()[0] if name == "history.jsonl" else kept)
        path.write_text(as_file(changed(value, data)), encoding="utf-8", errors="surrogatepass")
        if ends_well(evop_deap.report.main, [str(own_run), "--output", "page.html"]) == 0:
            Path("page.html").unlink()
        if ends_well(evop_deap.export.main, [str(own_run), "--format", "layer-drop"]) == 0:
            assert read_pattern(str(path.with_name("result.json")), 5)
    finally:
        path.write_bytes(kept)
