"""What a search shows on a terminal, to a script and in a notebook."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import threading
from pathlib import Path
from typing import Any

import pytest
from forked_searches import start_search
from rich.console import Console

from evop_deap.runs.listeners.display import Display, strip
from evop_deap.runs.storage.loaded_run import load_run
from evop_deap.search import main


@pytest.fixture
def command(run_settings: dict[str, Any], tmp_path: Path) -> list[str]:
    words = ["--sparsity", "0.4", "--output", str(tmp_path / "run"), "--generations", "1"]
    for name in ("model", "corpus", "window", "tokens", "heldout_tokens", "population",
                 "tournament", "offspring"):  # fmt: skip
        words += [f"--{name.replace('_', '-')}", str(run_settings[name])]
    return words


def test_a_script_gets_the_result_as_json_and_nothing_else(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == json.loads((tmp_path / "run" / "result.json").read_text())
    assert len(out.strip().splitlines()) == 1
    assert re.search(
        r"generation 1: \d+ evaluations, best perplexity .*, \d+ s, about \d+ s left", err
    )
    assert re.search(r"time spent: prepare \d+ s \(\d+%\), search \d+ s .*export \d+ s", err)
    assert main([*command, "--json", "--quiet", "--overwrite"]) == 0
    out, err = capsys.readouterr()
    assert (json.loads(out)["n_blocks"], err) == (5, "")


def test_the_last_thing_a_search_says_is_what_to_do_next(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, "--quiet"]) == 0
    *_, load, look, longer = capsys.readouterr().out.strip().splitlines()
    from transformers import AutoModelForCausalLM

    call = re.sub(r"^load it +", "", load)
    assert eval(call, {"AutoModelForCausalLM": AutoModelForCausalLM}).config.num_hidden_layers == 3
    assert Path(look.split()[3].rstrip(";")).read_text().startswith("<!doctype html>")
    words = re.sub(r"^search on +python -m evop_deap.search ", "", longer).split()
    assert main([*words[:-1], "2", "--quiet"]) == 0
    assert "stopped after 2 generations" in capsys.readouterr().out
    resumed = load_run(tmp_path / "run").result
    assert resumed is not None
    assert resumed.generations == 2
    assert main([*words[:-1], "2"]) == 0
    assert "nothing is left to search: it stopped after 2 generations\n" in capsys.readouterr().err
    assert main([*words[:-1], "90", "--quiet"]) == 0
    out = capsys.readouterr().out
    assert "stopped after every pattern within reach was evaluated\n" in out
    assert "search on" not in out
    limited = [*command, "--quiet", "--overwrite", "--max-evaluations", "3", "--patience", "9"]
    assert main(limited) == 0
    *_, longer = capsys.readouterr().out.strip().splitlines()
    assert longer.endswith(" --generations N --max-evaluations N --patience N")
    assert main([*command, "--quiet", "--overwrite", "--method", "magnitude"]) == 0
    assert "search on" not in capsys.readouterr().out


def test_a_terminal_shows_a_bar_and_a_strip_and_no_other_output_does(
    command: list[str], tmp_path: Path
) -> None:
    controller, terminal = pty.openpty()
    chunks: list[bytes] = []

    def read() -> None:
        try:
            while chunk := os.read(controller, 4096):
                chunks.append(chunk)
        except OSError:  # the other end was closed
            return

    reader = threading.Thread(target=read)
    reader.start()
    process = start_search(
        command,
        stdout=tmp_path / "stdout",
        stderr=os.ttyname(terminal),
        environment={"COLUMNS": "100", "TERM": "xterm-256color"},
    )
    process.join()
    os.close(terminal)
    reader.join()
    os.close(controller)
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", b"".join(chunks).decode())
    assert process.exitcode == 0
    assert "generation 1 " in shown
    assert re.search(r"\d/\d+ patterns +perplexity \d", shown)
    assert re.search(r"[■·]{5}", shown)
    out = (tmp_path / "stdout").read_text()
    assert out.startswith("perplexity")
    assert "\x1b" not in out


def test_the_display_counts_stays_and_ends() -> None:
    written = io.StringIO()
    display = Display(Console(file=written, force_terminal=True, width=80, color_system=None))
    display.say("reading [the] corpus")
    display.count_texts(3)
    display.count_texts(4)
    display.begin(0, 10)
    display.advance()
    display.show(2, 8, "perplexity 9.99", (1, 0, 1), "about 3 min left")
    display.end()
    display.end()
    shown = written.getvalue()
    for words in (
        "reading [the] corpus",
        "7 texts embedded",
        "8/10",
        "perplexity 9.99",
        "3 min left",
        "■·■",
    ):
        assert words in shown
    assert str(strip([0, 1])) == "·■"


def test_a_notebook_shows_a_result(finished_run: Path) -> None:
    result = load_run(finished_run).result
    assert result is not None
    html = result._repr_html_()
    assert html.count("display:inline-block") == result.n_blocks
    assert "<script" not in html
    assert f"{result.heldout.perplexity['pruned']:.2f}" in html


def test_a_run_reads_back_as_it_was_written(finished_run: Path) -> None:
    run = load_run(finished_run)
    assert run.result is not None
    assert run.result.as_dict() == json.loads((finished_run / "result.json").read_text())
    history = run.history()
    assert history.index.name == "gen"
    assert history["min"].tolist() == [row["min"] for row in run.rows]
    assert history["cost"].is_monotonic_increasing
    # The last row counts the survivors of which the best is the pattern found.
    drops = history["drops"].iloc[-1]
    assert sum(drops.values()) == 3 * len(run.result.dropped)
    assert all(drops[unit] >= 1 for unit in run.result.dropped)
    assert [unit["name"] for unit in run.result.units] == list(drops)
    gone = sum(u["parameters"] for u in run.result.units if u["name"] in run.result.dropped)
    assert run.result.parameters["dense"] - run.result.parameters["pruned"] == gone
