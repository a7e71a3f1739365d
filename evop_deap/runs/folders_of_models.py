"""The folders of the models that a command reads, which it does not write into."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from evop_deap.base.errors import InputError
from evop_deap.base.user_paths import existing_path
from evop_deap.models.loading.demo_model import DEMO_MODELS


def check_outside_models(path: Path, argument: str, models: Iterable[str | None]) -> None:
    """Refuse a path that is a model's folder or one of its files, or that holds the model.

    A new folder in that of a model is let pass: whoever works there has his runs there.

    Args:
        path: the path to write.
        argument: the user's name for it.
        models: names of the models; None and those that are not on this machine are let pass.

    Raises:
        InputError: it is, holds or belongs to a model.
    """
    target = Path(os.path.realpath(path))
    for name in models:
        found = None if name is None or name in DEMO_MODELS else existing_path(name, "model")
        if found is None:
            continue
        model = Path(os.path.realpath(found))
        if target == model:
            how = "is"
        elif target in model.parents:
            how = "holds"
        elif model in target.parents and target.is_file():
            how = "is a file of"
        else:
            continue
        raise InputError(
            f"`{argument}` {path} {how} the model {name}, which is read and stays as it is: "
            "choose another path"
        )
