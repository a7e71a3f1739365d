"""Pattern files of other tools say exactly what goes, and are read back."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from transformers import LlamaConfig

from evop_deap.base.errors import InputError, UnsupportedModelError
from evop_deap.models.formats import (
    Drops,
    layer_drop_config,
    mergekit_passthrough,
    parse_layer_drop_config,
    per_layer_config,
    prune_layers,
    read_pattern,
)
from evop_deap.models.formats.block_configs import block_configs_fields, parse_block_configs
from evop_deap.models.formats.pattern_files import parse_pattern

block_drops = st.integers(2, 40).flatmap(
    lambda n: st.builds(Drops.of_blocks, st.just(n), st.sets(st.integers(0, n - 1), max_size=n - 1))
)
# The last block stays.
half_drops = st.integers(2, 12).flatmap(
    lambda n: st.builds(
        Drops.of_sublayers,
        st.just(n),
        attention=st.sets(st.integers(0, n - 2)),
        mlp=st.sets(st.integers(0, n - 2)),
    )
)
LLAMA = LlamaConfig(
    hidden_size=512, intermediate_size=1536, num_hidden_layers=3, num_attention_heads=8,
    num_key_value_heads=2,
).to_dict()  # fmt: skip


def halves(n_blocks: int) -> list[str]:
    return [f"{block}.{kind}" for block in range(n_blocks) for kind in ("attn", "mlp")]


@given(half_drops)
def test_units_and_names_say_the_same(drops: Drops) -> None:
    names = halves(drops.n_blocks)
    assert Drops.named(drops.n_blocks, [names[i] for i in drops.positions(names)]) == drops
    assert Drops.named(drops.n_blocks, drops.names) == drops
    assert drops.blocks | drops.halves == drops.attention | drops.mlp
    assert [live == (False, False) for live in drops.live] == [
        index in drops.blocks for index in range(drops.n_blocks)
    ]


@given(block_drops)
def test_whole_blocks_are_two_halves(drops: Drops) -> None:
    units = drops.positions([str(i) for i in range(drops.n_blocks)])
    both = tuple(half for i in units for half in (2 * i, 2 * i + 1))
    assert drops.positions(halves(drops.n_blocks)) == both
    assert drops.names == tuple(str(i) for i in units)


def test_a_half_is_no_block() -> None:
    drops = Drops.named(4, ["1", "2.mlp", "3.attn"])
    with pytest.raises(InputError, match=r"half of a block is dropped: 2\.mlp, 3\.attn"):
        drops.positions(list("0123"))


@pytest.mark.parametrize("name", ["", "a", "-1", "1.5", "1.attention", "1.", "²", "1 2"])
def test_a_name_that_no_unit_has_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=r"must be named like 3, 12\.attn or 12\.mlp"):
        Drops.named(4, [name])


@pytest.mark.parametrize(
    ("names", "reason"),
    [(["4"], r"from 0 to 3, but got \[4\]"), (["9.mlp"], r"\[9\]"), (list("0123"), "at least one")],
)
def test_what_no_model_can_lose_is_refused(names: list[str], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        Drops.named(4, names)


def test_a_drop_configuration_has_a_line_a_block() -> None:
    drops = Drops.named(5, ["1", "2.attn", "4.mlp"])
    assert layer_drop_config(drops) == "none\nattn+mlp\nattn\nnone\nmlp\n"


@given(half_drops)
def test_a_drop_configuration_reads_back(drops: Drops) -> None:
    assert parse_layer_drop_config(layer_drop_config(drops)) == drops


def test_line_ends_of_windows_and_blank_lines_at_the_end_do_not_count() -> None:
    drops = parse_layer_drop_config("attn\r\nmlp\r\nnone\r\nattn+mlp\r\n\r\n")
    assert drops == Drops.named(4, ["0.attn", "1.mlp", "3"])


@pytest.mark.parametrize(
    ("text", "reason"),
    [("", "empty"), ("\n \n", "empty"), ("none\nboth\n", "line 2"), ("none\n\nmlp\n", "line 2")],
)
def test_another_text_is_refused(text: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        parse_layer_drop_config(text)


@given(block_drops)
def test_mergekit_slices_cover_the_kept_blocks_once(drops: Drops) -> None:
    text = mergekit_passthrough("some/model", drops, "bfloat16")
    recipe = yaml.safe_load(text)
    ranges = [piece["sources"][0]["layer_range"] for piece in recipe["slices"]]
    kept = [index for index in range(drops.n_blocks) if index not in drops.blocks]
    assert [index for start, stop in ranges for index in range(start, stop)] == kept
    # Neighbouring runs are one slice.
    assert all(left[1] < right[0] for left, right in pairwise(ranges))
    assert (recipe["merge_method"], recipe["dtype"]) == ("passthrough", "bfloat16")
    assert parse_pattern(text, drops.n_blocks) == drops


@pytest.mark.parametrize("model_id", ["a: b", 'quo"te', "C:\\models\\x", "模型", "#1", "true"])
def test_any_name_of_a_model_survives_yaml(model_id: str) -> None:
    recipe = yaml.safe_load(mergekit_passthrough(model_id, Drops.named(2, ["1"]), "float32"))
    assert recipe["slices"][0]["sources"][0]["model"] == model_id


@pytest.mark.parametrize("path", ["models/a+b", "/home/me@here/model", "a@b@c"])
@pytest.mark.parametrize("revision", [None, "main", "v1+2@x"])
def test_mergekit_takes_no_part_of_a_name_for_a_lora_or_a_revision(
    path: str, revision: str | None
) -> None:
    drops = Drops.named(3, ["1"])
    text = mergekit_passthrough(path, drops, "float32", revision=revision)
    for piece in yaml.safe_load(text)["slices"]:
        # mergekit splits a text at + and @, and takes the parts of a mapping as they are.
        parts = piece["sources"][0]["model"]["model"]
        assert (parts["path"], parts.get("revision")) == (path, revision)
    assert parse_pattern(text, 3) == drops


@pytest.mark.parametrize(
    "model",
    [
        {"model": {"path": "a"}, "lora": {"path": "b"}},
        {"model": "a"},
        {"model": {"path": "a", "revision": 1}},
        {"model": {"revision": "main"}},
        ["a"],
    ],
)
def test_a_recipe_of_anything_but_a_model_is_refused(model: object) -> None:
    source = {"sources": [{"model": model, "layer_range": [0, 2]}]}
    recipe = {"slices": [source], "merge_method": "passthrough"}
    with pytest.raises(InputError, match="must have `slices` of one source each"):
        parse_pattern(yaml.safe_dump(recipe), 4)


@pytest.mark.parametrize(
    ("recipe", "reason"),
    [
        ("slices: [1]", "one source each"),
        ("slices: [{sources: [{model: a, layer_range: [0, 2]}]}]", "pass blocks of one model"),
        (
            "merge_method: passthrough\nslices:\n"
            "- sources: [{model: a, layer_range: [0, 2]}]\n"
            "- sources: [{model: a, layer_range: [1, 3]}]",
            "once each and in order",
        ),
        ("slices: [", "not YAML"),
        ("# slices:\n- 1", "not a mergekit recipe"),
    ],
)
def test_a_recipe_that_does_more_than_leave_out_is_refused(recipe: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        parse_pattern(recipe, 4)


def test_what_knows_only_blocks_refuses_halves_by_name() -> None:
    drops = Drops.named(3, ["0", "1.attn"])
    with pytest.raises(InputError, match=r"mergekit recipe cannot express .*: 1\.attn"):
        mergekit_passthrough("some/model", drops, "float32")
    with pytest.raises(InputError, match=r"--prune-layers cannot express .*: 1\.attn"):
        prune_layers(drops)
    assert prune_layers(Drops.named(5, ["3", "0"])) == "0,3"


@given(half_drops)
def test_layer_overrides_read_back(drops: Drops) -> None:
    fields = json.loads(json.dumps(per_layer_config(drops)))
    assert parse_pattern(json.dumps(fields), drops.n_blocks) == drops


def test_transformers_takes_layer_overrides() -> None:
    fields = per_layer_config(Drops.named(4, ["0", "1.attn", "3.mlp"]))
    config = LlamaConfig(num_hidden_layers=4, **fields)
    skipped = [layer.skip for layer in config.per_layer_config]
    assert skipped == [["attention", "mlp"], ["attention"], [], ["mlp"]]


@pytest.mark.parametrize(
    "overrides",
    [{"skip": ["mlp"], "head_dim": 8}, {"head_dim": 8}, {"skip": ["head"]}, ["mlp"], {"skip": 1}],
)
def test_layer_overrides_that_say_more_are_refused(overrides: object) -> None:
    with pytest.raises(InputError, match="per_layer_config` of layer 1 must"):
        parse_pattern(json.dumps({"per_layer_config": {"1": overrides}}), 4)


@pytest.mark.parametrize("width", [1536, 1000])
def test_block_configs_say_what_readers_of_decilm_make_of_them(width: int) -> None:
    dense = {**LLAMA, "intermediate_size": width}
    drops = Drops.named(3, ["1.attn", "2.mlp"])
    fields = block_configs_fields(dense, drops)
    assert parse_block_configs(fields["block_configs"]) == drops
    assert fields["architectures"] == ["DeciLMForCausalLM"]
    for (attention, mlp), block in zip(drops.live, fields["block_configs"], strict=True):
        assert block["attention"]["n_heads_in_group"] == (4 if attention else None)
        if not mlp:
            assert block["ffn"] == {"no_op": True, "ffn_mult": None, "replace_with_linear": False}
        elif "ffn_mult" in block["ffn"]:
            read = int(2 * block["ffn"]["ffn_mult"] * 512 / 3)
            assert read + -read % 256 == width
        else:
            assert block["ffn"]["intermediate_size"] == width


@pytest.mark.parametrize("sizes", [(4096, 11008), (4096, 14336), (5120, 13824), (8192, 28672)])
def test_widths_of_published_llamas_are_multiples_that_come_out_even(
    sizes: tuple[int, int],
) -> None:
    hidden, width = sizes
    dense = {**LLAMA, "hidden_size": hidden, "intermediate_size": width}
    ffn = block_configs_fields(dense, Drops.named(3, ["0"]))["block_configs"][1]["ffn"]
    assert int(2 * ffn["ffn_mult"] * hidden / 3) == width


def test_what_is_no_llama_has_no_block_configs() -> None:
    drops = Drops.named(3, ["1.mlp"])
    with pytest.raises(UnsupportedModelError, match="a qwen2 computes something else"):
        block_configs_fields({**LLAMA, "model_type": "qwen2"}, drops)
    with pytest.raises(UnsupportedModelError, match="sliding_window"):
        block_configs_fields({**LLAMA, "model_type": "mistral", "sliding_window": 8}, drops)


@pytest.mark.parametrize("names", [["0.attn"], ["0", "1.attn"]])
def test_block_configs_begin_with_attention(names: list[str]) -> None:
    first = next(name for name in names if name.endswith(".attn"))
    with pytest.raises(InputError, match=f"must begin with an attention half.* but {first} is"):
        block_configs_fields(LLAMA, Drops.named(3, names))


@pytest.mark.parametrize(
    "block", [{}, {"attention": {"no_op": True}}, 1, {"attention": 1, "ffn": 1}]
)
def test_block_configs_without_halves_are_refused(block: object) -> None:
    with pytest.raises(InputError, match="must have `no_op`"):
        parse_block_configs([block])


def test_block_configs_with_linear_halves_are_refused() -> None:
    linear = {"no_op": False, "replace_with_linear": True}
    with pytest.raises(InputError, match="linear"):
        parse_block_configs([{"attention": linear, "ffn": linear}])


SLEB = """Time Elapsed: 321.5
Model Name: facebook/opt-6.7b
# Total Blocks: {total}
# Remove Blocks: 3
Dataset: wikitext2
Seed: 0
Barriers: early 1 / latter 1
Block Removal Order: [14, 3, 9]
WikiText-2 PPL = 12.94

