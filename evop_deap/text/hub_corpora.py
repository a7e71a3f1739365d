"""Presets: corpora of the Hugging Face hub with a short name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from evop_deap.base.errors import InputError
from evop_deap.text.documents import Document
from evop_deap.text.readers import reason_of
from evop_deap.text.split_text import split_text

_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True)
class Preset:
    """A data set of the hub.

    Attributes:
        repository: hub id.
        configuration: its subset.
        streamed: whether rows are read over the network one by one; else the set is downloaded
            and cached.
        lines: whether rows are lines of one text; else each is a document.
        documents: the largest number of documents to read, from the start.
    """

    repository: str
    configuration: str
    streamed: bool
    lines: bool
    documents: int


PRESETS = {
    "wikitext2": Preset(
        "Salesforce/wikitext", "wikitext-2-raw-v1", streamed=False, lines=True, documents=1_000
    ),
    "c4": Preset("allenai/c4", "en", streamed=True, lines=False, documents=10_000),
    "fineweb-edu": Preset(
        "HuggingFaceFW/fineweb-edu", "sample-10BT", streamed=True, lines=False, documents=5_000
    ),
}


def preset_documents(name: str) -> Iterator[Document]:
    """Yield the documents of a preset's training split, named `name#row`.

    With `HF_HUB_OFFLINE=1`, data in the cache of `datasets` is still read.

    Raises:
        InputError: the hub cannot be reached, or refuses the data.
    """
    preset = PRESETS[name]
    try:
        _check_reachable(preset)
        texts = (row["text"] for row in _load(preset))
        # Rows of WikiText are lines; all but blank ones keep their line end.
        documents = split_text("\n".join(map(str.rstrip, texts))) if preset.lines else texts
        for index, text in enumerate(documents):
            yield Document(f"{name}#{index}", text)
    except Exception as error:  # each layer below has network errors of its own
        raise InputError(
            f"`corpus` {name} could not be read from the hub ({preset.repository}: "
            f"{reason_of(error)}); give a local file or folder, or `demo`"
        ) from error


def hub_rows(name: str, split: str) -> list[str]:
    """Return the texts of the rows of a split of a preset, unchanged.

    Raises:
        InputError: the hub cannot be reached, or refuses the data.
    """
    preset = PRESETS[name]
    try:
        _check_reachable(preset)
        return [row["text"] for row in _load(preset, split)]
    except Exception as error:  # each layer below has network errors of its own
        raise InputError(
            f"{name} could not be read from the hub ({preset.repository}: {reason_of(error)}); "
            "give a local file"
        ) from error


def _check_reachable(preset: Preset) -> None:
    """Send one request first, because the library retries many times before it fails."""
    from huggingface_hub import HfApi, constants

    if not constants.HF_HUB_OFFLINE:
        HfApi().dataset_info(preset.repository, timeout=_TIMEOUT_SECONDS)


def _load(preset: Preset, split: str = "train") -> Any:
    import datasets

    return datasets.load_dataset(
        preset.repository,
        preset.configuration,
        split=split,
        streaming=preset.streamed,
    )
