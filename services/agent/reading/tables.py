"""Tables: headers made of column labels, and which column a cell below them stands in."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

from .layout import Segment, overlap
from .marking import Document, Marked
from .values import Locale, numbers, tokens
from .words import Word

HEADER_ROWS = 6
FAR = 8  # heights: a number further from its column's name is none of the column
PLAIN = (
    ["column_description", "column_amount"],
    ["column_description", "column_gross_amount"],
)
TOTALS = ("net", "tax", "gross", "amount_due", "line_total")
NUMERIC = {
    "column_quantity",
    "column_unit_price",
    "column_tax_rate",
    "column_tax_amount",
    "column_discount",
    "column_amount",
    "column_gross_amount",
    "column_base",
}


@dataclass(frozen=True)
class Column:
    """A column of a table: what its header names, and the header's extent."""

    field: str
    x0: float
    x1: float


@dataclass(frozen=True)
class Header:
    """A table's header: its columns from left to right, first and last row (indices)."""

    columns: list[Column]
    first: int
    last: int

    def column(self, name: str) -> Column | None:
        """Return the column of this field, if there is one."""
        return next((c for c in self.columns if c.field == name), None)

    @property
    def of_items(self) -> bool:
        """Return whether this heads line items rather than taxes or payments."""
        names = {c.field for c in self.columns}
        coded = "column_code" in names and names & {"column_quantity", "column_unit_price"}
        described = "column_description" in names or bool(coded)
        counted = names & {"column_quantity", "column_unit_price", "column_tax_rate"}
        paid = names & {"column_amount", "column_gross_amount"}
        return described and bool(paid) and (bool(counted) or "column_base" not in names)


def headers(document: Document) -> Iterator[Header]:
    """Yield the headers of all tables in reading order."""
    index = 0
    while index < len(document.rows):
        header = _header_at(document, index)
        if header is None:
            index += 1
            continue
        yield header
        index = header.last + 1


def _is_header_row(marked: Marked) -> bool:
    return not any(n.money for n in marked.numbers) and not marked.days


def _header_at(document: Document, index: int) -> Header | None:
    """Return the header whose first row this is: labels of three columns in a few close rows."""
    marked = document.rows[index]
    named = [h for h in marked.hits if h.field.startswith("column_")]
    if not named or not _is_header_row(marked):
        return None
    group = [index]
    for after in range(index + 1, min(index + HEADER_ROWS, len(document.rows))):
        row, last = document.rows[after].row, document.rows[group[-1]].row
        if row.page is not last.page or row.y0 - last.y1 > 0.55 * last.height:
            break
        if not _is_header_row(document.rows[after]):
            break
        group.append(after)
    for size in range(len(group), 0, -1):
        columns = _columns(document, group[:size])
        names = {c.field for c in columns}
        if _is_table(names) or _is_plain(document, columns, group[:size]):
            return _shrunk(document, columns, group[:size])
    return None


def _is_table(names: set[str]) -> bool:
    paid = names & {"column_amount", "column_gross_amount", "column_tax_amount"}
    taxes = names & {"column_base", "column_tax_amount"}
    return bool(paid) and (len(names) >= 3 or (len(names) == 2 and bool(taxes)))


def _is_plain(document: Document, columns: list[Column], group: list[int]) -> bool:
    """Return whether two names head texts with an amount each, the next row below them first."""
    below = group[-1] + 1
    if [c.field for c in columns] not in PLAIN or below >= len(document.rows):
        return False
    left, right = columns
    row = document.rows[below].row
    if len(row.segments) != 2 or not any(n.money for n in document.rows[below].numbers):
        return False
    text, amount = row.segments
    return (
        abs(text.x0 - left.x0) < document.word_height
        and overlap(amount.x0, amount.x1, right.x0, right.x1) > 0
        and not any(h.opens for h in document.rows[below].hits if h.field in TOTALS)
    )


def _shrunk(document: Document, columns: list[Column], group: list[int]) -> Header:
    """Return the header without rows that name no column more.

    The last may be the first item's, the first what stands above the table.
    """
    while len(group) > 1 and not _names_column(document.rows[group[0]]):
        fewer = _columns(document, group[1:])
        if not _is_table({c.field for c in fewer}):
            break
        group, columns = group[1:], fewer
    last = group[-1]
    while last > group[0]:
        fewer = _columns(document, [g for g in group if g < last])
        if {c.field for c in fewer} != {c.field for c in columns} or _counting(fewer) < _counting(
            columns
        ):
            break
        last -= 1
        columns = fewer
    return Header(columns, group[0], last)


def _names_column(marked: Marked) -> bool:
    return any(_whole_label(marked, segment) for segment in marked.row.segments)


