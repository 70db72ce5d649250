"""Narrow columns beside the main part of a page, which are read by themselves."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise, product
from statistics import median

from .evidence import OCR, TEXT_LAYER
from .layout import Row, rows_of
from .words import Page, Word

NARROW = 0.42  # of the width of the page's text
FEWEST, FEWEST_BESIDE = 5, 6  # lines of such a column, and of what stands beside it
NEARLY_ALL = 0.7  # of the page's rows: what goes right across is a head or a foot
LEVEL = {TEXT_LAYER: 0.07, OCR: 0.13}  # of the word height: how far level words are apart at most

Pair = tuple[tuple[Word, ...], tuple[Word, ...]]  # a row's words in the column and beside it
Level = tuple[bool, ...]  # by tops, middles, bottoms, base lines


def set_apart(pages: Iterable[Page]) -> list[list[Row]]:
    """Return the rows of each page; those of columns beside a main part are pages of their own.

    They come first, so that a table goes on from one page to the next.
    """
    asides, mains = [], []
    for page in pages:
        rows = rows_of(page)
        aside = {id(word) for word in _aside(rows)}
        if aside:
            own = [word for word in page.words if id(word) in aside]
            rest = [word for word in page.words if id(word) not in aside]
            asides.append(rows_of(replace(page, words=own)))
            rows = rows_of(replace(page, words=rest))
        mains.append(rows)
    return [*asides, *mains]


def _aside(rows: list[Row]) -> list[Word]:
    if len(rows) < FEWEST + FEWEST_BESIDE - 1:
        return []
    for edge in _edges(rows, median(row.height for row in rows)):
        run = _run(rows, edge)
        words = _beside(run, edge) if len(run) >= NEARLY_ALL * len(rows) else []
        if words:
            return words
    return []


def _edges(rows: list[Row], height: float) -> Iterator[float]:
    """Yield what lies just left of cells that begin below each other, within the page's text."""
    left = min(row.words[0].x0 for row in rows)
    width = max(row.words[-1].x1 for row in rows) - left or 1.0
    starts = sorted(segment.x0 for row in rows for segment in row.segments)
    for last, start in pairwise(starts):
        share = (start - left) / width
        if 0.1 < min(share, 1 - share) < NARROW and start - last > 0.2 * height:
            first = bisect_left(starts, start)
            if bisect_left(starts, start + 0.7 * height) - first >= FEWEST:
                yield start - 0.05 * height


def _run(rows: list[Row], edge: float) -> list[Row]:
    """Return the most rows after each other of which no word goes across an edge."""
    crossed = [
        index
        for index, row in enumerate(rows)
        if any(
            s.x0 < edge < s.x1 and any(w.x0 < edge < w.x1 for w in s.words) for s in row.segments
        )
    ]
    ends = pairwise([-1, *crossed, len(rows)])
    first, last = max(ends, key=lambda pair: pair[1] - pair[0])
    return rows[first + 1 : last]


def _beside(run: list[Row], edge: float) -> list[Word]:
    """Return the words on the narrow side of an edge, where a table on the other has none there.

    The cells of a table's row are level; lines of a column beside it are so by chance, less than
    half of them in a table and less than two of three in all.
    """
    right = 2 * edge > min(row.words[0].x0 for row in run) + max(row.words[-1].x1 for row in run)
    pairs = []
    for row in run:
        cut = bisect_left(row.words, edge, key=lambda word: word.x0)
        left_of, right_of = row.words[:cut], row.words[cut:]
        pairs.append((right_of, left_of) if right else (left_of, right_of))
    cells = [sum((s.x0 < edge) == right for s in row.segments) for row in run]
    table = [n for n, count in enumerate(cells) if count > 2]
    table = table if len(table) > 1 else [n for n, count in enumerate(cells) if count > 1]
    lines, others = (sum(map(bool, words)) for words in zip(*pairs, strict=True))
    if lines < FEWEST or others < FEWEST_BESIDE or len(table) < 2:
        return []
    if not any(own for own, _ in pairs[table[0] :]):
        return []  # it ends above the table
    beside = [n for n, (own, main) in enumerate(pairs) if own and main]
    if 2 * _level(pairs, table, run[0].page.source) > len(table):
        return []
    if 3 * _level(pairs, beside, run[0].page.source) > 2 * len(beside):
        return []
    return [word for own, _ in pairs for word in own]


def _level(pairs: list[Pair], rows: Sequence[int], source: str) -> int:
    """Return how many of these rows are level in one way: those of a table are so in the same."""
    ways = zip(*(_ways(pairs, row, LEVEL[source]) for row in rows), strict=True)
    return max(map(sum, ways), default=0)


def _ways(pairs: list[Pair], index: int, tolerance: float) -> Level:
    """Return whether words on both sides of a row are level, in each way.

    A cell in the middle of two lines of another is level with it too.
    """
    own, main = pairs[index]
    if own and main:
        most = tolerance * max(own[-1].height, main[0].height)
        ways = (zip(*map(_heights, words), strict=True) for words in (own, main))
        return tuple(
            any(abs(one - other) <= most for one, other in product(*way))
            for way in zip(*ways, strict=True)
        )
    around = [pair[0] for pair in pairs[max(index - 1, 0) : index + 2]]
    if not main or len(around) < 3 or not (around[0] and around[2]):
        return False, False, False, False
    above, below = around[0][0], around[2][0]
    between = abs(above.middle + below.middle - 2 * main[0].middle) / 2
    close = below.y0 - above.y1 < 0.5 * main[0].height
    return False, close and between <= tolerance * main[0].height, False, False


def _heights(word: Word) -> tuple[float, float, float, float]:
    """Return where a word's top, middle, bottom and base line are: a fifth of it is below that."""
    return word.y0, word.middle, word.y1, word.y1 - 0.21 * word.height
