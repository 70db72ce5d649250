"""The layouts of invoices and credit notes, each put together from blocks."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from . import heads, tables
from .bill import Bill
from .sheet import Sheet
from .totals import carried, closing, foot, has_account, totals
from .wording import Wording

SIMPLE = ("description", "quantity", "unit_price", "amount")
NUMBERED = ("position", *SIMPLE)
TAXED = ("description", "quantity", "unit_price", "rate", "amount")
FULL = ("position", "code", "description", "quantity", "unit", "unit_price", "rate", "amount")
FIRST = ("quantity", "description", "unit_price", "amount")
CODED = ("code", "description", "quantity", "unit", "unit_price", "amount")
SERVICES = ("description", "amount")


@dataclass(frozen=True)
class Layout:
    """Which block stands for each part of a page; size in points."""

    name: str
    head: Callable[[Sheet, Bill, Wording], None]
    meta: Callable[[Sheet, Bill, Wording], None]
    table: str
    columns: tuple[str, ...]
    totals: str
    foot: str
    font: str
    size: float = 9.5
    has_details: bool = False
    carries: bool = False


h = heads
LAYOUTS = {
    "tuning": (
        Layout("letter", h.head_left, h.meta_left, "rules", SIMPLE, "right", "line", "helvetica"),
        Layout("window", h.head_foot, h.meta_right, "ends", NUMBERED, "right", "columns", "source"),
        Layout(
            "ledger", h.head_right, h.meta_row, "grid", FULL, "joined", "none", "helvetica", 8.5
        ),
        Layout(
            "centred", h.head_centre, h.meta_colons, "bare", TAXED, "left", "none", "times", 10.5
        ),
        Layout("band", h.head_band, h.meta_box, "dark", NUMBERED, "boxed", "line", "source", 10),
        Layout("pair", h.head_pair, h.meta_colons, "zebra", TAXED, "taxes", "none", "light"),
        Layout("typed", h.head_left, h.meta_colons, "bare", SIMPLE, "right", "none", "courier", 9),
        Layout(
            "details",
            h.head_foot,
            h.meta_box,
            "ends",
            FULL,
            "taxes",
            "columns",
            "source",
            8.5,
            True,
        ),
        Layout(
            "long",
            h.head_right,
            h.meta_right,
            "rules",
            CODED,
            "right",
            "columns",
            "helvetica",
            carries=True,
        ),
        Layout(
            "quantity", h.head_band, h.meta_inline, "rules", FIRST, "boxed", "none", "helvetica"
        ),
        Layout("classic", h.head_centre, h.meta_row, "grid", TAXED, "taxes", "line", "times", 10),
        Layout("framed", h.head_pair, h.meta_row, "dark", FULL, "joined", "numbers", "light", 9),
        Layout("short", h.head_left, h.meta_inline, "ends", SERVICES, "left", "line", "times", 11),
        Layout(
            "notes",
            h.head_right,
            h.meta_left,
            "zebra",
            NUMBERED,
            "right",
            "none",
            "courier",
            8.5,
            True,
        ),
    ),
    "unseen": (
        Layout(
            "sidebar", h.head_sidebar, h.meta_stacked, "ends", SIMPLE, "dotted", "none", "source"
        ),
        Layout(
            "blocks", h.head_left, h.meta_pairs, "blocks", SIMPLE, "colons", "line", "helvetica"
        ),
        Layout("strip", h.head_swapped, h.meta_pairs, "grid", FULL, "strip", "none", "source", 8.5),
        Layout("low", h.head_low, h.meta_stacked, "zebra", TAXED, "dotted", "columns", "light"),
        Layout(
            "phrase", h.head_right, h.meta_sentence, "bare", FIRST, "colons", "none", "times", 10.5
        ),
        Layout(
            "swapped",
            h.head_swapped,
            h.meta_sentence,
            "rules",
            CODED,
            "dotted",
            "line",
            "courier",
            8,
        ),
        Layout(
            "ledger_strip",
            h.head_low,
            h.meta_pairs,
            "dark",
            FULL,
            "strip",
            "columns",
            "helvetica",
            8.5,
            True,
            True,
        ),
        Layout(
            "narrow",
            h.head_sidebar,
            h.meta_sentence,
            "rules",
            SIMPLE,
            "strip",
            "numbers",
            "helvetica",
        ),
    ),
}


def layout_of(split: str, chance: random.Random) -> Layout:
    """One of a split's layouts."""
    return chance.choice(LAYOUTS[split])


def paint(bill: Bill, w: Wording, layout: Layout) -> bytes:
    """The bill as a PDF with a text layer."""
    font = layout.font if w.language != "pl" or layout.font == "light" else "source"
    s = Sheet(font, layout.size)
    layout.head(s, bill, w)
    layout.meta(s, bill, w)
    s.y += s.step

    def new_page(so_far: Decimal) -> None:
        if layout.carries:
            carried(s, w, so_far)
        s.pdf.add_page()
        s.y = 25
        if layout.carries:
            carried(s, w, so_far)

    tables.table(s, bill, w, layout.columns, layout.table, new_page, with_detail=layout.has_details)
    if s.y > 225:
        s.pdf.add_page()
        s.y = 25
    totals(s, bill, w, layout.totals)
    closing(s, bill, w, with_bank=not has_account(layout.foot))
    pages = s.pdf.pages_count
    for page in range(1, pages + 1):
        s.pdf.page = page
        foot(s, bill, w, layout.foot, page, pages)
    return bytes(s.pdf.output())
