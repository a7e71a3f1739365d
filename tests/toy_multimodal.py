"""Tiny random models that read images beside text, and an image for each of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch
from toy_models import VISION, WINDOW, build_toy, toy_sizes, toy_tokenizer
from transformers import PreTrainedModel, PreTrainedTokenizerFast

_WORDS = 300
_IMAGE = _WORDS  # ids above the words are placeholders for images
_SIZES: dict[str, Any] = {**toy_sizes(), "vocab_size": _WORDS + 4}
_PATCHED: dict[str, Any] = {
    "depth": 2,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_heads": 4,
    "patch_size": 4,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
    "out_hidden_size": 32,
}
_QWEN_IDS = {
    "image_token_id": _IMAGE,
    "video_token_id": _IMAGE + 1,
    "vision_start_token_id": _IMAGE + 2,
    "vision_end_token_id": _IMAGE + 3,
}
_ROPE: dict[str, Any] = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 1, 1]}

MULTIMODAL: dict[str, Callable[[], PreTrainedModel]] = {
    "gemma3": lambda: build_toy(
        "Gemma3Config",
        "Gemma3ForConditionalGeneration",
        text_config={**_SIZES, "head_dim": 8, "sliding_window": WINDOW, "num_hidden_layers": 6},
        vision_config=VISION,
        mm_tokens_per_image=4,
        image_token_index=_IMAGE,
    ),
    "llava": lambda: build_toy(
        "LlavaConfig",
        "LlavaForConditionalGeneration",
        text_config={"model_type": "llama", **_SIZES},
        vision_config={"model_type": "clip_vision_model", **VISION},
        image_token_index=_IMAGE,
    ),
    "mistral3": lambda: build_toy(
        "Mistral3Config",
        "Mistral3ForConditionalGeneration",
        text_config={"model_type": "mistral", **_SIZES, "head_dim": 8, "sliding_window": None},
        vision_config={"model_type": "pixtral", **VISION, "head_dim": 8, "image_size": 56},
        image_token_index=_IMAGE,
    ),
    "qwen2.5-vl": lambda: build_toy(
        "Qwen2_5_VLConfig",
        "Qwen2_5_VLForConditionalGeneration",
        text_config={**_SIZES, "rope_parameters": _ROPE},
        vision_config={**_PATCHED, "window_size": 16, "fullatt_block_indexes": [1]},
        **_QWEN_IDS,
    ),
    "qwen3-vl": lambda: build_toy(
        "Qwen3VLConfig",
        "Qwen3VLForConditionalGeneration",
        text_config={**_SIZES, "head_dim": 8, "rope_parameters": _ROPE},
        vision_config={
            **_PATCHED,
            "num_position_embeddings": 16,
            "deepstack_visual_indexes": [0, 1],
        },
        **_QWEN_IDS,
    ),
    "qwen3.5": lambda: build_toy(
        "Qwen3_5Config",
        "Qwen3_5ForConditionalGeneration",
        text_config={
            **_SIZES,
            "num_hidden_layers": 6,
            "full_attention_interval": 2,
            "head_dim": 16,
            "linear_key_head_dim": 8,
            "linear_value_head_dim": 8,
            "linear_num_key_heads": 2,
            "linear_num_value_heads": 4,
            "rope_parameters": {
                **_ROPE,
                "mrope_section": [1, 1, 0],
                "partial_rotary_factor": 0.25,
            },
        },
        vision_config={**_PATCHED, "num_position_embeddings": 16},
        **_QWEN_IDS,
    ),
}


def toy_multimodal(name: str) -> PreTrainedModel:
    """A freshly built toy, float32, in evaluation mode."""
    return MULTIMODAL[name]()


@cache
def shared_multimodal(name: str) -> PreTrainedModel:
    """The one toy of this name that tests share and leave as it was."""
    return toy_multimodal(name)


def an_image(name: str) -> dict[str, torch.Tensor]:
    """What the toy reads for a text with one random image in it, as arguments of a call."""
    generator = torch.Generator().manual_seed(3)
    holders = 2 if name == "mistral3" else 4
    ids = torch.tensor([[5, 6, 7, *[_IMAGE] * holders, 8, 9, 10, 11]])
    kinds = (ids == _IMAGE).long()
    if name.startswith("qwen"):
        pixels = torch.randn(16, 96, generator=generator)
        grid = torch.tensor([[1, 4, 4]])
        return {
            "input_ids": ids,
            "pixel_values": pixels,
            "image_grid_thw": grid,
            "mm_token_type_ids": kinds,
        }
    height = 56 if name == "mistral3" else 28
    pixels = torch.randn(1, 3, height, 28, generator=generator)
    more: dict[str, dict[str, torch.Tensor]] = {
        "gemma3": {"token_type_ids": kinds},
        "mistral3": {"image_sizes": torch.tensor([[height, 28]])},
    }
    return {"input_ids": ids, "pixel_values": pixels, **more.get(name, {})}


def image_logits(model: PreTrainedModel, name: str) -> torch.Tensor:
    """Logits of a pass over a text with an image: (1, tokens, vocabulary)."""
    with torch.no_grad():
        logits: torch.Tensor = model(**an_image(name), use_cache=False).logits
    return logits


PROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json", "chat_template.json")


def write_multimodal(folder: Path, name: str) -> Path:
    """A complete checkpoint of a toy, with a tokenizer and files of a processor."""
    shared_multimodal(name).save_pretrained(folder)
    tokenizer: PreTrainedTokenizerFast = toy_tokenizer()
    tokenizer.save_pretrained(folder)
    for file in PROCESSOR_FILES:
        (folder / file).write_text(json.dumps({"of": name, "file": file}))
    return folder
