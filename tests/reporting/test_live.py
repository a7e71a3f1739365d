"""A run that is watched while it goes on: the page that follows it, and trackers."""

from __future__ import annotations

import json
import math
import socket
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from evop_deap.base.errors import InputError
from evop_deap.evolution.state import EvolutionState
from evop_deap.reporting.live import LiveReport
from evop_deap.runs.listeners.progress import Progress, Together
from evop_deap.runs.listeners.tracking import Tracker
from evop_deap.runs.run_search import run_search
from evop_deap.runs.storage.loaded_run import load_run
from evop_deap.search import main
from evop_deap.settings.search_config import SearchConfig


def answer(url: str, host: str | None = None) -> tuple[int, str, Any]:
    request = urllib.request.Request(url, headers={"Host": host} if host else {})
    with urllib.request.urlopen(request, timeout=60) as response:
        return response.status, response.read().decode(), response.headers


class Watcher(Progress):
    """Looks at the page from within the run, as a browser does from outside."""

    def __init__(self, live: LiveReport) -> None:
        self.live = live
        self.pages: list[str] = []
        self.versions = {""}

    def generation(self, state: EvolutionState) -> None:
        assert self.live.url is not None
        self.pages.append(answer(self.live.url)[1])
        news = answer(f"{self.live.url}content?since=none")
        self.versions.add(news[2]["X-Version"])
        assert f"<dd>{state.generation}<" in news[1]


