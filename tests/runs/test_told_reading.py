"""A search of streamed weights says when its generations are too small to pay for reading."""

from __future__ import annotations

from pathlib import Path

from toy_models import toy_model
from transformers import AutoModelForCausalLM

from evop_deap.models.streaming.streamed_weights import StreamedWeights
from evop_deap.runs.listeners.progress import Progress
from evop_deap.runs.told_reading import telling_of_reading


class Heard(Progress):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def stage(self, name: str) -> None:
        self.lines.append(name)


def test_only_slow_reading_is_told(tmp_path: Path) -> None:
    toy_model("llama").save_pretrained(tmp_path)
    model = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    weights, heard = StreamedWeights(model, model.dtype), Heard()
    with telling_of_reading(model, 4, heard):
        weights.reading.bytes += 2**20
    assert heard.lines == []
    with telling_of_reading(model, 4, heard):
        weights.reading.bytes += 2**20
        weights.reading.seconds += 1e6
    assert len(heard.lines) == 1
    assert "`offspring` 4 is small for streamed weights" in heard.lines[0]
    assert "reads 1.0 MiB in 1000000.0 s" in heard.lines[0]


def test_weights_in_memory_are_not_read(tmp_path: Path) -> None:
    heard = Heard()
    with telling_of_reading(toy_model("llama"), 1, heard):
        pass
    assert heard.lines == []
