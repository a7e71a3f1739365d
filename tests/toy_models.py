"""Tiny random models of many architectures, and a tiny checkpoint folder with a tokenizer."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from evop_deap.models.anatomy.find_anatomy import find_anatomy

if TYPE_CHECKING:
    from evop_deap.models.anatomy.parts import Anatomy

VOCABULARY = 96
CONTEXT = 128
# Shorter than the texts of the tests, so that sliding layers really lose sight of tokens.
WINDOW = 6

_SPECIAL = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
_SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 5,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": CONTEXT,
    **_SPECIAL,
}
_MOE: dict[str, Any] = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24}
_MIXED = ["sliding_attention", "full_attention", "sliding_attention", "sliding_attention"]


def randomize(model: PreTrainedModel, seed: int) -> PreTrainedModel:
    """Draw weights so large that every block matters, and biases and norms off their defaults."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.ndim >= 2:
                parameter.copy_(0.25 * noise)
            else:
                parameter.add_(0.2 * noise)
    return model.eval()


def toy_sizes() -> dict[str, Any]:
    """The fields of a configuration that all toys share."""
    return dict(_SIZES)


def build_toy(config_class: str, model_class: str, **fields: Any) -> PreTrainedModel:
    """A toy of this class with random weights."""
    return _build(config_class, model_class, **fields)


def _build(config_class: str, model_class: str, **fields: Any) -> PreTrainedModel:
    config = getattr(transformers, config_class)(**fields)
    torch.manual_seed(0)
    model: PreTrainedModel = getattr(transformers, model_class)(config)
    return randomize(model, seed=len(model_class))


def _sized(family: str, **fields: Any) -> PreTrainedModel:
    """A model of a family that spells its sizes as Llama does."""
    return _build(f"{family}Config", f"{family}ForCausalLM", **{**_SIZES, **fields})


def _gpt2(**fields: Any) -> PreTrainedModel:
    return _build(
        "GPT2Config",
        "GPT2LMHeadModel",
        **{
            "vocab_size": VOCABULARY,
            "n_positions": CONTEXT,
            "n_embd": 32,
            "n_layer": 5,
            "n_head": 4,
            **_SPECIAL,
            **fields,
        },
    )


def _gpt_neo() -> PreTrainedModel:
    return _build(
        "GPTNeoConfig",
        "GPTNeoForCausalLM",
        vocab_size=VOCABULARY,
        max_position_embeddings=CONTEXT,
        hidden_size=32,
        num_layers=4,
        num_heads=4,
        attention_types=[[["global", "local"], 2]],
        window_size=WINDOW,
        **_SPECIAL,
    )


def _falcon(**fields: Any) -> PreTrainedModel:
    return _build(
        "FalconConfig",
        "FalconForCausalLM",
        **{
            "vocab_size": VOCABULARY,
            "hidden_size": 32,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "max_position_embeddings": CONTEXT,
            **_SPECIAL,
            **fields,
        },
    )


def _opt() -> PreTrainedModel:
    return _build(
        "OPTConfig",
        "OPTForCausalLM",
        vocab_size=VOCABULARY,
        hidden_size=32,
        word_embed_proj_dim=32,
        ffn_dim=48,
        num_hidden_layers=5,
        num_attention_heads=4,
        max_position_embeddings=CONTEXT,
        **_SPECIAL,
    )


def _bloom() -> PreTrainedModel:
    return _build(
        "BloomConfig",
        "BloomForCausalLM",
        vocab_size=VOCABULARY,
        hidden_size=32,
        n_layer=4,
        n_head=4,
        **_SPECIAL,
    )


def _deepseek_v3() -> PreTrainedModel:
    return _sized(
        "DeepseekV3",
        num_key_value_heads=4,
        n_routed_experts=4,
        n_shared_experts=1,
        num_experts_per_tok=2,
        moe_intermediate_size=24,
        n_group=2,
        topk_group=1,
        first_k_dense_replace=2,
        kv_lora_rank=16,
        q_lora_rank=16,
        qk_rope_head_dim=8,
        qk_nope_head_dim=8,
        v_head_dim=8,
    )


