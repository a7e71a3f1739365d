"""Loading of a causal language model and its tokenizer by the user's name for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evop_deap.base.errors import InputError
from evop_deap.models.anatomy.probe import embedding_table
from evop_deap.models.anatomy.quantisation import fields_of, settle
from evop_deap.models.loading.beside_decoder import BesideDecoder
from evop_deap.models.loading.checkpoint_files import checkpoint_folder
from evop_deap.models.loading.hardware import WEIGHTS_SHARE, choose_devices, choose_dtype, enough_of
from evop_deap.models.loading.load_weights import load_weights
from evop_deap.models.loading.memory_needs import allowed_memory, memory_told, weights_size
from evop_deap.models.loading.model_config import (
    explaining,
    known_hub_id,
    load_config,
    locate,
)
from evop_deap.models.loading.quiet import quiet_transformers
from evop_deap.models.loading.spread import spread
from evop_deap.models.loading.weights_place import RESIDENT, STREAMED, stays_in_files

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A causal language model, its tokenizer and facts about its checkpoint.

    Attributes:
        model: in evaluation mode, on its device.
        tokenizer: the model's tokenizer.
        name: the user's name for it.
        hub_id: its id on the hub; None for a local model.
        stored_dtype: dtype of the checkpoint, which may be of lower precision than the model's.
        context: the longest input in tokens; None if the configuration has no limit.
        beside: what its checkpoint holds beside its text decoder.
        files: folder of its checkpoint, if the model uses all weights there; None otherwise.
        streams_in: dtype to compute in, if the weights are to stay in their files; None if they
            are in memory.
        device: where to compute with weights that stay in their files.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    name: str
    hub_id: str | None
    stored_dtype: torch.dtype
    context: int | None
    beside: BesideDecoder = field(default_factory=BesideDecoder)
    files: Path | None = None
    streams_in: torch.dtype | None = None
    device: torch.device | None = None


def load_model(
    name: str,
    *,
    dtype: str = "auto",
    device: str = "auto",
    attn_implementation: str | None = None,
    revision: str | None = None,
    trust_remote_code: bool = False,
    text_only: bool = False,
    as_stored: bool = False,
    weights: str = RESIDENT,
    tell: Callable[[str], object] = lambda line: None,
) -> LoadedModel:
    """Load a causal language model and its tokenizer; of a multimodal one, all of it.

    Args:
        name: a hub id, a checkpoint folder, a GGUF file, or a demo model's name.
        dtype: "auto", "float32", "bfloat16" or "float16"; see `choose_dtype`.
        device: "auto", a PyTorch device, or several such as "cuda:0,cuda:1", over which the blocks
            are spread; "auto" takes several accelerators where one is too small.
        attn_implementation: as in transformers.
        revision: branch, tag or commit on the hub.
        trust_remote_code: whether code from the checkpoint may run.
        text_only: of a multimodal model, return its language model alone.
        as_stored: where "auto" would widen the stored dtype for speed, keep it: the weights then
            stay in their file until they are read. Like streamed ones, they are for
            `StreamedWeights`.
        weights: "resident", "streamed" or "auto"; see `stays_in_files`.
        tell: gets a line on the memory that it will take, before it is loaded.

    Raises:
        InputError: there is no such model, or it does not support an option.
        UnsupportedModelError: it is not a decoder-only causal language model.
    """
    places = choose_devices(device)
    where = locate(name)
    where |= {"revision": revision} if revision else {}
    with quiet_transformers(), explaining(name):
        config = load_config(where, name, trust_remote_code)
        stored = _stored_dtype(config)
        kept = as_stored and dtype == "auto" and stored.itemsize == 2
        packed = fields_of(config) is not None
        # Quantised layers expect the dtype that they were made for.
        keeps = kept or (packed and dtype == "auto")
        chosen = stored if keeps else choose_dtype(dtype, stored, places[0])
    folder = Path(where["pretrained_model_name_or_path"])
    is_here = folder.is_dir() and "gguf_file" not in where
    several, is_tight = places, False
    if packed:
        several = _only(places, name)
    elif device == "auto" and is_here and weights != STREAMED:
        size = weights_size(folder) * chosen.itemsize // stored.itemsize
        several = enough_of(places, size)
        is_tight = len(several) > 1 and size > WEIGHTS_SHARE * allowed_memory(*several)
    with quiet_transformers(), explaining(name):
        streams = stays_in_files(
            weights,
            where,
            config,
            stored=stored,
            dtype=chosen,
            devices=places if is_tight else several,  # weights are streamed to one
            text_only=text_only,
            tell=tell,
        )
    places = places if streams else several
    if is_here and not streams and (line := memory_told(folder, stored, chosen, *places)):
        tell(line)
    with quiet_transformers(), explaining(name):
        model, beside = load_weights(
            where,
            config,
            text_only=text_only,
            in_files=streams or kept,
            stand_ins=streams or (kept and [str(place) for place in places] == ["cpu"]),
            dtype=stored if streams else chosen,
            attn_implementation=attn_implementation,
            trust_remote_code=trust_remote_code,
            **({"device_map": {"": places[0]}} if packed else {}),
        )
        tokenizer = _load_tokenizer(where, trust_remote_code)
        if packed:
            settle(model)
        elif not streams:
            spread(model, places)
    hub_id = known_hub_id(name)
    rows = embedding_table(model).shape[0]
    if max(_words_of(tokenizer), default=0) >= rows:
        raise InputError(
            f"`model` {name} has embeddings for {rows} tokens, but its tokenizer has "
            f"{len(tokenizer)}: they do not belong together"
        )
    files = None if beside.left_out else checkpoint_folder({**where, "local_files_only": True})
    return LoadedModel(
        model=model.eval(),
        tokenizer=tokenizer,
        name=name,
        hub_id=hub_id,
        stored_dtype=stored,
        context=_context(config),
        beside=beside,
        files=files,
        streams_in=chosen if streams else None,
        device=places[0] if streams else None,
    )


def load_tokenizer(
    name: str, *, revision: str | None = None, trust_remote_code: bool = False
) -> tuple[PreTrainedTokenizerBase, int | None]:
    """Return a model's tokenizer and its context in tokens, without loading the model.

    Raises:
        InputError: there is no such model.
        UnsupportedModelError: it is not a decoder-only causal language model.
    """
    where = locate(name)
    where |= {"revision": revision} if revision else {}
    with quiet_transformers(), explaining(name):
        config = load_config(where, name, trust_remote_code)
        return _load_tokenizer(where, trust_remote_code), _context(config)


def _words_of(tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """Return the ids that a text can have, without those of added tokens that it does not write.

    Gemma 3 of 1B has a token for images, which it cannot read, beyond its embeddings.
    """
    begin_and_end = {tokenizer.bos_token_id, tokenizer.eos_token_id} - {None}
    added = set(tokenizer.added_tokens_decoder) - begin_and_end
    return set(tokenizer.get_vocab().values()) - added


def _load_tokenizer(where: dict[str, Any], trust_remote_code: bool) -> PreTrainedTokenizerBase:
    from transformers import AutoTokenizer

    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
        **where, trust_remote_code=trust_remote_code
    )
    return tokenizer


def _only(places: tuple[torch.device, ...], name: str) -> tuple[torch.device, ...]:
    """Return the device of a quantised model, if it is one.

    Raises:
        InputError: there are several.
    """
    if len(places) > 1:
        raise InputError(
            f"`device` must name one device, because `model` {name} is quantised, but names "
            f"{len(places)}"
        )
    return places


def _stored_dtype(config: PreTrainedConfig) -> torch.dtype:
    import torch

    stored = config.dtype or config.get_text_config(decoder=True).dtype
    return stored if isinstance(stored, torch.dtype) else torch.float32


def _context(config: PreTrainedConfig) -> int | None:
    return getattr(config.get_text_config(decoder=True), "max_position_embeddings", None)
