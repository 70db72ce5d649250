"""Line items: the rows of an item table, grouped around each amount."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal

from .evidence import OCR
from .extents import Item, Placed, fill
from .grids import grid
from .layout import Row, Segment, squeezed
from .marking import TOTALS, Document, Marked
from .stacks import Stacked, description, is_bare, multiplied, stacked
from .tables import Header, headers, placed_cells, widened
from .values import CENT, Locale, Number, numbers
from .words import Word

MAX_LINES = 2000
CODED = re.compile(r"(?:\d{1,3}[.)]? )?((?=\S*\d)[^\W_][\w./-]{3,}) (?=\S)")
SMALL_BREADTH = 0.87
SLIM, BROAD = (
    frozenset("fijlrtI.,:;!|'()[]/- "),
    frozenset("mwMW@%"),
)  # letters, by the common faces
ENDING = ("net", "gross", "amount_due", "line_total")
AMOUNTS = ("column_amount", "column_gross_amount", "column_base")  # of items, best first
DETAILS = {"other_date", "other_number", "order_reference", "adjustment", "column_code"}


@dataclass(frozen=True)
class Line:
    """A line item: texts and numbers as read, with the words that say so."""

    description: str
    quantity: Decimal | None
    unit: str | None
    unit_price: Decimal | None
    tax_rate: Decimal | None
    amount: Decimal
    row: int
    words: tuple[Word, ...]
    rows: frozenset[int]

    @property
    def adds_up(self) -> bool:
        """Return whether quantity times unit price is the amount."""
        if self.quantity is None or self.unit_price is None:
            return False
        return abs(self.quantity * self.unit_price - self.amount) <= CENT


def items(document: Document) -> list[Line]:
    """Return the line items of all item tables of a document, in reading order."""
    found: list[Line] = []
    found_headers = list(headers(document))
    for number, header in enumerate(found_headers):
        if not header.of_items:
            continue
        limit = (
            found_headers[number + 1].first
            if number + 1 < len(found_headers)
            else len(document.rows)
        )
        body = list(_body(document, header, limit))
        before = sum((line.amount for line in found), Decimal(0))
        found += _lines(document, header, body, before)
        if len(found) > MAX_LINES:
            return found[:MAX_LINES]
    found = found or list(_of_stacks(document, stacked(document)))
    unnamed = None if found else grid(document)
    if unnamed is not None:
        header, end = unnamed
        found = _lines(document, header, list(_body(document, header, end)))
    return found


def _of_stacks(document: Document, stacks: list[Stacked]) -> Iterator[Line]:
    for number, item in enumerate(stacks):
        words = description(document, stacks, number)
        text = squeezed(" ".join(w.text for w in words))
        found = item.counted
        rows = {found.amount_row, found.row}
        words += tuple(w for row in sorted(rows) for w in document.rows[row].row.words)
        values = (found.quantity, None, found.price, None, found.amount, found.amount_row)
        yield Line(text, *values, tuple(dict.fromkeys(words)), frozenset({*item.texts, *rows}))


def _body(document: Document, header: Header, limit: int) -> Iterator[int]:
    """Yield the rows of a table until its totals, another header or a new section."""
    amount = header.column("column_amount") or header.column("column_gross_amount")
    for index in range(header.last + 1, limit):
        marked = document.rows[index]
        if amount and _ends_table(marked, header):
            return
        yield index


def _ends_table(marked: Marked, header: Header) -> bool:
    """Return whether a row is a total: its label opens it, left of its amount, with no count.

    Or it heads totals that stand side by side.
    """
    stated = [n for n in marked.numbers if n.money and marked.row.text[n.start] != "("]
    named = {h.field for h in marked.hits if h.field in TOTALS}
    if len(named) > 1 and not stated:
        return not marked.has("column_description")
    description = header.column("column_description") or header.columns[0]
    for hit in marked.hits:
        if hit.field not in (*ENDING, "tax") or not hit.opens:
            continue
        money = [n for n in marked.numbers if n.money and n.start >= hit.end]
        if len(money) != 1 or any(hit.end <= n.start < money[0].start for n in marked.numbers):
            continue
        beside = hit.x0 > description.x1 or len(marked.row.segments) <= 3
        if beside and (hit.label.weight == 1.0 or len(marked.row.segments) <= 2 or hit.alone):
            return True
    return False


def _lines(
    document: Document, header: Header, body: list[int], before: Decimal = Decimal(0)
) -> list[Line]:
    header = widened(document, header, body)
    placed = {index: list(placed_cells(document, header, index)) for index in body}
    anchors = _anchors(document, header, placed)
    if not anchors:
        return []
    fill(document, placed, anchors)
    kept = _summed(document, anchors, header, before)
    lines = [line for line in (_line(document, item) for item in kept) if line is not None]
    lines = _without_codes(lines, _code_shapes(kept))
    if not any(line.adds_up or any(map(str.isalpha, line.description)) for line in lines):
        return []  # a table of taxes or totals
    priced = header.column("column_unit_price") is not None
    credited = sum(line.amount < 0 for line in lines) > len(lines) / 2
    return [line for line in lines if not _adjusts(document, line, priced, credited)]


def _code_shapes(items: list[Item]) -> set[str]:
    """Return how the codes of items are written that have a cell of their own: "A99999"."""
    cells = (cell for item in items for cell in item.cells.get("column_code", []))
    return {_shape(segment.text) for _, segment in cells}


def _without_codes(lines: list[Line], shapes: set[str]) -> list[Line]:
    """Return the lines without the number and code that run into an item's text.

    A code is known by how those of other items are written, or as all of them begin with one.
    """
    begun = [CODED.match(line.description) for line in lines]
    own = {_shape(found[1]) if found else "" for found in begun}
    if len(lines) > 1 and len(own) == 1:
        shapes = own
    return [
        replace(line, description=line.description[found.end() :])
        if found and _shape(found[1]) in shapes
        else line
        for line, found in zip(lines, begun, strict=True)
    ]


def _shape(code: str) -> str:
    return re.sub(r"[^\W\d_]", "A", re.sub(r"\d", "9", code))


def _anchors(document: Document, header: Header, placed: Placed) -> list[Item]:
    """Return an item for each amount: of columns that may hold them, what the rows multiply."""
    found: dict[str, list[Item]] = {name: [] for name in AMOUNTS}
    held = dict.fromkeys(AMOUNTS, 0)
    for index, cells in placed.items():
        values = {name: _only_number(cell, document.locale) for name, cell in cells}
        quantity, price = values.get("column_quantity"), values.get("column_unit_price")
        for name in AMOUNTS:
            number = values.get(name)
            if number is None or not number.money:
                continue
            found[name].append(Item(index, number))
            if quantity and price:
                held[name] += abs(quantity.value * price.value - number.value) <= CENT
    named = next((name for name in AMOUNTS if header.column(name)), "")
    most = max(AMOUNTS, key=lambda name: held[name])
    return found[named] if not held[most] or held[named] else found[most]


def _summed(document: Document, items: list[Item], header: Header, before: Decimal) -> list[Item]:
    """Return the items before the one that is their sum, without sums carried over a page.

    `before` is what the items of earlier tables come to.
    """
    counted = header.column("column_unit_price") or header.column("column_quantity")
    bare = [_is_bare(document, item) for item in items]
    holding = [_holds(document, item) for item in items]
    kept: list[Item] = []
    total = Decimal(0)
    for number, item in enumerate(items):
        rest = [each.amount.value for each in items[number:]]
        # a sum that counted items follow is carried forward, whatever it is called
        carried = rest[0] in (total, before + total) and any(holding[number:])
        if bare[number] and (carried or document.rows[item.row].has("carried")):
            continue
        if kept and bare[number] and rest[0] == total and (counted or _ends(rest)):
            break
        kept.append(item)
        total += item.amount.value
    return kept


def _holds(document: Document, item: Item) -> bool:
    """Return whether an item's quantity times its price is its amount."""
    quantity = _cell_number(document, item, "column_quantity")
    price = _cell_number(document, item, "column_unit_price")
    if quantity is None or price is None:
        return False
    return bool(quantity) and abs(quantity * price - item.amount.value) <= CENT