def test_the_page_follows_the_run_and_stops_with_it(
    run_settings: dict[str, Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("evop_deap.reporting.live._GRACE", 0.1)  # this reader seldom asks again
    folder = tmp_path / "run"
    last: list[Any] = []
    with LiveReport(folder) as live:
        watcher = Watcher(live)
        run_search(
            SearchConfig(sparsity=0.4, **run_settings), folder, progress=Together(live, watcher)
        )
        assert live.url is not None
        assert f"live report: {live.url}" in capsys.readouterr().err
        assert len(watcher.pages) == 3
        assert len(watcher.versions) == 4
        assert all('data-version="' in page for page in watcher.pages)
        assert "connect-src 'self'" in watcher.pages[0]
        # Who waits is told of the end, and nobody after it.
        version = answer(f"{live.url}content?since=none")[2]["X-Version"]
        asking = threading.Thread(
            target=lambda: last.append(answer(f"{live.url}content?since={version}"))
        )
        asking.start()
        while not any("process_request" in thread.name for thread in threading.enumerate()):
            time.sleep(0.01)
    asking.join()
    assert last[0][2]["X-Ended"] == "yes"
    assert "has%20ended" in last[0][2]["X-Status"]
    assert "held-out perplexity" in last[0][1]
    with pytest.raises(urllib.error.URLError):
        answer(live.url)


def test_the_page_follows_the_search_of_a_front(
    run_settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evop_deap.reporting.live._GRACE", 0.1)
    config = SearchConfig(
        sparsity=(0.2, 0.4), pareto="parameters", **{**run_settings, "compensate": "off"}
    )
    with LiveReport(tmp_path) as live:
        watcher = Watcher(live)
        run_search(config, tmp_path, progress=Together(live, watcher))
    assert len(watcher.pages) == 3
    assert len(watcher.versions) == 4


def test_who_is_about_to_ask_again_is_waited_for_and_told_of_the_end(
    finished_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def ask_late(url: str, version: str) -> None:
        ending.wait()
        time.sleep(0.3)
        asked.append(answer(f"{url}content?since={version}"))

    ending = threading.Event()
    with LiveReport(finished_run) as live:
        live.searching(0, None)
        assert live.url is not None
        answer(live.url)
        version = answer(f"{live.url}content?since=none")[2]["X-Version"]
        returning = threading.Thread(target=ask_late, args=(live.url, version))
        returning.start()
        ending.set()
    returning.join()
    assert asked[0][2]["X-Ended"] == "yes"


def test_a_page_that_is_closed_leaves_the_terminal_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evop_deap.reporting.live._GRACE", 0.1)
    monkeypatch.setattr("evop_deap.reporting.live.load_search", lambda folder: None)
    monkeypatch.setattr("evop_deap.reporting.live.content", lambda runs: "x" * 10**7)
    with LiveReport(tmp_path) as live:
        live.searching(0, None)
        assert live.url is not None
        port = int(live.url.rstrip("/").rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=5) as page:
            page.sendall(b"GET /content?since=none HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert page.recv(4).startswith(b"HTTP")
    assert capsys.readouterr().err == f"live report: {live.url}\n"


def test_only_this_machine_is_served_and_only_the_page(tmp_path: Path) -> None:
    with LiveReport(tmp_path) as live:
        live.searching(0, None)
        assert live.url is not None
        port = int(live.url.rstrip("/").rpartition(":")[2])
        address = socket.gethostbyname(socket.gethostname())
        if not address.startswith("127."):
            with pytest.raises(OSError, match="refused"):
                socket.create_connection((address, port), timeout=5)
        for path, host, code in (
            ("", "evil.example", 403),
            ("config.yaml", None, 404),
            ("../../etc/passwd", None, 404),
            ("", None, 503),  # nothing has been written yet
        ):
            with pytest.raises(urllib.error.HTTPError) as caught:
                answer(live.url + path, host)
            assert caught.value.code == code


def test_a_browser_sees_a_run_grow_and_keeps_what_was_unfolded(
    chromium: Any,
    run_settings: dict[str, Any],
    tmp_path: Path,
) -> None:
    folder = tmp_path / "run"
    seen: list[str] = []

    class Looker(Progress):
        """A reader who looks again after every generation."""

        page: Any = None
        complaints: list[str] = []  # noqa: RUF012

        def generation(self, state: EvolutionState) -> None:
            if self.page is None:
                self.page = chromium.new_page()
                self.page.on("console", lambda message: self.complaints.append(message.text))
                self.page.goto(live.url)
                self.page.locator("#course summary").click()
            tile = ".tile:has(dt:text-is('generation')) dd"
            self.page.wait_for_selector(f"{tile}:has-text('{state.generation}')")
            self.page.wait_for_selector("#course details[open]")
            seen.append(self.page.inner_text("h1"))

    looker = Looker()
    with LiveReport(folder) as live:
        run_search(
            SearchConfig(sparsity=0.4, **run_settings), folder, progress=Together(live, looker)
        )
    assert seen == ["Searching llama"] * 3
    looker.page.wait_for_selector("#perplexity .point", state="attached")
    assert "The run has ended." in looker.page.inner_text("#status")
    assert looker.complaints == []
    looker.page.close()


def test_tensorboard_has_every_generation_and_the_result(
    run_settings: dict[str, Any],
    tmp_path: Path,
) -> None:
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="needs tensorboard"
    )
    folder = tmp_path / "run"
    config = SearchConfig(sparsity=0.4, **run_settings)
    with Tracker("tensorboard", folder, config.as_dict()) as tracker:
        run_search(config, folder, progress=tracker)
    events = accumulator.EventAccumulator(str(folder / "tracking"))
    events.Reload()
    run = load_run(folder)
    best = [event.value for event in events.Scalars("search/min")]
    assert best == pytest.approx([row["min"] for row in run.rows])
    assert run.result is not None
    (heldout,) = events.Scalars("heldout/pruned_perplexity")
    assert heldout.value == pytest.approx(run.result.heldout.perplexity["pruned"])
    # Another run may take the place, and then nothing of this one is left.
    run_search(config.replace(generations=0), folder, overwrite=True)
    assert not (folder / "tracking").exists()


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_a_tracker_that_talks_leaves_the_output_to_scripts(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))  # read on import
    pytest.importorskip(name, reason=f"needs {name}")
    with Tracker(name, tmp_path / "run", {"seed": 0}) as tracker:
        tracker._log({"min": 1.5, "best": math.inf}, 0)
        tracker._log({"heldout/pruned_perplexity": 3.0}, 0)
    assert capsys.readouterr().out == ""
    kept = tmp_path / ("trackio" if name == "trackio" else "run/tracking")
    assert any(kept.rglob("*"))


def test_a_tracker_that_is_missing_is_named_before_anything_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    command = ["--model", "nowhere", "--sparsity", "0.2", "--output", str(tmp_path / "run")]
    assert main([*command, "--tracker", "wandb"]) == 2
    err = capsys.readouterr().err
    assert "`tracker` wandb is not installed: pip install wandb" in err
    assert len(err.strip().splitlines()) == 1
    with pytest.raises(InputError, match="`tracker` must be 'none' or .*, but got 'mlflow'"):
        Tracker("mlflow", tmp_path, {})


def test_what_a_run_told_is_the_same_with_and_without_those_who_listen(
    run_settings: dict[str, Any],
    tmp_path: Path,
) -> None:
    config = SearchConfig(sparsity=0.4, **{**run_settings, "generations": 1})
    with LiveReport(tmp_path / "watched") as live:
        run_search(config, tmp_path / "watched", progress=live)
    run_search(config, tmp_path / "alone")
    first, second = (
        {**json.loads((tmp_path / name / "result.json").read_text()), "seconds": 0}
        for name in ("watched", "alone")
    )
    assert first == second
