"""Item tables by what their rows come to, where no names of columns tell them apart."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from .layout import Row, overlap
from .marking import Document
from .tables import Column, Header
from .values import Number, factors
from .words import Word

LONGEST_UNIT = 8
ALIGNED = 0.6  # of the word height: right edges closer than this are of one column


@dataclass(frozen=True)
class Counted:
    """A row whose quantity times price, less a discount in per cent, is its amount."""

    row: int
    quantity: Number
    price: Number
    amount: Number


def grid(document: Document) -> tuple[Header, int] | None:
    """Return the header of the item table that the numbers show, and the row that ends it.

    Rows of quantity, price and amount that hold, with their amounts below each other; else
    texts with an amount each, that come to an amount further down.
    """
    counted = [c for index in range(len(document.rows)) if (c := _counted(document, index))]
    if not counted:
        return _listed(document)
    end = counted[-1].row + 1
    while end < len(document.rows) and not any(n.money for n in document.rows[end].numbers):
        end += 1
    return _header(document, counted), end


def _counted(document: Document, index: int) -> Counted | None:
    marked = document.rows[index]
    money = [n for n in marked.numbers if n.money]
    plain = [n for n in marked.numbers if not n.percent and n.value]
    if len(money) < 2 or len(plain) < 3 or not any(c.isalpha() for c in marked.row.text):
        return None
    found = factors(marked.numbers, money[-1], lambda n: n.decimals >= 2)
    return Counted(index, *found, money[-1]) if found else None


def _header(document: Document, counted: list[Counted]) -> Header:
    """Return the columns that these rows' numbers and texts stand in."""
    model = next((each for each in counted if each.quantity.value != 1), counted[0])
    row = document.rows[model.row].row
    columns = [
        Column("column_quantity", *_span(row, model.quantity)),
        Column("column_unit_price", *_span(row, model.price)),
        Column("column_amount", *_span(row, model.amount)),
    ]
    texts = _text_columns(row, columns)
    beside = [_beside_quantity(document, each) for each in counted]
    if texts[0].x1 <= columns[0].x0 and not texts[0].x0 and all(beside):
        texts = [Column("column_description", _first_edge(beside), columns[1].x0)]
    return _above(counted[0].row, [*columns, *texts])


def _beside_quantity(document: Document, counted: Counted) -> list[Word]:
    """Return the words of a row between quantity and price: a unit perhaps, and the text."""
    row = document.rows[counted.row].row
    left, right = _span(row, counted.quantity)[1], _span(row, counted.price)[0]
    return [word for word in row.words if word.x0 > left and word.x1 < right]


def _first_edge(rows: list[list[Word]]) -> float:
    """Return where the texts begin: units before them differ in place, or are short."""
    shared = [
        word.x0
        for word in rows[0]
        if all(any(abs(other.x0 - word.x0) < 1 for other in row) for row in rows[1:])
    ]
    firsts = [row[0] for row in rows]
    united = all(len(word.text) <= LONGEST_UNIT for word in firsts) and len(shared) > 1
    return shared[united] if shared else min(word.x0 for word in firsts)


def _above(first: int, columns: list[Column]) -> Header:
    return Header(sorted(columns, key=lambda c: c.x0), max(first - 1, 0), first - 1)


def _text_columns(row: Row, columns: list[Column]) -> list[Column]:
    """Return the column of the longest text in a row, and of what stands beside it."""
    free = [
        s for s in row.segments if not any(overlap(s.x0, s.x1, c.x0, c.x1) > 0 for c in columns)
    ]
    letters = [sum(c.isalpha() for c in s.text) for s in free]
    if not free or not max(letters):
        return [Column("column_description", 0.0, min(c.x0 for c in columns))]
    longest = free[letters.index(max(letters))]
    found = [Column("column_description", longest.x0, longest.x1)]
    for segment in free:
        if segment.x1 < longest.x0:
            found.append(Column("column_code", segment.x0, segment.x1))
        elif segment.x0 > longest.x1 and len(segment.text) <= LONGEST_UNIT:
            found.append(Column("column_unit", segment.x0, segment.x1))
    return found


def _span(row: Row, number: Number) -> tuple[float, float]:
    words = row.words_at(number.start, number.end)
    return words[0].x0, words[-1].x1


def _listed(document: Document) -> tuple[Header, int] | None:
    """Return the header of texts with an amount each whose amounts come to one further down."""
    for start in range(len(document.rows)):
        run = list(_run(document, start))
        for size in range(len(run), 0, -1):
            total = sum((number.value for _, number in run[:size]), Decimal(0))
            after = run[size - 1][0] + 1
            if size > 1 and _stated(document, after, total):
                row = document.rows[run[0][0]].row
                amount = Column("column_amount", *_span(row, run[0][1]))
                return _above(start, [amount, *_text_columns(row, [amount])]), after
    return None


def _run(document: Document, start: int) -> Iterator[tuple[int, Number]]:
    """Yield the rows from here on that begin with text and end with an amount, in one column."""
    edge: float | None = None
    for index in range(start, len(document.rows)):
        marked = document.rows[index]
        money = [n for n in marked.numbers if n.money]
        if not money:
            if index == start:
                return
            continue
        right = _span(marked.row, money[-1])[1]
        text = any(c.isalpha() for c in marked.row.segments[0].text)
        aligned = edge is None or abs(right - edge) < ALIGNED * document.word_height
        if not text or not aligned or marked.row.page is not document.rows[start].row.page:
            return
        edge = right
        yield index, money[-1]


def _stated(document: Document, start: int, total: Decimal) -> bool:
    return any(
        number.money and number.value == total
        for marked in document.rows[start:]
        for number in marked.numbers
    )