def _is_bare(document: Document, item: Item) -> bool:
    """Return whether an item has an amount alone, no quantity or price to its row."""
    return not any(
        numbers(segment.text, document.locale)
        for name in ("column_quantity", "column_unit_price")
        for row, segment in item.cells.get(name, [])
        if row <= item.row
    )


def _ends(rest: list[Decimal]) -> bool:
    """Return whether net, tax and gross are what is left, or a total alone."""
    return len(rest) == 1 or (len(rest) > 2 and rest[0] + rest[1] == rest[2])


def _adjusts(document: Document, line: Line, priced: bool, credited: bool) -> bool:
    """Return whether a row is a discount or charge on all items rather than one of them."""
    hits = [h for h in document.rows[line.row].hits if h.field == "adjustment"]
    bare = line.quantity is None and line.unit_price is None
    named = any(h.opens or (bare and line.amount < 0) for h in hits)
    if not named or line.adds_up or (line.quantity is not None and line.unit_price is not None):
        return False
    return (line.amount < 0) != credited or (priced and line.unit_price is None)


def _only_number(segment: Segment, locale: Locale) -> Number | None:
    found = [n for n in numbers(segment.text, locale) if not n.percent]
    return found[-1] if found else None


def _line(document: Document, item: Item) -> Line | None:
    amount = item.amount.value
    quantity = _cell_number(document, item, "column_quantity")
    price = _cell_number(document, item, "column_unit_price")
    position = _cell_number(document, item, "column_position")
    if quantity is None and position is not None and price is not None:
        quantity = position if abs(position * price - amount) <= CENT else None
    counted = _counted_below(document, item)
    if quantity is None and price is None and counted:
        quantity, price = counted[1]
    text, words = _description(document, item, counted[0] if counted else None)
    if not text and quantity is None and price is None:
        return None
    unit = _unit(item)
    rate = _cell_number(document, item, "column_tax_rate")
    own = [s.words for row, s in item.cells.get("column_amount", []) if row == item.row]
    words += tuple(w for group in own for w in group)
    rows = frozenset(item.rows | {item.row})
    return Line(text, quantity, unit, price, rate, amount, item.row, words, rows)


