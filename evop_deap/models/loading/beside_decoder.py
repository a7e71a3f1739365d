"""What a checkpoint holds beside the text decoder of a model, and what becomes of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

CAUSAL = "AutoModelForCausalLM"


@dataclass(frozen=True)
class BesideDecoder:
    """What a checkpoint holds beside a text decoder.

    Attributes:
        auto_class: name of the class of transformers that loads the whole model.
        kept: the modules beside the decoder, which stay as they are; empty without any.
        left_out: sentences on what is in the checkpoint but not in the model.
        processor: files of the processor of a multimodal model.
        text_only: whether the language model of a multimodal model was taken alone.
    """

    auto_class: str = CAUSAL
    kept: str = ""
    left_out: tuple[str, ...] = ()
    processor: tuple[Path, ...] = ()
    text_only: bool = False
