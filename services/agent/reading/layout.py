"""Words set into rows and segments: what stands side by side, and what stands together."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from statistics import median

from .evidence import OCR, Box
from .words import Page, Word

SEGMENT_GAP = 0.85  # of the line height: wider and it is another cell


@dataclass(frozen=True, eq=False)
class Segment:
    """Words of one row that stand close together: a cell, a phrase."""

    words: tuple[Word, ...]

    @cached_property
    def text(self) -> str:
        """Return the words with single spaces between."""
        return " ".join(w.text for w in self.words)

    @property
    def x0(self) -> float:
        """Return the left edge."""
        return self.words[0].x0

    @property
    def x1(self) -> float:
        """Return the right edge."""
        return self.words[-1].x1

    @cached_property
    def y0(self) -> float:
        """Return the upper edge."""
        return min(w.y0 for w in self.words)

    @cached_property
    def y1(self) -> float:
        """Return the lower edge."""
        return max(w.y1 for w in self.words)


@dataclass(frozen=True, eq=False)
class Row:
    """Words on one line across a page, from left to right."""

    page: Page
    index: int
    words: tuple[Word, ...]
    cuts: frozenset[float] = frozenset()  # left edges of words that begin a cell all the same

    @cached_property
    def text(self) -> str:
        """Return the words with a space between, two where another cell begins."""
        return "  ".join(s.text for s in self.segments)

    @cached_property
    def _starts(self) -> list[int]:
        starts, at = [], 0
        for segment in self.segments:
            for word in segment.words:
                starts.append(at)
                at += len(word.text) + 1
            at += 1
        return starts

    def words_at(self, start: int, end: int) -> tuple[Word, ...]:
        """Return the words that text[start:end] touches."""
        return tuple(
            w
            for w, at in zip(self.words, self._starts, strict=True)
            if at < end and at + len(w.text) > start
        )

    def offset(self, index: int) -> int:
        """Return where in the text the word with this index begins."""
        return self._starts[index]

    @cached_property
    def segments(self) -> list[Segment]:
        """Return the row's cells."""
        cells: list[list[Word]] = [[self.words[0]]]
        for last, word in pairwise(self.words):
            wide = word.x0 - last.x1 > SEGMENT_GAP * min(last.height, word.height)
            if wide or word.x0 in self.cuts:
                cells.append([])
            cells[-1].append(word)
        return [Segment(tuple(cell)) for cell in cells]

    @cached_property
    def y0(self) -> float:
        """Return the upper edge."""
        return min(w.y0 for w in self.words)

    @cached_property
    def y1(self) -> float:
        """Return the lower edge."""
        return max(w.y1 for w in self.words)

    @cached_property
    def height(self) -> float:
        """Return the usual height of the row's words."""
        return median(w.height for w in self.words)


@dataclass(frozen=True, eq=False)
class Block:
    """Segments below each other that stand together, such as an address."""

    page: Page
    segments: tuple[Segment, ...]


def box_of(words: Iterable[Word]) -> Box:
    """Return the box around some words of a page, in fractions of it."""
    boxes = [w.box for w in words]
    return (
        min(b[0] for b in boxes),
        min(b[1] for b in boxes),
        max(b[2] for b in boxes),
        max(b[3] for b in boxes),
    )


def rows_of(page: Page) -> list[Row]:
    """Return a page's rows from top to bottom."""
    groups: list[list[Word]] = []
    lines: list[tuple[float, float]] = []  # of each group, its middle and usual height
    for word in sorted((w for w in page.words if w.text), key=lambda w: w.middle):
        near = range(len(groups) - 1, max(len(groups) - 7, -1), -1)
        at = next((n for n in near if _same_row(groups[n], lines[n], word)), len(groups))
        if at == len(groups):
            groups.append([])
            lines.append((0.0, 0.0))
        group = groups[at]
        group.append(word)
        lines[at] = sum(w.middle for w in group) / len(group), median(w.height for w in group)
    groups.sort(key=lambda g: sum(w.middle for w in g) / len(g))
    rows = [
        Row(page, i, tuple(sorted(group, key=lambda w: w.x0))) for i, group in enumerate(groups)
    ]
    if page.source == OCR:  # where words end is guessed there
        return rows
    starts = [[s.x0 for s in row.segments] for row in rows]
    return [replace(row, cuts=cuts) if (cuts := _cuts(row, starts)) else row for row in rows]


def _cuts(row: Row, starts: list[list[float]]) -> frozenset[float]:
    """Return where a row's words stand below and above the beginnings of other rows' cells.

    A long name may reach to the cell beside it; the gap is still wider than those in it.
    """
    near = [*starts[max(0, row.index - 3) : row.index], *starts[row.index + 1 : row.index + 4]]
    found = []
    for segment in row.segments:
        gaps = [after.x0 - word.x1 for word, after in pairwise(segment.words)]
        if len(gaps) < 2:
            continue
        usual = median(gaps)
        for word, gap in zip(segment.words[1:], gaps, strict=True):
            if (
                gap > 1.25 * usual
                and sum(any(abs(x - word.x0) < 0.6 for x in each) for each in near) >= 2
            ):
                found.append(word.x0)
    return frozenset(found)


def _same_row(group: list[Word], line: tuple[float, float], word: Word) -> bool:
    middle, usual = line
    if abs(word.middle - middle) > 0.45 * min(word.height, usual):
        return False
    # two lines of small print beside a large word are not one row
    return not any(min(w.x1, word.x1) - max(w.x0, word.x0) > 0.5 * word.height for w in group)


def usual_space(rows: Iterable[Row]) -> float:
    """Return the usual gap between two words of a cell, in heights; 0.0 where none has two."""
    gaps = [
        (word.x0 - last.x1) / word.height
        for row in rows
        for segment in row.segments
        for last, word in pairwise(segment.words)
    ]
    return median(gaps) if gaps else 0.0


def blocks_of(page: Page, rows: list[Row]) -> list[Block]:
    """Return a page's blocks: segments below each other with a common edge or middle."""
    stacks: list[list[Segment]] = []
    for segment in (s for row in rows for s in row.segments):
        stack = next((s for s in reversed(stacks[-40:]) if _goes_on(s[-1], segment)), None)
        if stack is None:
            stacks.append([segment])
        else:
            stack.append(segment)
    return [Block(page, tuple(stack)) for stack in stacks]


def _goes_on(above: Segment, below: Segment) -> bool:
    height = min(above.y1 - above.y0, below.y1 - below.y0)
    gap = below.y0 - above.y1
    if not -0.6 * height < gap < 1.1 * height:
        return False
    left = abs(above.x0 - below.x0) < 1.2 * height
    middle = abs((above.x0 + above.x1) - (below.x0 + below.x1)) / 2 < 1.2 * height
    right = abs(above.x1 - below.x1) < 0.3 * height
    return left or middle or right


def overlap(a0: float, a1: float, b0: float, b1: float) -> float:
    """Return how far two ranges overlap (negative: how far apart they are)."""
    return min(a1, b1) - max(a0, b0)


def squeezed(text: str) -> str:
    """Return a text with single spaces, without those at the ends."""
    return re.sub(r"\s+", " ", text).strip()
