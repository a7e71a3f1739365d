r"""A tiny decoder trained from scratch in minutes, so that every pattern of it can be evaluated.

    python -m benchmarks.landscapes.tiny_models --corpus wiki.train.first1MB.txt \
        --layers 14 --seed 14 --output models/tiny14

It is a thin Llama with a byte-level BPE vocabulary of its own. It is trained, because in a random
model no layer builds on another and there is nothing to search for. The same seed and number of
threads give the same weights on the same machine.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks.common.record import errors_in_one_line
from evop_deap.base.errors import InputError
from evop_deap.text.corpus import load_corpus

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

CONTEXT = 256  # length of the longest window that a landscape may use
WARM_UP = 50
HELD_BACK = 0.05  # share of the text, at its end, to report a loss on


@dataclass(frozen=True)
class Recipe:
    """The architecture and the training of a model.

    Attributes:
        layers: decoder blocks.
        hidden: width; heads are 16 wide.
        vocabulary: tokens, bytes among them.
        steps: of AdamW, with a cosine schedule.
        batch: windows a step.
        window: tokens of a window.
        rate: the highest learning rate.
        seed: of weights and batches.
    """

    layers: int = 14
    hidden: int = 48
    vocabulary: int = 512
    steps: int = 800
    batch: int = 8
    window: int = 128
    rate: float = 3e-3
    seed: int = 0

    def __post_init__(self) -> None:
        if self.hidden < 16 or self.hidden % 16:
            raise InputError(f"`hidden` must be a multiple of 16, but got {self.hidden}")
        if not 2 <= self.window <= CONTEXT:
            raise InputError(f"`window` must be from 2 to {CONTEXT}, but got {self.window}")
        for name in ("layers", "steps", "batch"):
            if getattr(self, name) < 1:
                raise InputError(f"`{name}` must be at least 1, but got {getattr(self, name)}")


def make_tokenizer(texts: Sequence[str], size: int) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE tokenizer of `size` tokens on the texts."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", model_max_length=CONTEXT
    )


def make_model(recipe: Recipe, vocabulary: int) -> LlamaForCausalLM:
    """The model before training."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(recipe.seed)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=recipe.hidden,
        intermediate_size=5 * recipe.hidden // 2,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.hidden // 16,
        num_key_value_heads=recipe.hidden // 16,
        max_position_embeddings=CONTEXT,
        initializer_range=recipe.hidden**-0.5,  # so large that every block matters from the start
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=1,
    )
    return LlamaForCausalLM(config)


def batches(tokens: NDArray[np.int64], recipe: Recipe) -> Iterator[torch.Tensor]:
    """Yield (batch, window) token ids from random positions of the text."""
    rng = np.random.default_rng(recipe.seed)
    reach = np.arange(recipe.window)
    while True:
        starts = rng.integers(len(tokens) - recipe.window, size=recipe.batch)
        yield torch.from_numpy(tokens[starts[:, None] + reach])


def learning_rate(step: int, recipe: Recipe) -> float:
    """The learning rate of a step: linear warm-up, then a cosine decay to a tenth."""
    if step < WARM_UP:
        return recipe.rate * (step + 1) / WARM_UP
    done = (step - WARM_UP) / max(1, recipe.steps - WARM_UP)
    return recipe.rate * (0.55 + 0.45 * math.cos(math.pi * done))


def train(model: LlamaForCausalLM, tokens: NDArray[np.int64], recipe: Recipe) -> None:
    """Train `model` to predict `tokens`, in place."""
    optimizer = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.95), weight_decay=0.1)
    drawn = batches(tokens, recipe)
    model.train()
    progress = tqdm(range(recipe.steps), file=sys.stderr, mininterval=10)
    for step in progress:
        ids = next(drawn)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, recipe)
        loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        progress.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
    model.eval()


@torch.inference_mode()
def mean_loss(model: LlamaForCausalLM, tokens: NDArray[np.int64], window: int) -> float:
    """Nats per predicted token over `tokens`, cut into windows."""
    whole = len(tokens) // window * window
    rows = torch.from_numpy(tokens[:whole].reshape(-1, window))
    return float(np.mean([model(input_ids=ids, labels=ids).loss.item() for ids in rows.split(1)]))


def unigram_loss(known: NDArray[np.int64], tokens: NDArray[np.int64], vocabulary: int) -> float:
    """Nats per token of a unigram model."""
    counts = Counter(known.tolist())
    total = len(known) + vocabulary
    return float(-np.mean([math.log((counts[token] + 1) / total) for token in tokens.tolist()]))


def main() -> None:
    """Parse, train, write and print."""
    usual = Recipe()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--corpus", required=True, help="text to learn, as evop_deap.search takes")
    for name in ("layers", "hidden", "vocabulary", "steps", "batch", "window", "seed"):
        parser.add_argument(f"--{name}", type=int, default=getattr(usual, name))
    parser.add_argument("--rate", type=float, default=usual.rate)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path, required=True)
    given = vars(parser.parse_args())
    corpus, threads, output = (given.pop(name) for name in ("corpus", "threads", "output"))
    recipe = Recipe(**given)
    texts = [document.text for document in load_corpus(corpus).documents]
    tokenizer = make_tokenizer(texts, recipe.vocabulary)
    ids = tokenizer("\n\n".join(texts), verbose=False).input_ids
    tokens = np.array(ids, dtype=np.int64)
    if len(tokens) < 40 * recipe.window:
        raise InputError(f"`corpus` must have more tokens than {len(tokens)}: 40 windows at least")
    known, held = np.split(tokens, [round((1 - HELD_BACK) * len(tokens))])
    model = make_model(recipe, len(tokenizer))
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        train(model, known, recipe)
    finally:
        torch.set_num_threads(before)
    model.save_pretrained(output)
    tokenizer.save_pretrained(output)
    print(
        f"{model.num_parameters():,} parameters, {len(known):,} tokens; held-out loss "
        f"{mean_loss(model, held, recipe.window):.3f}, "
        f"of frequencies alone {unigram_loss(known, held, len(tokenizer)):.3f}"
    )


if __name__ == "__main__":
    with errors_in_one_line():
        main()
