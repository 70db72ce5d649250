"""The sums of a bill, and how to pay: the lower part of its last page."""

from decimal import Decimal

from .bill import Bill
from .heads import spaced
from .sheet import Sheet
from .wording import Wording

Row = tuple[str, str, bool]  # label, amount, whether it is the one to look at


def rows(bill: Bill, w: Wording, *, with_taxes: bool = True) -> list[Row]:
    """The sums from the lines to what is due."""
    made: list[Row] = []
    if bill.rebate or bill.freight:
        if bill.rebate:
            made.append(
                (w.say("rebate", rate=w.rate(bill.rebate)), w.amount(-bill.reduction), False)
            )
        if bill.freight:
            made.append((w.say("freight"), w.amount(bill.freight), False))
    if bill.has_gross_prices:
        made.append((w.say("gross"), w.money(bill.gross), True))
        made += [
            (w.say("included", rate=w.rate(rate)), w.amount(tax), False)
            for rate, (_, tax) in bill.taxes.items()
        ]
    else:
        if bill.is_taxed:
            made.append((w.say("net"), w.money(bill.net), False))
        if bill.is_taxed and with_taxes:
            made += [
                (w.say("tax", rate=w.rate(rate), base=w.amount(base)), w.money(tax), False)
                for rate, (base, tax) in bill.taxes.items()
            ]
        elif bill.is_taxed:
            made.append((w.say("tax_heading"), w.money(bill.tax), False))
        made.append((w.say("gross"), w.money(bill.gross), not bill.prepaid))
    if bill.prepaid:
        made.append((w.say("prepaid"), w.money(-bill.prepaid), False))
        made.append((w.say("amount_due"), w.money(bill.amount_due), True))
    return made


def with_currency(bill: Bill, w: Wording, made: list[Row]) -> list[Row]:
    """The same with the currency's code at the total's label, where no amount shows it."""
    if "{code}" in w.money_pattern or "{symbol}" in w.money_pattern:
        return made
    return [
        (f"{label} {bill.currency}" if main else label, text, main) for label, text, main in made
    ]


def totals(s: Sheet, bill: Bill, w: Wording, style: str) -> None:
    """Write the sums; style is right, left, joined, taxes, boxed, strip, dotted or colons."""
    s.y += 3
    made = with_currency(bill, w, rows(bill, w, with_taxes=style not in ("taxes", "strip")))
    if style == "taxes" and bill.is_taxed:
        _tax_table(s, bill, w)
    if style == "strip":
        _strip(s, made)
    else:
        _listed(s, made, style)
    if not bill.is_taxed:
        s.y += 2
        s.put(s.left, s.y, w.say("exempt"), size=s.size - 1)
        s.y += s.step
    s.y += 4


def _listed(s: Sheet, made: list[Row], style: str) -> None:
    start, end = (s.left, s.left + 85) if style == "left" else (s.right - 75, s.right)
    for label, text, is_main in made:
        if style == "boxed" and is_main:
            s.box(start - 2, s.y - s.step - 0.3, end - start + 4, s.step + 2.5, fill=215)
        if style == "joined":
            s.box(start, s.y - s.step + 0.6, end - start - 30, s.step + 1)
            s.box(end - 30, s.y - s.step + 0.6, 30, s.step + 1)
        if style == "colons":
            s.put(end, s.y, f"{label}: {text}", bold=is_main, anchor="right")
        else:
            size = s.size + 2 if style == "boxed" and is_main else s.size
            width = s.put(start + 1, s.y, label, bold=is_main, size=size)
            taken = s.put(end - 1, s.y, text, bold=is_main, anchor="right", size=size)
            if style == "dotted":
                _dots(s, start + 2 + width, end - 2 - taken)
        s.y += s.step + (1 if style in ("joined", "boxed") else 0)


