"""The upper part of a page: who bills whom, and the facts of the document."""

from collections.abc import Callable

from .bill import Bill, Party
from .sheet import Sheet
from .wording import Wording, words_of

Fact = tuple[str, str]
Block = Callable[[Sheet, Bill, Wording], None]


def facts(bill: Bill, w: Wording, *, with_number: bool = True) -> list[Fact]:
    """Label and value of what the document says of itself."""
    is_credit = bill.kind == "CREDIT_NOTE"
    rows = [(w.say("number_credit" if is_credit else "number"), bill.number)] if with_number else []
    rows.append((w.say("issue_date"), w.date(bill.issued)))
    if bill.due:
        rows.append((w.say("due_date"), w.date(bill.due)))
    if bill.delivered:
        rows.append((w.say("service_date"), w.date(bill.delivered)))
    if bill.order:
        rows.append((w.say("order"), bill.order))
    if bill.customer_number:
        rows.append((w.say("customer_number"), bill.customer_number))
    return rows


def title(bill: Bill, w: Wording) -> str:
    """What the document calls itself."""
    return w.say("credit_note" if bill.kind == "CREDIT_NOTE" else "invoice")


def contact(party: Party, w: Wording) -> list[str]:
    """Phone and tax id, each with its label."""
    return [f"{w.say('phone')} {party.phone}", f"{w.say('vat_id')} {party.tax_shown}"]


def spaced(number: str) -> str:
    """An IBAN in groups of four."""
    return " ".join(number[start : start + 4] for start in range(0, len(number), 4))


def lines_of(party: Party, other: Party) -> list[str]:
    """Name and address; the country where it is not the other's."""
    name = words_of("countries")[party.country]["name"]
    abroad = [name] if party.country != other.country else []
    return [party.name, *party.address, *abroad]


def head_left(s: Sheet, bill: Bill, w: Wording) -> None:
    """The supplier at the top left, the buyer below."""
    s.put(s.left, 20, bill.supplier.name, size=s.size + 5, bold=True)
    y = s.stack(s.left, 26, [*bill.supplier.address, *contact(bill.supplier, w)], size=s.size - 1)
    s.y = s.stack(s.left, y + 10, lines_of(bill.buyer, bill.supplier)) + 4


def head_right(s: Sheet, bill: Bill, w: Wording) -> None:
    """The supplier at the top right, the buyer in a window at the left."""
    own = [bill.supplier.name, *bill.supplier.address, *contact(bill.supplier, w)]
    s.stack(s.right, 20, own, bold_first=True, anchor="right")
    s.y = s.stack(s.left, 50, lines_of(bill.buyer, bill.supplier)) + 6


def head_centre(s: Sheet, bill: Bill, w: Wording) -> None:
    """The supplier in the middle, over a rule; the buyer under a heading."""
    middle = (s.left + s.right) / 2
    s.put(middle, 18, bill.supplier.name, size=s.size + 6, bold=True, anchor="centre")
    about = " - ".join(bill.supplier.address)
    s.put(middle, 24, about, size=s.size - 1, anchor="centre")
    s.put(middle, 29, "   ".join(contact(bill.supplier, w)), size=s.size - 1, anchor="centre")
    s.rule(s.left, 32, s.right)
    s.put(s.left, 42, w.say("buyer_heading"), bold=True)
    s.y = s.stack(s.left, 47, lines_of(bill.buyer, bill.supplier)) + 4


def head_band(s: Sheet, bill: Bill, w: Wording) -> None:
    """The supplier white on a dark band."""
    s.box(0, 0, 210, 26, fill=60)
    s.put(s.left, 15, bill.supplier.name, size=s.size + 6, bold=True, grey=255)
    s.stack(s.right, 9, bill.supplier.address, size=s.size - 1, anchor="right", grey=255)
    s.stack(s.right, 17.5, contact(bill.supplier, w), size=s.size - 1, anchor="right", grey=255)
    s.put(s.left, 38, f"{w.say('buyer_heading')}:", grey=90)
    s.y = s.stack(s.left, 43, lines_of(bill.buyer, bill.supplier), bold_first=True) + 4


