"""The options for loading a model, shared by all commands that load one."""

from __future__ import annotations

from functools import partial

from evop_deap.settings.options import option

MODEL = "model"
WHERE = (
    "hub id, checkpoint folder, GGUF file, demo (SmolLM2-135M-Instruct), demo-qwen-0.5b or "
    "demo-qwen-1.5b (Qwen2.5-Coder-Instruct)"
)

dtype_option = partial(
    option,
    "auto",
    MODEL,
    "number format; auto is the fastest that keeps the stored precision",
    choices=("auto", "float32", "bfloat16", "float16"),
)
device_option = partial(
    option,
    "auto",
    MODEL,
    "auto, cpu, cuda, cuda:1, mps, ...; several, such as cuda:0,cuda:1, share the blocks; auto "
    "takes as many as the weights need",
)
attention_option = partial(
    option,
    None,
    MODEL,
    "attention kernel, by its name in transformers: eager, sdpa, flash_attention_2, ...",
    metavar="NAME",
)
remote_code_option = partial(
    option, False, MODEL, "run code that comes with a checkpoint on this machine"
)
text_only_option = partial(
    option, False, MODEL, "take only the language model of a model that also reads images"
)
