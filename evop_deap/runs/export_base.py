"""The dense original that a pattern is exported from, where it was found on a quantised model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from evop_deap.base.errors import InputError, UnsupportedModelError
from evop_deap.base.user_text import shown
from evop_deap.runs.listeners.progress import Progress
from evop_deap.runs.open_model import load_named
from evop_deap.settings.calibration_config import CalibrationConfig

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

    from evop_deap.models.loading.load_model import LoadedModel

# Fields that two forms of one model have in common.
_SAME = (
    "model_type",
    "num_hidden_layers",
    "hidden_size",
    "intermediate_size",
    "num_attention_heads",
    "num_key_value_heads",
    "layer_types",
)


def check_base(name: str, config: CalibrationConfig, own: PreTrainedConfig | None = None) -> None:
    """Refuse a model that is not built as the one that is searched; load no weights.

    Args:
        name: the user's name for the dense original.
        config: names the model that is searched.
        own: the configuration of that model, if it is loaded.

    Raises:
        InputError: there is no such model, it is quantised, or the two differ; the message names
            the field.
    """
    from evop_deap.models.anatomy.quantisation import method_of
    from evop_deap.models.loading.model_config import model_config

    trusted = config.trust_remote_code
    searched = own or model_config(config.model, trust_remote_code=trusted)
    with _naming_base():
        base = model_config(name, trust_remote_code=trusted)
    if (method := method_of(base)) is not None:
        raise InputError(
            f"`export_from` {name} is quantised ({method}): name the dense original, or leave it "
            "out to prune the files of `model`"
        )
    expected, found = (_facts(one) for one in (searched, base))
    for field in _SAME:
        if expected[field] != found[field]:
            raise InputError(
                f"`export_from` {name} has `{field}` {shown(found[field])}, but `model` "
                f"{config.model} has {shown(expected[field])}: name the dense original of it"
            )


def config_of_base(name: str, config: CalibrationConfig) -> CalibrationConfig:
    """Return settings that load the dense original, checked by `check_base`.

    Raises:
        InputError: there is no such model, it is quantised, or the two differ.
    """
    check_base(name, config)
    return config.replace(model=name, revision=None, dtype="auto")


def load_base(name: str, config: CalibrationConfig, progress: Progress) -> LoadedModel:
    """Load the dense original as it is stored.

    Raises:
        EvopError: it cannot be loaded.
    """
    settings = config.replace(model=name, revision=None, dtype="auto")
    with _naming_base():
        return load_named(settings, progress, as_stored=True)


def _facts(config: PreTrainedConfig) -> dict[str, Any]:
    text = config.get_text_config(decoder=True)
    return {field: getattr(text, field, None) for field in _SAME}


@contextmanager
def _naming_base() -> Iterator[None]:
    """Name the argument that gave the dense original in errors about it."""
    try:
        yield
    except (InputError, UnsupportedModelError) as error:
        raise type(error)(str(error).replace("`model`", "`export_from`", 1)) from error
