"""How far each item of a table reaches: the rows around its amount that are its own."""

from dataclasses import dataclass, field

from .evidence import OCR
from .layout import Segment
from .marking import Document
from .stacks import multiplied
from .values import Number, numbers, tokens

LONGEST_CODE_NAME = 4  # letters, as in "Art. 4711"

Placed = dict[int, list[tuple[str, Segment]]]  # each row's cells with their columns


@dataclass
class Item:
    """A line item in the making: cells by column, as (row index, segment)."""

    row: int
    amount: Number
    cells: dict[str, list[tuple[int, Segment]]] = field(default_factory=dict)
    rows: set[int] = field(default_factory=set)


def fill(
    document: Document,
    placed: Placed,
    anchors: list[Item],
) -> None:
    """Give each item the cells around its amount: numbers by nearness, text from there on."""
    tops = _tops_of_coded(document, placed, anchors)
    if 2 * len(tops) <= len(anchors):
        tops = {}
    for number, item in enumerate(anchors):
        if number in tops:  # what stands there is no text
            placed[item.row] = [
                ("column_code" if name == "column_description" else name, cell)
                for name, cell in placed[item.row]
            ]
        else:
            tops[number] = _top(document, placed, anchors, number)
    for index, cells in placed.items():
        owner = None
        for number, item in enumerate(anchors):
            if index >= tops[number]:
                owner = item
        if owner is None:
            continue
        for name, segment in cells:
            owner.cells.setdefault(name, []).append((index, segment))
        owner.rows.add(index)


def _tops_of_coded(document: Document, placed: Placed, anchors: list[Item]) -> dict[int, int]:
    """Return, by item, the rows of text above those whose own rows have something in its place.

    A code, or how the amount comes about.
    """
    found = {}
    floor = min(placed)
    for number, item in enumerate(anchors):
        texts = [i for i in range(floor, item.row) if _is_text_row(placed.get(i, []))]
        own = [cell.text for name, cell in placed[item.row] if name == "column_description"]
        if texts and own and all(_is_code(each, document, item) for each in own):
            found[number] = texts[0]
        floor = item.row + 1
    return found


def _is_text_row(cells: list[tuple[str, Segment]]) -> bool:
    return {name for name, _ in cells} == {"column_description"}


def _is_code(text: str, document: Document, item: Item) -> bool:
    """Return whether a text is a code and what it is called, "Art. 4711", or "12 pcs x 3.50"."""
    words = [word for word in tokens(text) if word.isalpha()]
    counts = len(numbers(text, document.locale)) > 1 and len(words) <= 2
    if counts and multiplied(document.rows[item.row], item.amount):
        return True
    return any(c.isdecimal() for c in text) and sum(map(len, words)) <= LONGEST_CODE_NAME


def _top(
    document: Document,
    placed: Placed,
    anchors: list[Item],
    number: int,
) -> int:
    """Return the first row of an item: upwards from its amount while numbers are missing there."""
    item = anchors[number]
    floor = anchors[number - 1].row + 1 if number else min(placed)
    have = {name for name, _ in placed[item.row]}
    top = item.row
    if not have & {"column_unit_price", "column_quantity"}:
        top = _counted_above(document, placed, item.row, floor)
    if top == item.row and "column_description" not in have:
        top = _text_above(document, placed, item.row, floor)
    top = _lines_beside(document, placed, top, floor)
    return _codes_above(document, placed, top, floor)


def _lines_beside(document: Document, placed: Placed, top: int, floor: int) -> int:
    """Go up over text that reaches down beside the numbers, or stands under the item's number."""
    opening = {"column_position", "column_code"}
    if opening & {name for name, _ in placed[top]}:
        return top
    # boxes of recognised words are taller than these, and overlap where lines are set close
    shared = 0.35 if document.rows[top].row.page.source == OCR else 0.15
    first = top
    while first > floor:
        above, row = document.rows[first - 1].row, document.rows[first].row
        if row.y0 - above.y1 > -shared * document.word_height or above.page is not row.page:
            break
        first -= 1
    for index in range(first - 1, max(floor, first - 4) - 1, -1):
        if document.rows[index + 1].row.y0 - document.rows[index].row.y1 > (
            0.5 * document.word_height
        ):
            break
        names = {name for name, _ in placed[index]}
        if opening & names:
            return index
    return first


def _counted_above(document: Document, placed: Placed, row: int, floor: int) -> int:
    """Go up to the row of the item's quantity or price; stay where there is none close by."""
    for index in range(row - 1, max(floor, row - 4) - 1, -1):
        apart = document.rows[index + 1].row.y0 - document.rows[index].row.y1
        if apart > 1.5 * document.word_height or (
            document.rows[index].row.page is not document.rows[row].row.page
        ):
            break
        if {name for name, _ in placed[index]} & {"column_unit_price", "column_quantity"}:
            return index
    return row


def _text_above(document: Document, placed: Placed, row: int, floor: int) -> int:
    top = row
    for index in range(row - 1, floor - 1, -1):
        apart = document.rows[top].row.y0 - document.rows[index].row.y1
        if apart > 0.8 * document.word_height:
            break
        if not {name for name, _ in placed[index]} <= {"column_description", "column_position"}:
            break
        top = index
    return top


def _codes_above(document: Document, placed: Placed, top: int, floor: int) -> int:
    """Go up over rows that hold only the item's number or code, close above its first row."""
    for index in range(top - 1, floor - 1, -1):
        names = {name for name, _ in placed[index]}
        apart = document.rows[top].row.y0 - document.rows[index].row.y1
        if not names or not names <= {"column_position", "column_code"}:
            break
        if apart > 0.8 * document.word_height:
            break
        top = index
    return top