def head_foot(s: Sheet, bill: Bill, _: Wording) -> None:
    """Only a small sender's line over the buyer's window; the letterhead stands in the foot."""
    sender = " · ".join((bill.supplier.name, *bill.supplier.address))
    s.put(s.left, 45, sender, size=6.5)
    s.rule(s.left, 46, s.left + 80, 0.1)
    s.y = s.stack(s.left, 52, lines_of(bill.buyer, bill.supplier)) + 12


def head_pair(s: Sheet, bill: Bill, w: Wording) -> None:
    """Supplier and buyer side by side, each under a heading."""
    _pair(s, bill, w, swapped=False)


def head_swapped(s: Sheet, bill: Bill, w: Wording) -> None:
    """Buyer and supplier side by side, the buyer first."""
    _pair(s, bill, w, swapped=True)


def _pair(s: Sheet, bill: Bill, w: Wording, *, swapped: bool) -> None:
    s.put(s.left, 22, title(bill, w), size=s.size + 8, bold=True)
    own = [*lines_of(bill.supplier, bill.buyer), *contact(bill.supplier, w)]
    other = lines_of(bill.buyer, bill.supplier)
    if bill.buyer.country != bill.supplier.country:
        other.append(f"{w.say('buyer_vat')} {bill.buyer.tax_shown}")
    blocks = [(w.say("supplier_heading"), own), (w.say("buyer_heading"), other)]
    if bill.delivery:
        place = [bill.delivery.name, *bill.delivery.address]
        blocks.append((w.say("delivery_heading"), place))
    if swapped:
        blocks.reverse()
    ends = []
    for index, (heading, texts) in enumerate(blocks):
        x = s.left + index * (s.right - s.left) / len(blocks)
        width = (s.right - s.left) / len(blocks) - 3
        s.put(x, 34, heading, bold=True, grey=70)
        cut = [part for text in texts for part in s.wrapped(text, width)]
        ends.append(s.stack(x, 39, cut))
    s.y = max(ends) + 5


def head_sidebar(s: Sheet, bill: Bill, w: Wording) -> None:
    """A narrow column at the right with all that is to be known of the supplier."""
    x = 152
    s.right = 146
    own = s.wrapped(bill.supplier.name, 44)
    y = s.stack(x, 30, own, bold_first=True)
    y = s.stack(x, y, [*bill.supplier.address, ""], size=s.size - 1)
    for label, value in (
        (w.say("phone"), bill.supplier.phone),
        (w.say("vat_id"), bill.supplier.tax_shown),
    ):
        y = s.stack(x, y, [label], size=s.size - 2, grey=110)
        y = s.stack(x, y, [value, ""], size=s.size - 1)
    s.y = s.stack(s.left, 46, lines_of(bill.buyer, bill.supplier)) + 8


def head_low(s: Sheet, bill: Bill, w: Wording) -> None:
    """The document's title first, the buyer at the right, the supplier below the facts' place."""
    s.put(s.right, 18, title(bill, w), size=s.size + 10, bold=True, anchor="right", grey=120)
    s.put(110, 34, w.say("buyer_heading"), size=s.size - 1, grey=110)
    below = s.stack(110, 39, lines_of(bill.buyer, bill.supplier), bold_first=True)
    s.put(s.left, 34, bill.supplier.name, bold=True)
    texts = [*bill.supplier.address, *contact(bill.supplier, w)]
    s.y = max(below, s.stack(s.left, 39, texts)) + 5


def meta_right(s: Sheet, bill: Bill, w: Wording) -> None:
    """A list at the right, level with the buyer; the title below it."""
    rows = facts(bill, w)
    y = s.y - 26
    for label, value in rows:
        s.put(118, y, label)
        s.put(s.right, y, value, anchor="right")
        y += s.step
    s.y = max(s.y, y) + 8
    _headline(s, title(bill, w))


def meta_colons(s: Sheet, bill: Bill, w: Wording) -> None:
    """Below the title, each as "label: value" in one run of text."""
    _headline(s, title(bill, w))
    s.y = s.stack(s.left, s.y, [f"{label}: {value}" for label, value in facts(bill, w)]) + 3


