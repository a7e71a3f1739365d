"""What a model card says of the parts of a model beside its text decoder."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evop_deap.models.loading.beside_decoder import BesideDecoder

_TAGS = {
    "AutoModelForImageTextToText": "image-text-to-text",
    "AutoModelForMultimodalLM": "any-to-any",
}


def front_matter(beside: BesideDecoder) -> list[str]:
    """Return the lines of the front matter that say what the model does.

    Example:
        >>> from evop_deap.models.loading.beside_decoder import BesideDecoder
        >>> front_matter(BesideDecoder("AutoModelForImageTextToText"))
        ['pipeline_tag: image-text-to-text']
    """
    tag = _TAGS.get(beside.auto_class, "text-generation")
    return [f"pipeline_tag: {tag}", *(["evop_text_only: true"] if beside.text_only else [])]


def what_was_kept(beside: BesideDecoder) -> list[str]:
    """Return the lines on what the dense checkpoint holds beside its text decoder."""
    said = [f"Left out of the dense checkpoint: {one}." for one in beside.left_out]
    if beside.kept:
        kept = (
            f"The modules beside the text decoder are kept bit for bit: {beside.kept}. "
            f"`{beside.auto_class}.from_pretrained` loads the whole model."
        )
        said = [kept, *said]
    return [line for one in said for line in (one, "")]
