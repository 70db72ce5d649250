"""The lines of a bill as a table, over as many pages as they need."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from .bill import CENT, Bill, Item
from .sheet import Sheet
from .wording import Wording

WIDTHS = {
    "position": 9.0,
    "code": 21.0,
    "quantity": 17.0,
    "unit": 14.0,
    "unit_price": 23.0,
    "discount": 16.0,
    "rate": 16.0,
    "line_tax": 20.0,
    "amount": 26.0,
}
TEXTS = ("position", "code", "description", "unit")
BOTTOM = 255.0


@dataclass(frozen=True)
class Column:
    """Where one column stands; x is its left edge."""

    key: str
    x: float
    width: float
    heading: str

    @property
    def is_text(self) -> bool:
        """Texts stand left, numbers right."""
        return self.key in TEXTS


def chosen(bill: Bill, columns: Sequence[str]) -> list[str]:
    """The columns that this bill needs: a discount where there is one, no tax where it has none."""
    keys = [key for key in columns if bill.is_taxed or key not in ("rate", "line_tax")]
    if any(item.discount for item in bill.items) and "discount" not in keys:
        keys.insert(keys.index("amount"), "discount")
    return keys


def placed(s: Sheet, bill: Bill, w: Wording, columns: Sequence[str]) -> list[Column]:
    """Columns over the width of the sheet; the description takes what the others leave."""
    keys = chosen(bill, columns)
    scale = min(1.0, (s.right - s.left) / 170 + 0.08)
    taken = sum(WIDTHS[key] * scale for key in keys if key != "description")
    made, x = [], s.left
    for key in keys:
        is_wide = key == "description"
        width = s.right - s.left - taken if is_wide else WIDTHS[key] * scale
        heading = "gross_amount" if key == "amount" and bill.has_gross_prices else key
        made.append(Column(key, x, width, w.say(heading)))
        x += width
    return made


def cell(key: str, index: int, item: Item, w: Wording, *, with_unit: bool) -> str:
    """What stands in a cell."""
    quantity = w.number(item.quantity, 0)
    tax = (item.amount * item.rate / 100).quantize(CENT)
    return {
        "position": f"{index}",
        "code": item.code,
        "description": item.description,
        "quantity": f"{quantity} {item.unit}" if with_unit else quantity,
        "unit": item.unit,
        "unit_price": w.number(item.unit_price),
        "discount": f"{w.rate(item.discount)}%" if item.discount else "",
        "rate": w.rate(item.rate) + ("%" if "%" not in w.say("rate") else ""),
        "line_tax": w.amount(tax),
        "amount": w.amount(item.amount),
    }[key]


def _heading(s: Sheet, columns: Sequence[Column], style: str) -> None:
    parts = {c.key: s.wrapped(c.heading, c.width - 2, s.size - 1) for c in columns}
    height = max(map(len, parts.values())) * s.step
    if style in ("grid", "dark"):
        fill = 235 if style == "grid" else 70
        s.box(s.left, s.y - s.step, s.right - s.left, height + 2, fill=fill)
    grey = 255 if style == "dark" else 0
    for c in columns:
        x = c.x + 1 if c.is_text else c.x + c.width - 1
        for index, part in enumerate(parts[c.key]):
            s.put(
                x,
                s.y + index * s.step,
                part,
                size=s.size - 1,
                bold=style != "bare",
                anchor="left" if c.is_text else "right",
                grey=grey,
            )
    s.y += height
    if style in ("rules", "ends"):
        s.rule(s.left, s.y - s.step + 1.5, s.right, 0.3)
    s.y += 1.5


def table(
    s: Sheet,
    bill: Bill,
    w: Wording,
    keys: Sequence[str],
    style: str,
    new_page: Callable[[Decimal], None],
    *,
    with_detail: bool,
) -> None:
    """Write all lines; style is rules, ends, grid, dark, zebra, bare or blocks.

    new_page is called with the sum so far where a page is full.
    """
    columns = placed(s, bill, w, keys)
    _heading(s, columns, style)
    so_far = Decimal()
    for index, item in enumerate(bill.items, 1):
        if s.y > BOTTOM:
            new_page(so_far)
            _heading(s, columns, style)
        so_far += item.amount
        if style == "blocks":
            _block(s, item, w)
        else:
            _row(s, columns, (index, item), w, style, with_detail=with_detail)
    if style == "ends":
        s.rule(s.left, s.y - s.step + 1, s.right, 0.3)
        s.y += 1


def _row(
    s: Sheet,
    columns: Sequence[Column],
    entry: tuple[int, Item],
    w: Wording,
    style: str,
    *,
    with_detail: bool,
) -> None:
    index, item = entry
    with_unit = not any(c.key == "unit" for c in columns)
    wide = next(c for c in columns if c.key == "description")
    parts = s.wrapped(item.description, wide.width - 2)
    detail = s.wrapped(item.detail, wide.width - 2, s.size - 2) if with_detail else []
    height = (len(parts) + len(detail)) * s.step + 1.5
    top = s.y - s.step
    if style == "zebra" and index % 2:
        s.box(s.left, top + 0.6, s.right - s.left, height, fill=240)
    for c in columns:
        if c.key != "description":
            text = cell(c.key, index, item, w, with_unit=with_unit)
            x = c.x + 1 if c.is_text else c.x + c.width - 1
            s.put(x, s.y, text, anchor="left" if c.is_text else "right")
        if style == "grid":
            s.box(c.x, top + 0.6, c.width, height)
    below = s.stack(wide.x + 1, s.y, parts)
    s.stack(wide.x + 1, below, detail, size=s.size - 2, grey=100)
    s.y += height
    if style == "rules":
        s.rule(s.left, s.y - s.step + 0.6, s.right, 0.1)


def _block(s: Sheet, item: Item, w: Wording) -> None:
    """The description on a line of its own, quantity times price and the amount below it."""
    s.put(s.left, s.y, item.description, bold=True)
    s.y += s.step
    less = f" - {w.rate(item.discount)}%" if item.discount else ""
    count = f"{w.number(item.quantity, 0)} {item.unit} x {w.number(item.unit_price)}{less}"
    s.put(s.left + 6, s.y, count, grey=60)
    s.put(s.right, s.y, w.amount(item.amount), anchor="right")
    s.y += s.step + 1.5