def _llama4() -> PreTrainedModel:
    return _build(
        "Llama4TextConfig",
        "Llama4ForCausalLM",
        **{
            **_SIZES,
            "num_hidden_layers": 6,
            "head_dim": 8,
            "intermediate_size_mlp": 48,
            "num_local_experts": 2,
            "num_experts_per_tok": 1,
            "interleave_moe_layer_step": 2,
            "attention_chunk_size": 16,
            "no_rope_layers": [1, 1, 0, 1, 1, 0],
        },
    )


ARCHITECTURES: dict[str, Callable[[], PreTrainedModel]] = {
    "llama": lambda: _sized("Llama"),
    "llama-tied": lambda: _sized("Llama", tie_word_embeddings=True),
    "mistral": lambda: _sized("Mistral", sliding_window=WINDOW),
    "mixtral": lambda: _sized("Mixtral", num_local_experts=4, num_experts_per_tok=2),
    "qwen2": lambda: _sized(
        "Qwen2", use_sliding_window=True, sliding_window=WINDOW, max_window_layers=3
    ),
    "qwen3": lambda: _sized("Qwen3", head_dim=8),
    "qwen3-moe": lambda: _sized(
        "Qwen3Moe",
        **_MOE,
        head_dim=8,
        num_hidden_layers=6,
        decoder_sparse_step=2,
        mlp_only_layers=[3],
    ),
    "gemma2": lambda: _sized("Gemma2", head_dim=8, sliding_window=WINDOW),
    "gemma3": lambda: _build(
        "Gemma3TextConfig",
        "Gemma3ForCausalLM",
        **{**_SIZES, "head_dim": 8, "sliding_window": WINDOW, "num_hidden_layers": 8},
    ),
    "phi3": lambda: _sized("Phi3", sliding_window=WINDOW),
    "gpt2": _gpt2,
    "gpt-neox": lambda: _sized("GPTNeoX", use_parallel_residual=False),
    "gpt-neox-parallel": lambda: _sized("GPTNeoX", use_parallel_residual=True),
    "opt": _opt,
    "falcon": lambda: _falcon(new_decoder_architecture=True, num_kv_heads=2),
    "falcon-old": lambda: _falcon(multi_query=True, parallel_attn=True),
    "falcon-alibi": lambda: _falcon(alibi=True, multi_query=False, parallel_attn=False, bias=True),
    "smollm3": lambda: _sized(
        "SmolLM3",
        num_hidden_layers=4,
        use_sliding_window=True,
        sliding_window=WINDOW,
        layer_types=_MIXED,
        no_rope_layers=[1, 0, 1, 1],
    ),
    "olmo2": lambda: _sized("Olmo2"),
    "cohere2": lambda: _sized(
        "Cohere2", num_hidden_layers=4, sliding_window=WINDOW, layer_types=_MIXED
    ),
    "granite": lambda: _sized("Granite", residual_multiplier=0.5),
    "bloom": _bloom,
    "gpt-neo": _gpt_neo,
    "deepseek-v3": _deepseek_v3,
    "llama4": _llama4,
}

_HYBRID = {"mamba_d_state": 8, "mamba_n_groups": 1, "mamba_chunk_size": 8}
_LATENT = {
    "num_key_value_heads": 4,
    "kv_lora_rank": 16,
    "q_lora_rank": 16,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 8,
}
VISION = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "image_size": 28,
    "patch_size": 14,
}