def _dots(s: Sheet, start: float, end: float) -> None:
    s.pdf.set_font(s.font, "", s.size)
    count = int((end - start) / s.pdf.get_string_width("."))
    if count > 2:
        s.put(start, s.y, "." * count, grey=120)


def _strip(s: Sheet, made: list[Row]) -> None:
    """All sums beside each other in one framed row, labels above."""
    width = (s.right - s.left) / len(made)
    for index, (label, text, is_main) in enumerate(made):
        x = s.left + (index + 1) * width - 1
        size = s.size - 1.5 if len(made) < 5 else s.size - 3
        lines = s.wrapped(label, width - 2, size)
        s.stack(x, s.y, lines, size=size, anchor="right", grey=80)
        s.put(x, s.y + 9, text, bold=is_main, anchor="right")
        s.box(x + 1 - width, s.y - 5, width, 17)
    s.y += 18


def _tax_table(s: Sheet, bill: Bill, w: Wording) -> None:
    """Rate, base and tax of each rate, at the left, above the sums."""
    headings = (w.say("rate"), w.say("base"), w.say("tax_heading"))
    edges = [s.left + 18, s.left + 46, s.left + 72]
    for edge, heading in zip(edges, headings, strict=True):
        s.put(edge, s.y, heading, size=s.size - 1, bold=True, anchor="right")
    s.rule(s.left, s.y + 1.2, edges[-1], 0.2)
    for rate, (base, tax) in bill.taxes.items():
        s.y += s.step + 0.5
        cells = (f"{w.rate(rate)}%", w.amount(base), w.amount(tax))
        for edge, text in zip(edges, cells, strict=True):
            s.put(edge, s.y, text, anchor="right")
    s.y += s.step + 3


def closing(s: Sheet, bill: Bill, w: Wording, *, with_bank: bool) -> None:
    """Terms and thanks, and the account unless the foot has it."""
    if s.y > 258:
        s.pdf.add_page()
        s.y = 25
    texts = [w.say("terms"), w.say("thanks")] if bill.kind == "INVOICE" else [w.say("thanks")]
    if not bill.due and bill.kind == "INVOICE":
        texts = [w.say("terms")]
    if bill.original:
        texts.insert(0, w.say("original", number=bill.original))
    if with_bank and bill.supplier.iban:
        texts += [f"{w.say('bank')}: IBAN {spaced(bill.supplier.iban)}"]
    s.y = s.stack(s.left, s.y, texts, size=s.size - 1)


def foot(s: Sheet, bill: Bill, w: Wording, style: str, page: int, pages: int) -> None:
    """What stands at the end of every page; style is columns, line, numbers or none."""
    own, width = bill.supplier, 210 - 2 * 20
    iban = f"IBAN {spaced(own.iban)}" if own.iban else ""
    tax = f"{w.say('vat_id')} {own.tax_shown}"
    if pages > 1 or style == "numbers":
        text = w.say("page", page=f"{page}", pages=f"{pages}")
        s.put(190, 290, text, size=s.size - 2, anchor="right")
    if style == "columns":
        s.rule(20, 269, 190, 0.1)
        parts = ([own.name, *own.address], [w.say("bank"), iban], [f"{own.phone}", tax])
        for index, texts in enumerate(parts):
            s.stack(20 + index * width / 3, 273, texts, size=6.5)
    elif style == "line":
        texts = [own.name, ", ".join(own.address), iban]
        s.put(105, 282, " | ".join(filter(None, texts)), size=6.5, anchor="centre")


def has_account(style: str) -> bool:
    """Whether a foot of this style shows the account."""
    return style in ("columns", "line")


def carried(s: Sheet, w: Wording, value: Decimal) -> None:
    """The sum so far at the end of a page."""
    s.put(s.right - 32, s.y, w.say("carried"), anchor="right", size=s.size - 1)
    s.put(s.right - 1, s.y, w.amount(value), anchor="right", size=s.size - 1)
    s.y += s.step