"""


@pytest.mark.parametrize(
    "text",
    [
        "3,9,14",
        "3 9\n14\n",
        SLEB.format(total=16),
        json.dumps({"n_blocks": 16, "dropped": ["3", "9", "14"], "model": "demo"}),
        layer_drop_config(Drops.named(16, ["3", "9", "14"])),
        json.dumps(per_layer_config(Drops.named(16, ["3", "9", "14"]))),
        mergekit_passthrough("m", Drops.named(16, ["3", "9", "14"]), "float16"),
        json.dumps(
            block_configs_fields(
                {**LLAMA, "num_hidden_layers": 16}, Drops.named(16, ["3", "9", "14"])
            )
        ),
    ],
    ids=["commas", "lines", "sleb", "result", "evopress", "per-layer", "mergekit", "block-configs"],
)
def test_a_pattern_is_read_from_any_file(text: str, tmp_path: Path) -> None:
    path = tmp_path / "pattern"
    path.write_text(text)
    assert read_pattern(str(path), 16) == Drops.of_blocks(16, [3, 9, 14])


def test_a_pattern_may_be_a_list_or_the_folder_of_a_run(tmp_path: Path) -> None:
    drops = Drops.named(16, ["2", "5.attn", "7.mlp"])
    assert read_pattern("2,5.attn, 7.mlp", 16) == drops
    result = {"n_blocks": 16, "dropped": ["2.attn", "2.mlp", "5.attn", "7.mlp"]}
    (tmp_path / "result.json").write_text(json.dumps(result))
    assert read_pattern(str(tmp_path), 16) == drops


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (SLEB.format(total=16) * 2, "must hold one removal list, but it holds 2"),
        (SLEB.format(total=32), "is about 32 blocks, but the model has 16"),
        ("none\n" * 15 + "mlp\n" * 2, "is about 17 blocks, but the model has 16"),
        ('{"n_blocks": 24, "dropped": ["3"]}', "is about 24 blocks"),
        ('{"layers": []}', "neither `dropped`"),
        ("{", "not JSON"),
        ("", "names nothing"),
        (layer_drop_config(Drops(16, frozenset())), "names nothing"),
        ('{"n_blocks": 16, "dropped": []}', "names nothing"),
        ("3,x", "must be named like"),
        ("77", "from 0 to 15"),
    ],
)
def test_a_file_that_cannot_be_used_is_said_in_one_line(
    text: str, reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "pattern"
    path.write_text(text)
    with pytest.raises(InputError, match=reason) as caught:
        read_pattern(str(path), 16)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bytes_are_no_pattern(tmp_path: Path) -> None:
    (tmp_path / "pattern").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="cannot be read"):
        read_pattern(str(tmp_path / "pattern"), 16)


@pytest.mark.parametrize("given", ["no/such/file.txt", "", "1..3"])
def test_neither_file_nor_list_is_refused(given: str) -> None:
    with pytest.raises(InputError, match="is neither a file nor a list"):
        read_pattern(given, 16)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("16", r"must be from 0 to 15, but got \[16\]"),
        (",".join(map(str, range(16))), "at least one of the 16 blocks must stay"),
    ],
)
def test_a_list_of_wrong_blocks_is_still_a_list(given: str, reason: str) -> None:
    with pytest.raises(InputError, match=f"^`pattern` {given} cannot be used: .*{reason}$"):
        read_pattern(given, 16)


def test_a_folder_without_a_result_says_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"it has no result.json$"):
        read_pattern(str(tmp_path), 16)
    (tmp_path / "config.yaml").write_text("model: m\nsparsity: [0.1, 0.2]\n")
    with pytest.raises(InputError, match="no result.json yet: finish it with --resume"):
        read_pattern(str(tmp_path), 16)
    for share in ("0.1", "0.2"):
        (tmp_path / f"sparsity-{share}").mkdir()
        (tmp_path / f"sparsity-{share}/result.json").write_text("{}")
    each = f"{tmp_path}/sparsity-0.1, {tmp_path}/sparsity-0.2"
    with pytest.raises(InputError, match=rf"several runs: name one of them \({each}\)$"):
        read_pattern(str(tmp_path), 16)
