"""The configuration of a model by the user's name for it, read before its weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evop_deap.base.errors import InputError, UnsupportedModelError, one_line
from evop_deap.base.user_paths import existing_path
from evop_deap.base.user_text import shown
from evop_deap.models.formats.drops import MOST_BLOCKS
from evop_deap.models.loading.auto_classes import is_known
from evop_deap.models.loading.demo_model import DEMO_MODELS, demo_checkpoint
from evop_deap.models.loading.quiet import quiet_transformers

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

_HUB_SECONDS = 10.0


def known_hub_id(name: str) -> str | None:
    """Return a model's id on the hub; None for a local one."""
    if name in DEMO_MODELS:
        return DEMO_MODELS[name].hub_id
    return None if existing_path(name, "model") else name


def locate(name: str) -> dict[str, Any]:
    """Return the arguments of `from_pretrained` that locate the checkpoint."""
    if name in DEMO_MODELS:
        return {"pretrained_model_name_or_path": str(demo_checkpoint(name))}
    path = existing_path(name, "model")
    if path is None:
        given = Path(name)
        if not name or given.suffix == ".gguf" or given.is_absolute() or name[0] in ".~":
            raise InputError(f"`model` names {name}, which does not exist")
        if name.startswith("demo") and "/" not in name:
            known = ", ".join(DEMO_MODELS)
            raise InputError(f"`model` {name} is not a demo model: these are {known}")
        return {"pretrained_model_name_or_path": name, **reach_hub(name, "model")}
    if path.suffix == ".gguf" and path.is_file():
        return {"pretrained_model_name_or_path": str(path.parent), "gguf_file": path.name}
    if path.is_dir():
        if not (path / "config.json").is_file():
            inner = path / "model"
            hint = f": give {inner}" if (inner / "config.json").is_file() else ""
            raise InputError(
                f"`model` must be a checkpoint folder, but {name} has no config.json{hint}"
            )
        return {"pretrained_model_name_or_path": str(path)}
    raise InputError(
        f"`model` must be a checkpoint folder, a .gguf file or a hub id, but {name} is "
        "another kind of file"
    )


def reach_hub(name: str, argument: str) -> dict[str, Any]:
    """Send the hub one request, because transformers retries many times; on failure use the cache.

    Args:
        name: a hub id.
        argument: the user's argument, for messages.

    Returns:
        Arguments for `from_pretrained`.

    Raises:
        InputError: the hub has no such model.
    """
    from huggingface_hub import HfApi, constants, errors

    if constants.HF_HUB_OFFLINE:
        return {"local_files_only": True}
    try:
        HfApi().model_info(name, timeout=_HUB_SECONDS)
    except (errors.RepositoryNotFoundError, errors.HFValidationError) as error:
        raise InputError(
            f"`{argument}` {name} is neither a folder here nor a model on the hub: "
            "check the spelling, or log in if it is private"
        ) from error
    except Exception:  # gated, offline or too slow: many types of errors
        return {"local_files_only": True}
    return {}


@contextmanager
def explaining(name: str) -> Iterator[None]:
    """Turn errors of transformers about a checkpoint into one line."""
    try:
        yield
    except (InputError, UnsupportedModelError):
        raise
    except Exception as error:  # formats and libraries raise many types
        raise InputError(f"`model` {name} cannot be loaded: {why_not_loaded(error)}") from error


def why_not_loaded(error: Exception) -> str:
    """Return the reason in an error of transformers about a checkpoint, as one short line."""
    reason = one_line(error)
    if "trust_remote_code" in reason:
        return "it comes with its own code, which only runs if `trust_remote_code` allows it"
    if "weights_only" in reason:
        return (
            "its weights are a pickle that PyTorch refuses, because it could run code: convert "
            "them to safetensors"
        )
    if "connect to" in reason:
        return "it is not a local folder, and the hub cannot be reached or refuses it"
    return reason if len(reason) <= 300 else reason[:297] + "..."


def load_config(where: dict[str, Any], name: str, trust_remote_code: bool) -> PreTrainedConfig:
    """Return the configuration of a model that was located.

    Raises:
        UnsupportedModelError: it is not a decoder-only causal language model.
    """
    from transformers import AutoConfig

    config: PreTrainedConfig = AutoConfig.from_pretrained(
        **where, trust_remote_code=trust_remote_code
    )
    if config.is_encoder_decoder:
        raise UnsupportedModelError(
            f"`model` {name} is an encoder-decoder ({config.model_type}); "
            "only decoder-only causal language models can be pruned"
        )
    if not is_known(config):
        raise UnsupportedModelError(
            f"`model` {name} is a {config.model_type}, which transformers does not list "
            "as a causal language model"
        )
    layers = getattr(config.get_text_config(decoder=True), "num_hidden_layers", None)
    if layers is not None and (type(layers) is not int or not 1 <= layers <= MOST_BLOCKS):
        raise UnsupportedModelError(
            f"`model` {name} has a config.json with `num_hidden_layers` {shown(layers)}: "
            f"a model to prune has 1 to {MOST_BLOCKS:,}"
        )
    return config


def model_config(name: str, *, trust_remote_code: bool = False) -> PreTrainedConfig:
    """Return the configuration of a model, without its weights.

    Raises:
        InputError: there is no such model.
        UnsupportedModelError: it is not a decoder-only causal language model.
    """
    where = locate(name)
    with quiet_transformers(), explaining(name):
        return load_config(where, name, trust_remote_code)
