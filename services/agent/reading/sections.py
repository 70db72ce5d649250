"""Sections of a page that a label opens: who sells, who buys, what is neither's."""

from collections.abc import Iterator
from dataclasses import dataclass

from .layout import Segment
from .marking import SECTIONS, Document, Hit, heads_table

REACH = 14  # rows that a section goes on for at most


@dataclass(frozen=True)
class Piece:
    """A segment below or beside a section's label."""

    row: int
    segment: Segment


def sections(document: Document) -> dict[int, tuple[str, list[Piece]]]:
    """Return each section that a label opens, by the number of its hit: its field and pieces."""
    opened = opened_by(document)
    return {n: (hit.field, list(_region(document, hit, opened))) for n, hit in enumerate(opened)}


def opened_by(document: Document) -> list[Hit]:
    """Return the labels that open a section: not those that head a table's columns."""
    return [h for h in document.hits(*SECTIONS) if h.alone and not heads_table(document, h.row)]


def _region(document: Document, hit: Hit, opened: list[Hit]) -> Iterator[Piece]:
    own = document.rows[hit.row].row
    right = min((h.x0 for h in opened if h.row == hit.row and h.x0 > hit.x1), default=float("inf"))
    height = own.height
    beside = [s for s in own.segments if hit.x0 <= s.x0 < right][:2]
    if len(beside) > 1 and _heads(document, hit):
        right = min(right, beside[1].x0)
        beside = beside[:1]
    yield from (Piece(hit.row, segment) for segment in beside)
    edges = [hit.x0, *(s.x0 for s in beside)]
    bottom = own.y1
    for index in range(hit.row + 1, min(hit.row + 1 + REACH, len(document.rows))):
        marked = document.rows[index]
        if marked.row.page is not own.page or marked.row.y0 - bottom > 3 * height:
            return
        if heads_table(document, index):
            return
        if any(h.row == index and hit.x0 - height < h.x0 < right for h in opened):
            return
        inside = [
            s
            for s in marked.row.segments
            if _in_line(s, hit, edges, height)
            # a longer line reaches out to the left where all end below the label's end
            and (hit.x0 - 1.5 * height <= s.x0 < right or abs(s.x1 - hit.x1) < 0.5 * height)
        ]
        for segment in inside:
            yield Piece(index, segment)
        if inside:
            bottom = marked.row.y1


def _heads(document: Document, hit: Hit) -> bool:
    """Return whether a text stands right below a label: then what is beside it is another's."""
    own = document.rows[hit.row].row
    if hit.row + 1 == len(document.rows):
        return False
    marked = document.rows[hit.row + 1]
    if marked.row.page is not own.page or marked.row.y0 - own.y1 > own.height:
        return False
    under = next((s for s in marked.row.segments if abs(s.x0 - hit.x0) < 0.3 * own.height), None)
    labelled = (
        any(h.x0 == under.x0 and (h.alone or h.opens) for h in marked.hits) if under else True
    )
    return not labelled


def _in_line(segment: Segment, hit: Hit, edges: list[float], height: float) -> bool:
    """Return whether a segment stands below a label: by its left edge, its middle or its right."""
    left = any(abs(segment.x0 - edge) < 1.5 * height for edge in edges)
    middle = abs(segment.x0 + segment.x1 - hit.x0 - hit.x1) < 2 * height
    return left or middle or abs(segment.x1 - hit.x1) < height


def owners(document: Document) -> dict[int, str]:
    """Return which section each segment belongs to (by id of the segment)."""
    return {id(p.segment): field for field, pieces in sections(document).values() for p in pieces}