def meta_left(s: Sheet, bill: Bill, w: Wording) -> None:
    """The number in the title, the rest in two columns below."""
    _headline(s, f"{title(bill, w)} {bill.number}")
    for label, value in facts(bill, w, with_number=False):
        s.put(s.left, s.y, label)
        s.put(s.left + 48, s.y, value)
        s.y += s.step
    s.y += 3


def meta_row(s: Sheet, bill: Bill, w: Wording) -> None:
    """A grid over the whole width: labels above values."""
    _headline(s, title(bill, w))
    rows = facts(bill, w)
    width = (s.right - s.left) / len(rows)
    s.box(s.left, s.y - 4, s.right - s.left, 6, fill=225)
    for index, (label, value) in enumerate(rows):
        x = s.left + index * width
        size = s.size - 1 if s.pdf.get_string_width(label) < width - 2 else s.size - 3
        s.put(x + 1, s.y, label, size=size, bold=True)
        s.put(x + 1, s.y + 6, value)
        s.box(x, s.y - 4, width, 12)
    s.y += 14


def meta_box(s: Sheet, bill: Bill, w: Wording) -> None:
    """A frame at the right below the buyer."""
    rows = facts(bill, w)
    top = s.y - 30
    s.put(120, top, title(bill, w), size=s.size + 5, bold=True)
    s.box(118, top + 3, s.right - 118, len(rows) * (s.step + 1) + 3)
    for index, (label, value) in enumerate(rows):
        y = top + 8 + index * (s.step + 1)
        s.put(120, y, f"{label}:")
        s.put(158, y, value, bold=True)
    s.y = max(s.y, top + 3 + len(rows) * (s.step + 1) + 8) + 4


def meta_inline(s: Sheet, bill: Bill, w: Wording) -> None:
    """All in running lines under the title."""
    _headline(s, title(bill, w))
    x = s.left
    for label, value in facts(bill, w):
        text = f"{label} {value}"
        s.pdf.set_font(s.font, "", s.size)
        if x + s.pdf.get_string_width(text) > s.right:
            x, s.y = s.left, s.y + s.step
        x += s.put(x, s.y, text) + 8
    s.y += s.step + 3


def meta_stacked(s: Sheet, bill: Bill, w: Wording) -> None:
    """Small grey labels over large values, three beside each other."""
    _headline(s, title(bill, w))
    width = (s.right - s.left) / 3
    rows = facts(bill, w)
    for index, (label, value) in enumerate(rows):
        x, y = s.left + index % 3 * width, s.y + index // 3 * 12
        s.put(x, y, label, size=s.size - 2.5, grey=120)
        s.put(x, y + 4.5, value, size=s.size + 1)
    s.y += (len(rows) + 2) // 3 * 12 + 2


def meta_pairs(s: Sheet, bill: Bill, w: Wording) -> None:
    """Two facts in each row, label and value each."""
    _headline(s, title(bill, w))
    half = (s.right - s.left) / 2
    rows = facts(bill, w)
    for index, (label, value) in enumerate(rows):
        x, y = s.left + index % 2 * half, s.y + index // 2 * (s.step + 1)
        s.put(x, y, label, bold=True)
        s.put(x + half - 6, y, value, anchor="right")
    s.y += (len(rows) + 1) // 2 * (s.step + 1) + 4


def meta_sentence(s: Sheet, bill: Bill, w: Wording) -> None:
    """The number behind the title, the dates at the right edge of the same line and below."""
    _, *rest = facts(bill, w)
    number = facts(bill, w)[0]
    s.put(s.left, s.y, f"{number[0]} {number[1]}", size=s.size + 3, bold=True)
    for label, value in rest:
        s.put(s.right, s.y, f"{label}  {value}", anchor="right")
        s.y += s.step
    s.y += 4
    s.put(s.left, s.y, title(bill, w).upper(), size=s.size - 1, grey=110)
    s.y += 6


def _headline(s: Sheet, text: str) -> None:
    s.put(s.left, s.y + 3, text, size=s.size + 5, bold=True)
    s.y += 11