def _counting(columns: list[Column]) -> int:
    """Return how many columns are not of texts, which an item's may name by chance."""
    return sum(c.field != "column_description" for c in columns)


def _columns(document: Document, group: list[int]) -> list[Column]:
    """Join the header's cells that stand above each other and name the columns they make."""
    cells: list[list[Segment]] = []
    for index in group:
        for piece in _header_cells(document.rows[index]):
            above = [c for c in cells if _stands_under(c, piece)]
            for cell, part in _shared(piece, above):
                cell.append(part)
            if not above:
                cells.append([piece])
    columns = []
    for cell in cells:
        name = _column_name(document, " ".join(s.text for s in cell))
        if name:
            columns.append(Column(name, min(s.x0 for s in cell), max(s.x1 for s in cell)))
    return _paid(_described(sorted(columns, key=lambda c: c.x0)))


def _described(columns: list[Column]) -> list[Column]:
    """Have a column of codes hold the descriptions where none does: "Article" names either."""
    if any(c.field == "column_description" for c in columns):
        return columns
    last = next((c for c in reversed(columns) if c.field == "column_code"), None)
    return [replace(c, field="column_description") if c is last else c for c in columns]


def _paid(columns: list[Column]) -> list[Column]:
    """Have the last column of numbers hold the amounts where none is named so."""
    names = {c.field for c in columns}
    items = {"column_description", "column_unit_price"} <= names
    paid = [c for c in columns if c.field == "column_amount"]
    if items and len(paid) == 2 and any(paid[0].x1 < c.x0 < paid[1].x0 for c in columns):
        # what the tax stands between is without it and with it
        return [replace(c, field="column_gross_amount") if c is paid[1] else c for c in columns]
    priced = [c for c in columns if c.field == "column_unit_price"]
    if items and not paid and "column_gross_amount" in names and len(priced) == 2:
        # of two prices before the gross amount the second is the net amount
        return [replace(c, field="column_amount") if c is priced[1] else c for c in columns]
    if not items or names & {"column_amount", "column_gross_amount"}:
        return columns
    last = columns[-1]
    if last.field not in NUMERIC or (last.field == "column_unit_price" and len(priced) < 2):
        return columns
    return [*columns[:-1], replace(last, field="column_amount")]


def _shared(piece: Segment, above: list[list[Segment]]) -> Iterator[tuple[list[Segment], Segment]]:
    """Yield the cells above a piece of a header, each with its words: it may go on with several."""
    words: dict[int, list[Word]] = {}
    for word in piece.words if above else ():
        middle = (word.x0 + word.x1) / 2
        far = [max(c[0].x0 - middle, middle - c[0].x1, 0.0) for c in above]
        words.setdefault(far.index(min(far)), []).append(word)
    yield from ((above[number], Segment(tuple(found))) for number, found in words.items())


def _stands_under(cell: list[Segment], piece: Segment) -> bool:
    x0, x1 = min(s.x0 for s in cell), max(s.x1 for s in cell)
    return overlap(x0, x1, piece.x0, piece.x1) > 0.3 * min(x1 - x0, piece.x1 - piece.x0)


def _header_cells(marked: Marked) -> Iterator[Segment]:
    """Yield the row's segments, split where two column labels share one."""
    for segment in marked.row.segments:
        starts = sorted(
            {
                h.x0
                for h in marked.hits
                if h.field.startswith("column_") and segment.x0 <= h.x0 < segment.x1
            }
        )
        cuts = [x for x in starts if x > segment.x0 + 1]
        if not cuts or _whole_label(marked, segment):
            yield segment
            continue
        part: list[Word] = []
        for word in segment.words:
            if part and any(abs(word.x0 - cut) < 0.5 for cut in cuts):
                yield Segment(tuple(part))
                part = []
            part.append(word)
        yield Segment(tuple(part))


def _whole_label(marked: Marked, segment: Segment) -> bool:
    return any(
        h.field.startswith("column_") and h.x0 <= segment.x0 + 0.5 and h.x1 >= segment.x1 - 0.5
        for h in marked.hits
    )


def _column_name(document: Document, text: str) -> str | None:
    """Return the column that a header's text names: by the whole, else by its longest label."""
    found = tokens(re.sub(r"\([^)]*\)|\[[^\]]*\]", " ", text)) or tokens(text)
    best: tuple[int, str] | None = None
    for index in range(len(found)):
        for label in document.labels.at(found, index):
            if not label.field.startswith("column_"):
                continue
            weight = len(label.words) * 10 + 5 * (len(label.words) == len(found)) - index
            if best is None or weight > best[0]:
                best = weight, label.field
    return best[1] if best else None