# Rarer ways of building a block, of describing layers and of nesting a configuration.
RARE_ARCHITECTURES: dict[str, Callable[[], PreTrainedModel]] = {
    "bamba": lambda: _sized(
        "Bamba", **_HYBRID, attn_layer_indices=[1, 4], mamba_n_heads=4, mamba_d_head=16
    ),
    "ernie-moe": lambda: _sized(
        "Ernie4_5_Moe",
        moe_num_experts=4,
        moe_k=2,
        moe_intermediate_size=24,
        moe_layer_start_index=1,
        moe_layer_end_index=3,
    ),
    "gemma3-multimodal": lambda: _build(
        "Gemma3Config",
        "Gemma3ForConditionalGeneration",
        text_config={**_SIZES, "head_dim": 8, "sliding_window": WINDOW, "num_hidden_layers": 6},
        vision_config=VISION,
        mm_tokens_per_image=4,
        image_token_index=90,
        boi_token_index=91,
        eoi_token_index=92,
    ),
    "gemma4": lambda: _build(
        "Gemma4TextConfig",
        "Gemma4ForCausalLM",
        **{
            **_SIZES,
            "head_dim": 8,
            "sliding_window": WINDOW,
            "hidden_size_per_layer_input": 0,
            "vocab_size_per_layer_input": VOCABULARY,
            "layer_types": ["sliding_attention", "full_attention"] * 2 + ["full_attention"],
            "per_layer_config": {index: {"head_dim": 16} for index in (1, 3, 4)},
        },
    ),
    "gpt-oss": lambda: _sized(
        "GptOss", head_dim=8, num_local_experts=4, num_experts_per_tok=2, sliding_window=WINDOW
    ),
    "lfm2": lambda: _sized("Lfm2", full_attn_idxs=[1, 4]),
    "minicpm3": lambda: _sized("MiniCPM3", **_LATENT, scale_depth=1.4),
    "openai-gpt": lambda: _build(
        "OpenAIGPTConfig",
        "OpenAIGPTLMHeadModel",
        vocab_size=VOCABULARY,
        n_positions=CONTEXT,
        n_embd=32,
        n_layer=5,
        n_head=4,
    ),
    "opt-projected": lambda: _build(
        "OPTConfig",
        "OPTForCausalLM",
        vocab_size=VOCABULARY,
        hidden_size=32,
        word_embed_proj_dim=16,
        ffn_dim=48,
        num_hidden_layers=5,
        num_attention_heads=4,
        max_position_embeddings=CONTEXT,
        do_layer_norm_before=False,
        **_SPECIAL,
    ),
    "qwen2-moe": lambda: _sized(
        "Qwen2Moe",
        **_MOE,
        decoder_sparse_step=2,
        shared_expert_intermediate_size=24,
        use_sliding_window=True,
        sliding_window=WINDOW,
        max_window_layers=3,
    ),
    "recurrent-gemma": lambda: _sized(
        "RecurrentGemma",
        num_hidden_layers=6,
        lru_width=32,
        attention_window_size=WINDOW,
        head_dim=8,
    ),
}

# Models whose blocks cannot go without a trace, and the block that shows it.
IRREMOVABLE: dict[str, tuple[Callable[[], PreTrainedModel], int, str]] = {
    "gpt2-inverse": (
        lambda: _gpt2(scale_attn_by_inverse_layer_idx=True),
        1,
        "scale_attn_by_inverse_layer_idx",
    ),
    "diffllama": (lambda: _sized("DiffLlama", num_key_value_heads=4), 0, "logits differ by"),
    "minimax": (
        lambda: _sized(
            "MiniMax",
            num_local_experts=4,
            num_experts_per_tok=2,
            head_dim=8,
            block_size=8,
            sliding_window=None,
        ),
        0,
        "with a cache",
    ),
    "modernbert": (
        lambda: _sized("ModernBertDecoder", local_attention=WINDOW, cls_token_id=3, sep_token_id=4),
        0,
        "attn_norm",
    ),
    "jamba": (
        lambda: _sized(
            "Jamba",
            num_hidden_layers=6,
            num_experts=2,
            num_experts_per_tok=1,
            attn_layer_period=3,
            attn_layer_offset=1,
            mamba_d_state=8,
        ),
        2,
        "_layer_period",
    ),
    "gemma4-embeddings": (
        lambda: _build(
            "Gemma4TextConfig",
            "Gemma4ForCausalLM",
            **{
                **_SIZES,
                "head_dim": 8,
                "sliding_window": WINDOW,
                "hidden_size_per_layer_input": 4,
                "vocab_size_per_layer_input": VOCABULARY,
            },
        ),
        0,
        "embed_tokens_per_layer",
    ),
}

