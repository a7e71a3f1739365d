"""Splitting of one long text into documents."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import accumulate, pairwise

PASSAGE_CHARACTERS = 2000

# WikiText writes articles as " = Title = " and their sections as " = = Section = = ".
_TITLE = re.compile(r"^ ?= (?!=).*(?<!=) =[ \t]*$")
_BLANK_LINES = re.compile(r"\n(?:[ \t]*\n)+")


def split_text(text: str) -> list[str]:
    """Cut a text into documents.

    If the text has two or more ` = Title = ` lines of WikiText, each starts a document, and the
    text before the first is one too. Otherwise paragraphs (separated by blank lines, or single
    lines if no line is blank) are merged into passages of at least `PASSAGE_CHARACTERS`. A
    paragraph of several times that length is cut between words.

    Args:
        text: lines end in `"\\n"`.

    Returns:
        Non-blank documents in the text's order.
    """
    starts = _title_starts(text)
    if len(starts) >= 2:
        bounds = [0, *starts, len(text)]
        articles = [text[start:end] for start, end in pairwise(bounds)]
        return [_trimmed(article) for article in articles if article.strip()]
    return _passages(text)


def _title_starts(text: str) -> list[int]:
    """Return the positions of titles.

    Formulas and legends of WikiText also have lines with `=` at both ends (` = Goals ; A = `).
    Titles are between blank lines. If blank lines were removed, a semicolon marks a legend.
    """
    lines = text.split("\n")
    titles = [index for index, line in enumerate(lines) if _TITLE.match(line)]
    between_blanks = [
        index
        for index in titles
        if not "".join(lines[max(index - 1, 0) : index]).strip()
        and not "".join(lines[index + 1 : index + 2]).strip()
    ]
    chosen = between_blanks or [index for index in titles if " ; " not in lines[index]]
    ends = [0, *accumulate(len(line) + 1 for line in lines)]
    return [ends[index] for index in chosen]


def _passages(text: str) -> list[str]:
    paragraphs = [part for part in _BLANK_LINES.split(text) if part.strip()]
    joint = "\n\n"
    if len(paragraphs) == 1:
        paragraphs = [line for line in text.split("\n") if line.strip()]
        joint = "\n"
    passages: list[str] = []
    open_parts: list[str] = []
    for paragraph in paragraphs:
        for piece in _pieces(paragraph):
            open_parts.append(piece)
            if len(joint.join(open_parts)) >= PASSAGE_CHARACTERS:
                passages.append(_trimmed(joint.join(open_parts)))
                open_parts = []
    if open_parts:
        rest = _trimmed(joint.join(open_parts))
        if passages:
            passages[-1] += joint + rest
        else:
            passages.append(rest)
    return passages


def _pieces(paragraph: str) -> Iterator[str]:
    """Yield the paragraph; one that is long enough to dominate a corpus is cut at spaces."""
    start = 0
    while len(paragraph) - start >= 4 * PASSAGE_CHARACTERS:
        earliest = start + PASSAGE_CHARACTERS
        space = paragraph.find(" ", earliest, earliest + PASSAGE_CHARACTERS)
        end = earliest if space < 0 else space
        yield paragraph[start:end]
        start = end
    yield paragraph[start:]


def _trimmed(document: str) -> str:
    return document.lstrip("\n").rstrip()
