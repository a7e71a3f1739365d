"""A search on two workers, in real processes: a toy model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from evop_deap.base.errors import InputError
from evop_deap.distributed.cluster import open_cluster
from evop_deap.distributed.share import Share
from evop_deap.runs.identity import resumed_settings
from evop_deap.runs.listeners.progress import Progress
from evop_deap.runs.run_search import run_search
from evop_deap.settings.search_config import SearchConfig

pytest.importorskip("ray", reason="ray is not installed")


class Said(Progress):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def stage(self, text: str) -> None:
        self.lines.append(text)


def counted(output: Path) -> dict[str, Any]:
    """The result but for time, and for work that was executed: workers repeat some."""
    found = json.loads((output / "result.json").read_text())
    return {name: found[name] for name in found.keys() - {"seconds", "executed"}}


def test_a_search_of_one_process_goes_on_with_two_workers_and_ends_the_same(
    run_settings: dict[str, Any], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    given = {**run_settings, "sparsity": 0.4, "offspring": 4}
    whole, begun, said = tmp_path / "whole", tmp_path / "begun", Said()
    run_search(SearchConfig(**{**given, "generations": 3}), whole)
    run_search(SearchConfig(**{**given, "generations": 1}), begun)
    capfd.readouterr()
    spread = SearchConfig(**{**given, "generations": 3, "workers": 2})
    run_search(spread, begun, resume=True, progress=said)
    assert counted(begun) == counted(whole)
    assert (begun / "model/model.safetensors").read_bytes() == (
        whole / "model/model.safetensors"
    ).read_bytes()
    threads = torch.get_num_threads()
    cores = f"{threads} core{'s' * (threads > 1)}"
    assert f"starting workers (2), each with {cores} and the model" in said.lines
    assert "2 workers ready" in said.lines
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"workers": "0"}, "`workers` must be a number of at least 1, auto or an address"),
        ({"workers": "many"}, "but got 'many'"),
        ({"workers": "2", "worker_gpus": 0.0}, "`worker_gpus` must be above 0"),
        ({"worker_gpus": 0.5}, "`worker_gpus` 0.5 needs `workers`"),
        ({"asynchronous": True}, "`asynchronous` needs `workers`: a number above 1, auto or an"),
        (
            {"asynchronous": True, "workers": 2, "pareto": "latency"},
            "`asynchronous` cannot be combined with `pareto` latency",
        ),
        (
            {"asynchronous": True, "workers": 2, "method": "angular"},
            "`asynchronous` cannot be combined with `method` angular",
        ),
    ],
)
def test_workers_that_cannot_be_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        SearchConfig(model="demo", sparsity=0.2, **given)


def test_a_resumed_run_may_become_asynchronous(finished_run: Path) -> None:
    asked = resumed_settings(finished_run, {"workers": "2", "asynchronous": True})
    assert SearchConfig(**asked).asynchronous
    with pytest.raises(InputError, match="--no-asynchronous searches by generations"):
        SearchConfig(**{**asked, "workers": "1"})


@pytest.mark.parametrize("address", ["ray://127.0.0.1:1", "127.0.0.1:1", "ray://127.0.0.1:port"])
def test_an_address_at_which_nothing_answers_is_refused_at_once(address: str) -> None:
    with (
        pytest.raises(InputError, match=f"nothing answers at {address}"),
        open_cluster(address, Share(cpus=1)),
    ):
        pass


def test_a_yaml_file_may_write_the_number_of_workers_as_a_number() -> None:
    assert SearchConfig(model="demo", sparsity=0.2, workers=2).workers == "2"  # type: ignore[arg-type]
