"""The mergekit recipe of a run, which names the weights that the run's checkpoint has."""

from __future__ import annotations

from evop_deap.base.errors import InputError
from evop_deap.base.user_paths import existing_path
from evop_deap.models.formats import Drops, mergekit_passthrough
from evop_deap.models.loading.model_config import known_hub_id
from evop_deap.settings.search_config import SearchConfig


def recipe_of_run(
    config: SearchConfig, drops: Drops, dtype: str, comment: str = "", *, quantised: bool = False
) -> str:
    """Return the recipe of the run's pattern.

    Args:
        config: the settings of the run.
        drops: the dropped parts.
        dtype: of the stored weights.
        comment: a line of text above the recipe.
        quantised: whether these weights are quantised.

    Raises:
        InputError: only half of a block is dropped, or mergekit cannot read the weights.
    """
    name = config.export_from or config.model
    if quantised or name.endswith(".gguf"):
        raise InputError(
            f"mergekit cannot read the weights of {name}, which are quantised or in a GGUF file: "
            "export transformers or layer-drop"
        )
    hub_id = known_hub_id(name)
    if hub_id is None:
        return mergekit_passthrough(str(existing_path(name, "model")), drops, dtype, comment)
    revision = None if config.export_from or hub_id != name else config.revision
    return mergekit_passthrough(hub_id, drops, dtype, comment, revision)
