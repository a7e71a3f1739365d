"""The number of multiply-adds that a part of a model spends on one token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import nn

from evop_deap.models.anatomy.element_counts import weights

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

_EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")
_EXPERTS_PER_TOKEN = (
    "num_experts_per_tok",
    "num_experts_per_token",
    "top_k_experts",
    "moe_topk",
    "moe_top_k",
    "moe_k",
)


def expert_share(config: PreTrainedConfig) -> tuple[int, float]:
    """Return the number of experts of a layer, and the share of them that one token uses."""
    experts = _first_count(config, _EXPERTS)
    chosen = _first_count(config, _EXPERTS_PER_TOKEN)
    if experts < 2 or chosen < 1:
        return 0, 1.0
    return experts, chosen / experts


def _first_count(config: PreTrainedConfig, names: Sequence[str]) -> int:
    # Read from the dictionary, because attributes that differ by layer raise an error.
    fields = config.to_dict()
    values = (fields.get(config.attribute_map.get(name, name)) for name in names)
    return next((value for value in values if isinstance(value, int)), 0)


def matrix_work(module: nn.Module, routing: tuple[int, float]) -> int:
    """Return the multiply-adds per token of all matrices in `module`.

    Args:
        module: any module.
        routing: the result of `expert_share`.
    """
    experts, share = routing
    expert_lists = [
        m for m in module.modules() if isinstance(m, nn.ModuleList) and len(m) == experts
    ]
    in_lists = {weight for weight, _, _ in weights(*expert_lists)}
    work = 0.0
    for weight, count, dimensions in weights(module):
        if dimensions < 2:
            continue
        stacked = isinstance(weight, nn.Parameter) and weight.shape[:-2] == (experts,)
        routed = experts > 0 and (stacked or weight in in_lists)
        work += count * (share if routed else 1.0)
    return round(work)