def _cell_number(document: Document, item: Item, name: str) -> Decimal | None:
    """Return the first number in an item's cells of a column; a share is none of units or price."""
    of_shares = name not in ("column_quantity", "column_unit_price")
    for _, segment in item.cells.get(name, []):
        for number in numbers(segment.text, document.locale):
            if of_shares or not number.percent:
                return number.value
    return None


def _unit(item: Item) -> str | None:
    for _, segment in [*item.cells.get("column_unit", []), *item.cells.get("column_quantity", [])]:
        text = re.sub(r"^[-\u2212]?[\d.,\s]+", "", segment.text).strip()
        if text and any(c.isalpha() for c in text) and len(text) <= 12:
            return text
    return None


def _counted_below(document: Document, item: Item) -> tuple[int, tuple[Decimal, Decimal]] | None:
    """Return the row in an item's text that says how its amount comes about, and its factors.

    Or its own row, where that has no text.
    """
    textless = all(row != item.row for row, _ in item.cells.get("column_description", []))
    for row in sorted(item.rows - {item.row}) + [item.row] * textless:
        factors = multiplied(document.rows[row], item.amount)
        if factors and (row == item.row or is_bare(document.rows[row])):
            return row, factors
    return None


def _description(
    document: Document, item: Item, counted: int | None
) -> tuple[str, tuple[Word, ...]]:
    """Return the first paragraph of an item's text: rows that follow each other closely.

    `counted` is the row that says how the amount comes about, and no part of the text.
    """
    cells = item.cells.get("column_description") or item.cells.get("column_code") or []
    rows: dict[int, list[Word]] = {}
    for index, segment in cells:
        if index == counted:
            continue
        rows.setdefault(index, []).extend(segment.words)
    kept: list[int] = []
    for index in sorted(rows):
        if kept and _apart(document.rows[kept[-1]].row, rows[kept[-1]], rows[index]):
            break
        if kept and _is_detail(document, index, rows[index][0]):
            break
        kept.append(index)
    words = tuple(w for index in kept for w in rows[index])
    return squeezed(" ".join(w.text for w in words)), words


def _is_detail(document: Document, index: int, first: Word) -> bool:
    """Return whether a line within an item says one thing about it: "Country of origin: DE"."""
    return any(
        h.alone and abs(h.x0 - first.x0) < 1 and h.label.field in DETAILS
        for h in document.rows[index].hits
    ) or any(
        h.field == "line_detail" and abs(h.x0 - first.x0) < 1 for h in document.rows[index].hits
    )


def _apart(row: Row, above: list[Word], below: list[Word]) -> bool:
    """Return whether a gap or a smaller face sets a row of text apart from the one above it."""
    gap = min(w.y0 for w in below) - max(w.y1 for w in above)
    if row.page.source == OCR:  # how high letters are is guessed in pictures, how wide is not
        small = _breadth(below) < SMALL_BREADTH * _breadth(above)
    else:
        small = below[0].height < 0.85 * above[0].height
    return gap > 0.35 * row.height or small


def _breadth(words: list[Word]) -> float:
    """Return how wide letters are set, where an "n" of the face is as wide as its text has it."""
    usual = sum(
        0.5 if c in SLIM else 1.5 if c in BROAD or c.isupper() else 1.0
        for w in words
        for c in w.text
    )
    return sum(w.x1 - w.x0 for w in words) / usual
