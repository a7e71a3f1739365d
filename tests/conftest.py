"""Models and checkpoints that several test files build on."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Toy models are too small to share between threads; processes that tests start heed it too.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch
from hypothesis import settings
from toy_models import (
    ARCHITECTURES,
    RARE_ARCHITECTURES,
    shared_toy,
    toy_tokenizer,
    write_toy_checkpoint,
    write_toy_encoder,
)
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from evop_deap.runs.run_search import run_search
from evop_deap.settings.search_config import SearchConfig

# No test asserts a time.
settings.register_profile("evop_deap", deadline=None)
settings.load_profile("evop_deap")


@pytest.fixture(scope="session", autouse=True)
def _session_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What fixtures of several tests cache stays out of the user's folder, too."""
    yield from _cache_folder(tmp_path_factory)


@pytest.fixture(scope="module", autouse=True)
def _module_cache(_session_cache: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A run that a file compares with finds nothing that other files' runs have paid for."""
    yield from _cache_folder(tmp_path_factory)


def _cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EVOP_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test has a cache folder of its own, the user's stays out of it."""
    monkeypatch.setenv("EVOP_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(autouse=True)
def _same_threads() -> Iterator[None]:
    """No test, and no library that it calls, leaves another number of threads to the next."""
    before = torch.get_num_threads()
    yield
    assert torch.get_num_threads() == before


@pytest.fixture(scope="session", params=sorted(ARCHITECTURES))
def architecture(request: pytest.FixtureRequest) -> str:
    """The name of every supported toy architecture in turn."""
    return str(request.param)


@pytest.fixture(scope="session")
def any_model(architecture: str) -> PreTrainedModel:
    """A toy model of every supported architecture in turn; tests leave it as it was."""
    return shared_toy(architecture)


@pytest.fixture(scope="session", params=sorted(ARCHITECTURES | RARE_ARCHITECTURES))
def any_or_rare_model(request: pytest.FixtureRequest) -> PreTrainedModel:
    """A toy model of every architecture, rare ones too, in turn; tests leave it as it was."""
    return shared_toy(request.param)


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level tokenizer."""
    return toy_tokenizer()


@pytest.fixture(scope="session")
def llama() -> PreTrainedModel:
    """A toy Llama; tests leave it as it was."""
    return shared_toy("llama")


@pytest.fixture(scope="session")
def toy_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder holding a toy Llama and its tokenizer, as `--model` takes it."""
    return write_toy_checkpoint(tmp_path_factory.mktemp("toy") / "llama")


@pytest.fixture(scope="session")
def toy_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder holding a toy BERT and a tokenizer, as `--embedding` takes it."""
    return write_toy_encoder(tmp_path_factory.mktemp("toy") / "bert")


@pytest.fixture(scope="session")
def run_settings(toy_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Of a quick search with clusters, but for what is to go."""
    path = tmp_path_factory.mktemp("corpus") / "texts.jsonl"
    kinds = ["apple pear plum fruit", "steel iron zinc metal", "river lake sea water"]
    rows = [{"id": f"{i}", "text": f"{kinds[i % 3]} {i} " * 9} for i in range(90)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {
        "model": str(toy_checkpoint), "corpus": str(path), "window": 16, "tokens": 64,
        "heldout_tokens": 64, "calibration": "ccds", "embedding": "tfidf", "reducer": "pca",
        "min_cluster_size": 5, "population": 3, "tournament": 2, "offspring": 2,
        "generations": 2, "cache": False, "compensation_tokens": 256,
    }  # fmt: skip


@pytest.fixture(scope="session")
def finished_run(run_settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    output = tmp_path_factory.mktemp("runs") / "one"
    run_search(SearchConfig(sparsity=0.4, **run_settings), output)
    return output


@pytest.fixture(scope="module")  # its driver has an event loop, which later tests must not meet
def chromium() -> Iterator[Any]:
    """A headless browser that keeps nothing."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    found = [shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome")]
    path = next((name for name in found if name), None)
    if path is None:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()
