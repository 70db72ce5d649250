"""The recognised words that a scan brings along, against what its picture shows."""

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher

from .evidence import Box
from .shield import FINDINGS_MAX, Hidden

DIGITS_MIN = 4  # of a word that is compared: numbers, amounts, accounts
LIKE = 0.5  # of its digits are recognised in its place, at least, in the same order
MISSING_SHARE = 0.5  # of the words compared are not recognised at all: then that is told too
OTHER = "other than the picture shows"

Placed = tuple[str, Box]


def disagreements(layer: Sequence[Placed], picture: Sequence[Placed]) -> list[Hidden]:
    """Return the numbers of a scan's own layer in whose place its picture shows others.

    Both are words with their boxes in fractions of the page. A digit that was recognised
    otherwise is no disagreement: either may be the one that is wrong.
    """
    compared = [(text, box) for text, box in layer if len(_digits(text)) >= DIGITS_MIN]
    others, missing = list[Placed](), list[Placed]()
    for text, box in compared:
        there = list(_over(box, picture))
        if not there:
            missing.append((text, box))
        elif _like(_digits(text), _digits("".join(there))) < LIKE:
            others.append((text, box))
    if len(missing) > MISSING_SHARE * len(compared):
        others += missing
    return [Hidden(OTHER, text, box) for text, box in others[:FINDINGS_MAX]]


def _digits(text: str) -> str:
    return "".join(c for c in text if c.isdigit())


def _over(box: Box, words: Sequence[Placed]) -> Iterator[str]:
    """Yield the words that stand on the line of a box and reach into it."""
    middle = (box[1] + box[3]) / 2
    for text, (x0, y0, x1, y1) in words:
        on_line = y0 < middle < y1 or box[1] < (y0 + y1) / 2 < box[3]
        rim = min(box[2] - box[0], x1 - x0) / 4
        if on_line and x0 + rim < box[2] and x1 - rim > box[0]:
            yield text


def _like(one: str, other: str) -> float:
    """Return which share of one's digits stands in the other, in the same order."""
    blocks = SequenceMatcher(None, one, other, autojunk=False).get_matching_blocks()
    return sum(block.size for block in blocks) / len(one)