def widened(document: Document, header: Header, body: list[int]) -> Header:
    """Return the header with the column of texts as wide as these, where they follow on codes.

    Its name may stand above the middle of them.
    """
    code, text = header.column("column_code"), header.column("column_description")
    if code is None or text is None or code.x0 > text.x0:
        return header
    starts = [
        after.x0
        for index in body
        for first, after in pairwise(document.rows[index].row.words)
        if overlap(first.x0, first.x1, code.x0, code.x1) > 0 and code.x1 < after.x0 < text.x0
    ]
    aligned = [x for x in starts if x - min(starts) < 0.4 * document.word_height]
    if not starts or 2 * len(aligned) < len(starts):
        return header
    wide = replace(text, x0=min(starts))
    return replace(header, columns=[wide if c is text else c for c in header.columns])


def placed_cells(document: Document, header: Header, index: int) -> Iterator[tuple[str, Segment]]:
    """Yield a row's segments with the columns they stand in."""
    for segment in document.rows[index].row.segments:
        for part in _split_at_columns(segment, header, document.locale):
            column = _column_of(part, header, document.locale)
            if column is not None:
                yield column.field, part


def _split_at_columns(segment: Segment, header: Header, locale: Locale) -> Iterator[Segment]:
    """Split a segment that runs over several columns at the words under other headers."""
    under = [_under(word, header) for word in segment.words]
    for index, (word, after) in reversed(list(enumerate(pairwise(segment.words)))):
        if under[index] is None and _one_number(word, after):
            under[index] = under[index + 1]
    part: list[Word] = []
    last: Column | None = None
    for word, column in zip(segment.words, under, strict=True):
        numeric = column is not None and column.field in NUMERIC
        was_numeric = last is not None and last.field in NUMERIC
        if _is_position(part, last):
            fits = True
        elif part and column is not None and column is not last and (numeric or was_numeric):
            fits = not numeric or bool(numbers(word.text, locale)) or word.text in "-\u2212€$£"
        else:
            fits = bool(part) and _begins_column(word, header)
        if fits:
            yield Segment(tuple(part))
            part = []
        part.append(word)
        last = column if column is not None else last
    yield Segment(tuple(part))


def _is_position(part: list[Word], column: Column | None) -> bool:
    """Return whether this is an item's number, which its text may stand close to."""
    numbered = column is not None and column.field == "column_position" and len(part) == 1
    return numbered and part[0].text.strip(".)").isdecimal()


def _one_number(word: Word, after: Word) -> bool:
    """Return whether two words are one number, its thousands set apart by a space."""
    grouped = re.fullmatch(r"[-\u2212]?\D{0,3}\d{1,3}", word.text) and re.match(
        r"\d{3}(?!\d)", after.text
    )
    return bool(grouped) and after.x0 - word.x1 < 0.7 * word.height


def _begins_column(word: Word, header: Header) -> bool:
    """Return whether a word stands at the left edge of a column of text."""
    return any(
        abs(word.x0 - c.x0) < 0.4 * word.height for c in header.columns if c.field not in NUMERIC
    )


def _under(word: Word, header: Header) -> Column | None:
    best = max(header.columns, key=lambda c: overlap(c.x0, c.x1, word.x0, word.x1))
    return best if overlap(best.x0, best.x1, word.x0, word.x1) > 0 else None


def _column_of(segment: Segment, header: Header, locale: Locale) -> Column | None:
    numeric = _looks_numeric(segment, locale)
    choices = header.columns if numeric else [c for c in header.columns if c.field not in NUMERIC]
    if not numeric:
        starts = _under(segment.words[0], header)
        if starts is not None and starts.field in NUMERIC and segment.x0 > starts.x0 - 2:
            return starts
    if not choices:
        return None
    if numeric:
        near = max(choices, key=lambda c: _closeness(segment, c))
        return near if _closeness(segment, near) > -FAR * segment.words[0].height else None
    best = max(choices, key=lambda c: overlap(c.x0, c.x1, segment.x0, segment.x1))
    if overlap(best.x0, best.x1, segment.x0, segment.x1) > 0:
        return best
    left = [c for c in choices if c.x0 <= segment.x0 + 3]
    described = next((c for c in choices if c.field == "column_description"), None)
    near = left[-1] if left else choices[0]
    return described if described and near.field != "column_code" else near


def _closeness(segment: Segment, column: Column) -> float:
    shared = overlap(column.x0, column.x1, segment.x0, segment.x1)
    if shared > 0:
        return 1000 + shared
    return -min(abs(segment.x1 - column.x1), abs(segment.x0 - column.x0), -shared)


def _looks_numeric(segment: Segment, locale: Locale) -> bool:
    text = segment.text
    found = numbers(text, locale)
    if not found:
        return False
    covered = sum(n.end - n.start for n in found)
    return covered >= 0.5 * len(text) or (found[0].start == 0 and len(segment.words) <= 3)
