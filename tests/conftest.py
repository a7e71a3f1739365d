"""Models and checkpoints that several test files build on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

# Toy models are too small to share between threads; processes that tests start heed it too.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from toy_models import (
    ARCHITECTURES,
    RARE_ARCHITECTURES,
    toy_model,
    toy_tokenizer,
    write_toy_checkpoint,
    write_toy_encoder,
)
from transformers import PreTrainedModel, PreTrainedTokenizerFast


@pytest.fixture(scope="session", autouse=True)
def _session_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What fixtures of several tests cache stays out of the user's folder, too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EVOP_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test has a cache folder of its own, the user's stays out of it."""
    monkeypatch.setenv("EVOP_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="session", params=sorted(ARCHITECTURES))
def architecture(request: pytest.FixtureRequest) -> str:
    """The name of every supported toy architecture in turn."""
    return str(request.param)


@pytest.fixture(scope="session")
def any_model(architecture: str) -> PreTrainedModel:
    """A toy model of every supported architecture in turn; tests leave it as it was."""
    return toy_model(architecture)


@pytest.fixture(scope="session", params=sorted(ARCHITECTURES | RARE_ARCHITECTURES))
def any_or_rare_model(request: pytest.FixtureRequest) -> PreTrainedModel:
    """A toy model of every architecture, rare ones too, in turn; tests leave it as it was."""
    return toy_model(request.param)


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level tokenizer."""
    return toy_tokenizer()


@pytest.fixture(scope="session")
def llama() -> PreTrainedModel:
    """A toy Llama; tests leave it as it was."""
    return toy_model("llama")


@pytest.fixture(scope="session")
def toy_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder holding a toy Llama and its tokenizer, as `--model` takes it."""
    return write_toy_checkpoint(tmp_path_factory.mktemp("toy") / "llama")


@pytest.fixture(scope="session")
def toy_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder holding a toy BERT and a tokenizer, as `--embedding` takes it."""
    return write_toy_encoder(tmp_path_factory.mktemp("toy") / "bert")
