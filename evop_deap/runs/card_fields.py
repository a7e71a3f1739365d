"""The fields of a model card's front matter, which say where a checkpoint comes from."""

from __future__ import annotations

import re

from evop_deap.base.data_files import parse_json
from evop_deap.base.errors import InputError
from evop_deap.base.user_text import is_plain_text, shown


def card_field(card: str | None, name: str, argument: str) -> str | None:
    r"""Return a field of a card's front matter; None without it.

    Args:
        card: text of the README.md; None without one.
        name: of the field.
        argument: the user's name for the folder of the card.

    Raises:
        InputError: it is no text.

    Example:
        >>> card_field("---\nbase_model: a/b\n---\n# Pruned", "base_model", "source")
        'a/b'
    """
    front = (card or "").split("---\n")
    found = re.search(rf"^{name}: (.+)$", front[1] if len(front) > 2 else "", re.MULTILINE)
    if found is None:
        return None
    try:
        value = parse_json(found[1]) if found[1].startswith('"') else found[1]
    except InputError as error:
        raise InputError(f"`{argument}`: {name} in README.md cannot be read: {error}") from error
    if not (isinstance(value, str) and value and is_plain_text(value)):
        raise InputError(f"`{argument}`: {name} in README.md must be a text, but is {shown(value)}")
    return value
