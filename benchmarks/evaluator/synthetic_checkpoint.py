"""A checkpoint of random weights in the shape of a large model, written shard by shard.

    python -m benchmarks.evaluator.synthetic_checkpoint --shape 8b --output big/

It has the tokenizer of the demo model. Making it takes no more memory than its largest shard.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from benchmarks.common.record import errors_in_one_line
from evop_deap.base.files import new_folder
from evop_deap.models.loading.demo_model import demo_checkpoint
from evop_deap.models.loading.load_model import load_tokenizer
from evop_deap.models.loading.shards import INDEX

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SHAPES: dict[str, dict[str, Any]] = {
    "tiny": {
        "vocab_size": 49152,
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 8,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    },
    "1b": {
        "vocab_size": 128256,
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "num_hidden_layers": 16,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
    },
    "8b": {
        "vocab_size": 128256,
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
    },
}
"""The sizes of Llama-3.2-1B and Llama-3.1-8B, and one for trials."""


def write_synthetic(
    shape: str, folder: Path, tokenizer: PreTrainedTokenizerBase, *, seed: int = 0
) -> None:
    """Write a Llama of random bfloat16 weights, with a shard for each block.

    Args:
        shape: a name in `SHAPES`.
        folder: where to write; it must not exist.
        tokenizer: saved beside the weights.
        seed: of the weights.
    """
    from accelerate import init_empty_weights
    from safetensors.torch import save_file
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(**SHAPES[shape], tie_word_embeddings=False, dtype="bfloat16")
    config.architectures = ["LlamaForCausalLM"]
    with init_empty_weights(include_buffers=True):
        empty = LlamaForCausalLM(config)
    shards: defaultdict[str, list[tuple[str, Any]]] = defaultdict(list)
    for name, weight in empty.named_parameters():
        block = name.removeprefix("model.layers.").partition(".")[0]
        shards[block if name.startswith("model.layers.") else name].append((name, weight))
    generator = torch.Generator().manual_seed(seed)
    places: dict[str, str] = {}
    with new_folder(folder) as temporary:
        for number, shard in enumerate(shards.values(), start=1):
            file = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
            tensors = {name: _drawn(weight.shape, generator) for name, weight in shard}
            save_file(tensors, temporary / file, metadata={"format": "pt"})
            places |= dict.fromkeys(tensors, file)
        (temporary / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": places}))
        config.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)


def _drawn(shape: torch.Size, generator: torch.Generator) -> torch.Tensor:
    """Return weights that keep the size of hidden states, or ones for a norm."""
    if len(shape) < 2:
        return torch.ones(shape, dtype=torch.bfloat16)
    drawn = torch.empty(shape, dtype=torch.bfloat16)
    return drawn.normal_(0.0, shape[-1] ** -0.5, generator=generator)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", choices=SHAPES, required=True)
    parser.add_argument("--output", type=Path, required=True, metavar="DIR")
    given = parser.parse_args(arguments)
    with errors_in_one_line():
        tokenizer, _ = load_tokenizer(str(demo_checkpoint()))
        write_synthetic(given.shape, given.output, tokenizer)
    return 0


if __name__ == "__main__":
    sys.exit(main())
