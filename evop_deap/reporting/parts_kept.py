"""What a model card says of the parts of a model beside its text decoder."""

from __future__ import annotations

from collections.abc import Collection

CAUSAL = "AutoModelForCausalLM"
_TAGS = {
    CAUSAL: "text-generation",
    "AutoModelForImageTextToText": "image-text-to-text",
    "AutoModelForMultimodalLM": "any-to-any",
}


def pipeline_tag(auto_class: str) -> str:
    """Return the line of the front matter that says what the model does.

    Example:
        >>> pipeline_tag("AutoModelForImageTextToText")
        'pipeline_tag: image-text-to-text'
    """
    return f"pipeline_tag: {_TAGS[auto_class]}"


def what_was_kept(auto_class: str, kept: str, left_out: Collection[str]) -> list[str]:
    """Return the lines on the parts of the dense checkpoint that are not in its text decoder.

    Args:
        auto_class: class of transformers that loads the checkpoint.
        kept: modules that stay as they are; empty without any.
        left_out: sentences on what is not in the checkpoint.
    """
    lines = [
        f"The text decoder alone was pruned. All else is kept bit for bit: {kept}. "
        f"`{auto_class}.from_pretrained` loads the whole model."
    ] * bool(kept)
    lines += [f"Left out of the dense checkpoint: {said}." for said in left_out]
    return [line for said in lines for line in (said, "")]
