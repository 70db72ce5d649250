"""Words set into rows and segments: what stands side by side, and what stands together."""

from bisect import insort
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING

from .evidence import OCR, Box
from .values import tokens

if TYPE_CHECKING:
    from .words import Page, Word

SEGMENT_GAP = 0.85  # of the line height: wider and it is another cell


@dataclass(frozen=True, eq=False)
class Segment:
    """Words of one row that stand close together: a cell, a phrase."""

    words: "tuple[Word, ...]"
    x0: float = field(init=False)
    y0: float = field(init=False)
    x1: float = field(init=False)
    y1: float = field(init=False)

    def __post_init__(self) -> None:
        first, last = self.words[0], self.words[-1]
        y0, y1 = min(w.y0 for w in self.words), max(w.y1 for w in self.words)
        vars(self).update(x0=first.x0, y0=y0, x1=last.x1, y1=y1)

    @cached_property
    def text(self) -> str:
        """Return the words with single spaces between."""
        return " ".join(w.text for w in self.words)

    @cached_property
    def tokens(self) -> list[tuple[str, int]]:
        """Return the tokens of the words, each with the index of its word."""
        return [(token, at) for at, word in enumerate(self.words) for token in tokens(word.text)]


@dataclass(frozen=True, eq=False)
class Row:
    """Words on one line across a page, from left to right."""

    page: "Page"
    index: int
    segments: list[Segment]

    @cached_property
    def words(self) -> "tuple[Word, ...]":
        """Return the words of all cells."""
        return tuple(word for segment in self.segments for word in segment.words)

    @cached_property
    def tokens(self) -> list[tuple[str, int]]:
        """Return the tokens of the words, each with the index of its word."""
        found, before = [], 0
        for segment in self.segments:
            found += [(token, before + at) for token, at in segment.tokens]
            before += len(segment.words)
        return found

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

    def words_at(self, start: int, end: int) -> "tuple[Word, ...]":
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
    def y0(self) -> float:
        """Return the upper edge."""
        return min(s.y0 for s in self.segments)

    @cached_property
    def y1(self) -> float:
        """Return the lower edge."""
        return max(s.y1 for s in self.segments)

    @cached_property
    def height(self) -> float:
        """Return the usual height of the row's words."""
        return median(w.height for w in self.words)


@dataclass(frozen=True, eq=False)
class Block:
    """Segments below each other that stand together, such as an address."""

    page: "Page"
    segments: tuple[Segment, ...]


def box_of(words: "Iterable[Word]") -> Box:
    """Return the box around some words of a page, in fractions of it."""
    boxes = [w.box for w in words]
    return (
        min(b[0] for b in boxes),
        min(b[1] for b in boxes),
        max(b[2] for b in boxes),
        max(b[3] for b in boxes),
    )


def rows_of(page: "Page") -> list[Row]:
    """Return a page's rows from top to bottom."""
    return [Row(page, index, cells) for index, cells in enumerate(page.cells)]


def cells_of(page: "Page") -> list[list[Segment]]:
    """Return the words of a page row by row, each row's cells from left to right."""
    rows = [_cells(words) for words in _lines(page.words)]
    if page.source == OCR:  # where words end is guessed there
        return rows
    starts = [[cell.x0 for cell in cells] for cells in rows]
    return [
        _cut(cells, starts[max(0, at - 3) : at], starts[at + 1 : at + 4])
        for at, cells in enumerate(rows)
    ]


def _cut(cells: list[Segment], above: list[list[float]], below: list[list[float]]) -> list[Segment]:
    """Return a row's cells, cut where words stand at the beginnings of cells of rows near by.

    A long name may reach to the cell beside it; the gap is still wider than those in it, or cells
    begin there right above and right below.
    """
    cuts = set()
    for cell in cells:
        gaps = [after.x0 - word.x1 for word, after in pairwise(cell.words)]
        if len(gaps) < 2:
            continue
        usual = median(gaps)
        for word, gap in zip(cell.words[1:], gaps, strict=True):
            both = _begins(word, above[-1:]) and _begins(word, below[:1])
            wide = gap > 1.25 * usual and _begins(word, above) + _begins(word, below) >= 2
            if wide or (both and word.text[0].isalpha()):  # figures go on in groups
                cuts.add(word.x0)
    return _cells([word for cell in cells for word in cell.words], cuts) if cuts else cells


def _begins(word: "Word", starts: list[list[float]]) -> int:
    """Return in how many rows a cell begins where a word does."""
    return sum(any(abs(x - word.x0) < 0.6 for x in row) for row in starts)


def _lines(words: "Iterable[Word]") -> "Iterator[list[Word]]":
    """Yield the words of each line from left to right, from the top line to the last."""
    groups: list[list[Word]] = []
    middles: list[float] = []  # of each group, the sum
    heights: list[list[float]] = []  # of each group, sorted
    for word in sorted((w for w in words if w.text), key=lambda w: w.middle):
        middle, height = word.middle, word.height
        for at in range(len(groups) - 1, max(len(groups) - 7, -1), -1):
            apart = abs(middle - middles[at] / len(groups[at]))
            if apart <= 0.45 * min(height, _middle(heights[at])) and _beside(word, groups[at]):
                break
        else:
            at = len(groups)
            groups.append([])
            middles.append(0.0)
            heights.append([])
        groups[at].append(word)
        middles[at] += middle
        insort(heights[at], height)
    order = sorted(range(len(groups)), key=lambda at: middles[at] / len(groups[at]))
    for at in order:
        yield sorted(groups[at], key=lambda w: w.x0)


def _middle(ordered: Sequence[float]) -> float:
    half = len(ordered) // 2
    return (ordered[half] + ordered[-half - 1]) / 2


def _beside(word: "Word", group: "list[Word]") -> bool:
    """Return whether a word stands on none of a group.

    Two lines of small print beside a large word are not one row.
    """
    x0, x1, least = word.x0, word.x1, 0.5 * word.height
    return not any(
        w.x1 - x0 > least < x1 - w.x0 and overlap(w.x0, w.x1, x0, x1) > least for w in group
    )


def _cells(words: "Sequence[Word]", cuts: Collection[float] = ()) -> list[Segment]:
    """Return the cells of a line's words; one with its left edge among the cuts begins another."""
    cells = [[words[0]]]
    for last, word in pairwise(words):
        wide = word.x0 - last.x1 > SEGMENT_GAP * min(last.height, word.height)
        if wide or word.x0 in cuts:
            cells.append([])
        cells[-1].append(word)
    return [Segment(tuple(cell)) for cell in cells]


def usual_space(rows: Iterable[Row]) -> float:
    """Return the usual gap between two words of a cell, in heights; 0.0 where none has two."""
    gaps = [
        (word.x0 - last.x1) / word.height
        for row in rows
        for segment in row.segments
        for last, word in pairwise(segment.words)
    ]
    return median(gaps) if gaps else 0.0


def blocks_of(rows: list[Row]) -> list[Block]:
    """Return the blocks of a page's rows: segments below each other with an edge in common."""
    stacks: list[list[Segment]] = []
    for segment in (s for row in rows for s in row.segments):
        stack = next((s for s in reversed(stacks[-40:]) if _goes_on(s[-1], segment)), None)
        if stack is None:
            stacks.append([segment])
        else:
            stack.append(segment)
    return [Block(rows[0].page, tuple(stack)) for stack in stacks]


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
    return " ".join(text.split())
