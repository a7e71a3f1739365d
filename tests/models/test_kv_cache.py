from __future__ import annotations

from toy_models import toy_model

from evop_deap.models.anatomy.find_anatomy import find_anatomy
from evop_deap.models.anatomy.kv_cache import Growth, cache_growth, kv_cache_bytes
from evop_deap.models.anatomy.model_units import model_units


def test_grouped_heads_hold_what_they_hold() -> None:
    model = toy_model("llama")
    config = model.config
    each = 2 * config.num_key_value_heads * config.head_dim * 4  # keys and values in float32
    growths = cache_growth(model, find_anatomy(model))
    assert growths == (Growth(each),) * config.num_hidden_layers


def test_a_sliding_window_ends_the_growth() -> None:
    model = toy_model("gemma3")
    anatomy = find_anatomy(model)
    held = kv_cache_bytes(model, anatomy, context=100)
    growths = cache_growth(model, anatomy)
    kinds = model.config.layer_types
    for kind, size, growth in zip(kinds, held, growths, strict=True):
        assert growth.per_token is not None
        tokens = model.config.sliding_window if kind == "sliding_attention" else 100
        assert size == tokens * growth.per_token


def test_the_attention_half_holds_the_cache() -> None:
    model = toy_model("llama")
    anatomy = find_anatomy(model, "half")
    units = model_units(anatomy, kv_cache_bytes(model, anatomy, context=10))
    assert all((unit.kv_bytes > 0) == unit.name.endswith(".attn") for unit in units)
