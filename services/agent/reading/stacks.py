"""Items set one below the other without columns: a text, and with it what it comes to."""

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal

from .marking import Document, Marked, heads_table
from .values import Number, factors, tokens
from .words import Word

CLOSE = 0.9  # of the word height: a wider gap parts two items
TALLEST = 4  # rows of text that an item has at most above its sum
LONGEST_UNIT = 6


@dataclass(frozen=True)
class Counted:
    """Quantity times price and the amount it comes to, with the rows of both."""

    row: int
    amount_row: int
    quantity: Decimal
    price: Decimal
    amount: Decimal


@dataclass(frozen=True)
class Stacked:
    """An item: the rows of its text, and what it comes to."""

    texts: list[int]
    counted: Counted


def stacked(document: Document) -> list[Stacked]:
    """Return the items whose quantity times price stands under their text, in reading order."""
    found = [c for index in range(len(document.rows)) if (c := _counted(document, index))]
    names = _names(document, [c.row for c in found])
    bare = [c for c in found if is_bare(document.rows[c.row], names)]
    if 2 * len(bare) <= len(found):
        return []
    items, last = [], -1
    for counted in bare:
        texts = list(_texts(document, counted, last))[::-1]
        if texts:
            items.append(Stacked(texts, counted))
        last = max(counted.row, counted.amount_row)
    return [_as_tall(item, items) for item in items]


def _as_tall(item: Stacked, items: list[Stacked]) -> Stacked:
    """Return the first item without the rows above it that none of the others has."""
    if item is not items[0] or len(items) == 1:
        return item
    most = max(len(other.texts) for other in items[1:])
    return replace(item, texts=item.texts[-most:])


def _counted(document: Document, index: int) -> Counted | None:
    """Return what a row multiplies, where the product stands in it or in a row beside it."""
    for amount_row, amount in _amounts(document, index):
        factors = multiplied(document.rows[index], amount)
        if factors:
            return Counted(index, amount_row, *factors, amount.value)
    return None


def multiplied(marked: Marked, amount: Number) -> tuple[Decimal, Decimal] | None:
    """Return the quantity and the price in a row that come to an amount, less shares named."""
    found = factors(marked.numbers, amount, lambda n: n.money)
    return (found[0].value, found[1].value) if found else None


def _amounts(document: Document, index: int) -> Iterator[tuple[int, Number]]:
    """Yield the last amounts of a row and of those right above and below it."""
    page = document.rows[index].row.page
    for at in (index, index - 1, index + 1):
        if 0 <= at < len(document.rows) and document.rows[at].row.page is page:
            yield from ((at, n) for n in [n for n in document.rows[at].numbers if n.money][-1:])


def _names(document: Document, rows: list[int]) -> set[str]:
    """Return the words that every such row repeats: they name its numbers."""
    seen = Counter(word for row in rows for word in set(_words(document.rows[row])))
    return {word for word, count in seen.items() if count == len(rows) > 1}


def _words(marked: Marked) -> list[str]:
    return [t for t in tokens(marked.row.text) if t.isalpha()]


def is_bare(marked: Marked, names: Collection[str] = ()) -> bool:
    """Return whether a row says nothing but numbers, what names them, and units."""
    said = {t for h in marked.hits for t in h.label.words}
    ended = {t for w in marked.row.words if w.text.endswith(":") for t in tokens(w.text)}
    rest = [w for w in _words(marked) if w not in said | ended and w not in names]
    return len(rest) <= len(marked.numbers) and all(len(w) <= LONGEST_UNIT for w in rest)


def _texts(document: Document, counted: Counted, last: int) -> Iterator[int]:
    """Yield the rows of an item's text upwards, to the item before it or a gap."""
    first = min(counted.row, counted.amount_row)
    if counted.amount_row < counted.row and _is_text(document.rows[first]):
        yield first
        return
    if first - 1 > last and _heads_numbers(document, first - 1):
        first -= 1  # the item's own names of its numbers
    for above in range(first - 1, max(last, first - 1 - TALLEST), -1):
        row, under = document.rows[above].row, document.rows[above + 1].row
        if row.page is not under.page or under.y0 - row.y1 > CLOSE * document.word_height:
            return
        marked = document.rows[above]
        paid = any(n.money for n in marked.numbers)
        if paid or heads_table(document, above) or not _is_text(marked):
            return
        yield above


def _heads_numbers(document: Document, index: int) -> bool:
    return heads_table(document, index) and not document.rows[index].numbers


def _is_text(marked: Marked) -> bool:
    return any(c.isalpha() for c in marked.row.text)


def description(document: Document, items: list[Stacked], number: int) -> tuple[Word, ...]:
    """Return the words of an item's description: its first row's, less its amount and number."""
    numbered = len(items) > 1 and all(
        document.rows[item.texts[0]].row.words[0].text.strip(".)") == str(count)
        for count, item in enumerate(items, start=1)
    )
    marked = document.rows[items[number].texts[0]]
    paid = {w for n in marked.numbers if n.money for w in marked.row.words_at(n.start, n.end)}
    words = [w for w in marked.row.words if w not in paid]
    return tuple(words[1:] if numbered else words)
