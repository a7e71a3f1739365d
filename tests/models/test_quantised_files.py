"""Pruning of the files of quantised checkpoints whose packages need a GPU: GPTQ and AWQ."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn
from toy_models import anatomy_of, shared_toy

from evop_deap.base.errors import ExportError
from evop_deap.models.anatomy.element_counts import elements, is_packed
from evop_deap.models.anatomy.matrix_work import matrix_work
from evop_deap.models.export.quantised_weights import write_quantised

DYNAMIC = {r"-:model\.layers\.[14]\.mlp\..*": {}, r"+:.*\.2\..*": {"bits": 8}}
ABOUT: dict[str, dict[str, Any]] = {
    "gptq": {"quant_method": "gptq", "bits": 4, "group_size": 16, "dynamic": DYNAMIC},
    "awq": {
        "quant_method": "awq", "bits": 4, "zero_point": True, "version": "gemm",
        "modules_to_not_convert": ["lm_head", "model.layers.1.mlp", "model.layers.4.mlp.up_proj"],
    },
}  # fmt: skip


class Packed(nn.Module):
    """A linear layer of eight 4-bit weights a number, as GPTQ and AWQ hold it."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.in_features, self.out_features = inputs, outputs
        self.register_buffer("qweight", torch.zeros(inputs // 8, outputs, dtype=torch.int32))
        self.register_buffer("scales", torch.ones(inputs // 16, outputs))


def write_fabricated(folder: Path, method: str) -> Path:
    """Files with the names and types of a quantised toy Llama, in two shards."""
    model, tensors = shared_toy("llama"), {}
    for name, weight in model.state_dict().items():
        if ".layers." not in name or weight.ndim < 2:
            tensors[name] = weight.to(torch.float16)
            continue
        path, (outputs, inputs) = name.removesuffix(".weight"), weight.shape
        marker = len(tensors)
        tensors[f"{path}.qweight"] = torch.full((inputs // 8, outputs), marker, dtype=torch.int32)
        tensors[f"{path}.qzeros"] = torch.full((1, outputs // 8), marker, dtype=torch.int32)
        tensors[f"{path}.scales"] = torch.full((1, outputs), float(marker), dtype=torch.float16)
        if method == "gptq":
            tensors[f"{path}.g_idx"] = torch.arange(inputs, dtype=torch.int32)
    for block in range(5):
        tensors[f"model.layers.{block}.self_attn.rotary_emb.inv_freq"] = torch.ones(4)
    folder.mkdir()
    places = {name: f"model-0000{1 + i % 2}-of-00002.safetensors" for i, name in enumerate(tensors)}
    for file in set(places.values()):
        save_file({n: t.clone() for n, t in tensors.items() if places[n] == file}, folder / file)
    index = {"metadata": {}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    fields = {**model.config.to_dict(), "quantization_config": ABOUT[method]}
    (folder / "config.json").write_text(json.dumps(fields))
    return folder


def read(folder: Path) -> dict[str, torch.Tensor]:
    found = {}
    for path in folder.glob("*.safetensors"):
        with safe_open(path, "pt") as file:
            found |= {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    return found


@pytest.mark.parametrize("method", sorted(ABOUT))
def test_packed_tensors_follow_their_blocks(method: str, tmp_path: Path) -> None:
    dense = write_fabricated(tmp_path / "dense", method)
    model, out = shared_toy("llama"), tmp_path / "pruned"
    out.mkdir()
    written = write_quantised(model, anatomy_of(model), [1, 3], out, dense)
    assert written.layers == 3
    before, after = read(dense), read(out)
    assert not any("inv_freq" in name for name in after)
    for new, old in enumerate([0, 2, 4]):
        names = [n for n in before if f".layers.{old}." in n and "inv_freq" not in n]
        assert len(names) > 20
        for name in names:
            moved = after.pop(name.replace(f".layers.{old}.", f".layers.{new}."))
            assert moved.dtype is before[name].dtype
            assert torch.equal(moved, before[name])
    assert after.keys() == {name for name in before if ".layers." not in name}
    fields = json.loads((out / "config.json").read_text())
    about = fields["quantization_config"]
    assert (fields["num_hidden_layers"], about["bits"]) == (3, 4)
    if method == "awq":
        assert about["modules_to_not_convert"] == ["lm_head", "model.layers.2.mlp.up_proj"]
    else:
        of_mlp = [f"-:^model\\.layers\\.2\\.mlp\\.{n}_proj$" for n in ("gate", "up", "down")]
        assert list(about["dynamic"])[:3] == of_mlp
        assert all(key.startswith("+:^model\\.layers\\.1\\.") for key in list(about["dynamic"])[3:])


def test_files_without_blocks_are_refused(tmp_path: Path) -> None:
    model = shared_toy("llama")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ExportError, match="its 5 blocks were not found: name a folder"):
        write_quantised(model, anatomy_of(model), [1], tmp_path, tmp_path)


def test_packed_layers_count_as_their_matrices() -> None:
    layer = Packed(32, 24)
    block = nn.Sequential(nn.LayerNorm(32), layer)
    assert is_packed(layer)
    assert not is_packed(nn.Linear(32, 24))
    assert elements(block, layer) == 64 + 32 * 24
    assert matrix_work(block, (0, 1.0)) == 32 * 24