# Models that are no chain of causal blocks with a head, and the reason given.
REFUSED: dict[str, tuple[Callable[[], PreTrainedModel], str]] = {
    "t5": (
        lambda: _build(
            "T5Config",
            "T5ForConditionalGeneration",
            vocab_size=VOCABULARY,
            d_model=32,
            d_kv=8,
            d_ff=48,
            num_layers=2,
            num_heads=4,
        ),
        "encoder-decoder",
    ),
    "bart": (
        lambda: _build(
            "BartConfig",
            "BartForConditionalGeneration",
            vocab_size=VOCABULARY,
            d_model=32,
            encoder_layers=2,
            decoder_layers=2,
            encoder_attention_heads=4,
            decoder_attention_heads=4,
            encoder_ffn_dim=48,
            decoder_ffn_dim=48,
        ),
        "encoder-decoder",
    ),
    "bert": (
        lambda: _build(
            "BertConfig",
            "BertForMaskedLM",
            vocab_size=VOCABULARY,
            hidden_size=32,
            num_hidden_layers=3,
            num_attention_heads=4,
            intermediate_size=48,
        ),
        "depends on later tokens",
    ),
    "llama-headless": (
        lambda: _build("LlamaConfig", "LlamaModel", **_SIZES),
        "no output embeddings",
    ),
}


def nemotron_h(layers: list[str]) -> PreTrainedModel:
    """A toy hybrid with these layers: "mamba", "attention", "moe" or "mlp"."""
    return _build(
        "NemotronHConfig",
        "NemotronHForCausalLM",
        **{**_SIZES, "num_hidden_layers": len(layers), "head_dim": 8},
        layer_types=layers,
        mamba_num_heads=4,
        mamba_head_dim=16,
        ssm_state_size=8,
        n_groups=1,
        n_routed_experts=8,
        num_experts_per_tok=2,
        moe_intermediate_size=24,
        moe_shared_expert_intermediate_size=24,
    )


def toy_model(name: str) -> PreTrainedModel:
    """A freshly built toy of the architecture `name`, float32, in evaluation mode."""
    return {**ARCHITECTURES, **RARE_ARCHITECTURES}[name]()


@cache
def shared_toy(name: str) -> PreTrainedModel:
    """The one toy of the architecture `name` that tests share and leave as it was."""
    return toy_model(name)


@cache
def anatomy_of(model: PreTrainedModel, granularity: str = "block") -> Anatomy:
    """The anatomy of a model that stays as it is, found once."""
    return find_anatomy(model, granularity)


def toy_tokens(rows: int = 2, length: int = 24, seed: int = 1) -> torch.Tensor:
    """Random ids of ordinary tokens: (rows, length)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(3, VOCABULARY - 8, (rows, length), generator=generator)


def toy_logits(model: PreTrainedModel, ids: torch.Tensor | None = None) -> torch.Tensor:
    """Logits of a pass without a cache: (rows, tokens, vocabulary)."""
    with torch.no_grad():
        logits: torch.Tensor = model(toy_tokens() if ids is None else ids, use_cache=False).logits
    return logits


_SENTENCES = [
    "The river runs down to the sea, and the sea is never full.",
    "A block that changes nothing can go; a block that changes much should stay.",
    "Numbers such as 1, 2, 30 and 400 are words too.",
    "She wrote the letter twice, and sent neither of the two.",
]


def toy_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level tokenizer, so that any text is a sequence of its tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<pad>", "<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_SENTENCES, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>"
    )


def write_toy_checkpoint(folder: Path) -> Path:
    """A complete checkpoint of a toy Llama with its tokenizer; returns `folder`."""
    tokenizer = toy_tokenizer()
    model = _sized("Llama", vocab_size=len(tokenizer))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def write_toy_encoder(folder: Path) -> Path:
    """A complete checkpoint of a toy BERT with a tokenizer; returns `folder`."""
    tokenizer = toy_tokenizer()
    model = _build(
        "BertConfig",
        "BertModel",
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=64,
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
