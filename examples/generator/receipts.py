"""Till receipts: a narrow strip with a shop, its goods, the sum and how it was paid."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from .bill import Party, cents
from .invent import firm
from .sheet import Sheet
from .wording import Wording, words_of


@dataclass(frozen=True)
class Strip:
    """How a till prints; width in millimetres, size in points."""

    name: str
    font: str
    width: float
    size: float
    anchor: str
    date_at: str  # top, middle or bottom
    item: str  # plain, counted or doubled
    rule: str
    is_loud: bool  # the total in large letters
    tax_first: bool


STRIPS = {
    "tuning": (
        Strip("till", "courier", 72, 8.5, "centre", "top", "plain", "-", True, False),
        Strip("market", "courier", 80, 9, "centre", "bottom", "counted", "=", False, False),
        Strip("cafe", "source", 58, 8.5, "left", "middle", "plain", "", True, True),
        Strip("store", "helvetica", 80, 8.5, "centre", "middle", "doubled", "-", True, False),
    ),
    "unseen": (
        Strip("slip", "light", 62, 9.5, "left", "bottom", "counted", "*", False, True),
        Strip("kiosk", "helvetica", 56, 8, "centre", "bottom", "doubled", "_", True, True),
        Strip("counter", "courier", 80, 8, "left", "top", "counted", ".", False, False),
    ),
}
Row = tuple[str, str, bool]  # left, right, loud


@dataclass(frozen=True)
class Purchase:
    """What was bought; prices include tax."""

    shop: Party
    day: date
    goods: Sequence[tuple[str, int, Decimal]]
    rate: Decimal
    is_cash: bool

    @property
    def total(self) -> Decimal:
        """What was paid."""
        return sum((count * price for _, count, price in self.goods), Decimal())


def purchase(country: str, chance: random.Random) -> Purchase:
    """Something bought at a shop of a country."""
    facts = words_of("countries")[country]
    names = chance.sample(words_of(facts["language"])["goods"], chance.randint(1, 9))
    goods = [
        (name, chance.choice((1, 1, 1, 2, 3)), Decimal(chance.randint(45, 2_600)) / 100)
        for name in names
    ]
    day = date(chance.randint(2022, 2026), 1, 1) + timedelta(chance.randint(0, 364))
    shop = firm(country, chance, "shops")
    return Purchase(shop, day, goods, Decimal(facts["rates"][0]), chance.random() < 0.5)


def rows(bought: Purchase, strip: Strip, w: Wording, chance: random.Random) -> list[Row]:
    """What stands between the shop's name and the end, line by line; ("", "") is a rule."""
    rule = ("", "", False)
    when = f"{w.date(bought.day)}  {chance.randint(8, 21):02}:{chance.randint(0, 59):02}"
    day = (w.say("receipt_date"), when, False) if w.say("receipt_date") else (when, "", False)
    till = (w.say("till"), "", False)
    made: list[Row] = [day, till] if strip.date_at == "top" else []
    made.append(rule)
    for name, count, price in bought.goods:
        made += goods_rows(name, count, price, strip, w)
    made.append(rule)
    tax = cents(bought.total * bought.rate / (100 + bought.rate))
    taxed = (w.say("receipt_tax", rate=w.rate(bought.rate)), w.amount(tax), False)
    sub = (w.say("receipt_subtotal"), w.amount(bought.total), False)
    total = w.say("receipt_total", currency=w.currency)
    end = (total, w.money(bought.total), True)
    made += [sub, taxed, end] if strip.tax_first else [end, taxed]
    if bought.is_cash:
        given = (bought.total // 10 + 1) * 10
        made.append((w.say("cash"), w.amount(given), False))
        made.append((w.say("change"), w.amount(given - bought.total), False))
    else:
        made.append((w.say("card"), w.amount(bought.total), False))
    if strip.date_at == "middle":
        made += [rule, day, till]
    return [*made, rule, till, day] if strip.date_at == "bottom" else made


def goods_rows(name: str, count: int, price: Decimal, strip: Strip, w: Wording) -> list[Row]:
    """One thing that was bought."""
    amount = w.amount(count * price)
    if strip.item == "counted":
        return [(f"{count} x {name}", amount, False)]
    if strip.item == "doubled":
        return [(name, "", False), (f"  {count} x {w.number(price)}", amount, False)]
    some = [(f"  {count} x {w.number(price)}", "", False)] if count > 1 else []
    return [(name, amount, False), *some]


def paint(bought: Purchase, strip: Strip, w: Wording, chance: random.Random) -> bytes:
    """The receipt as a PDF of one page."""
    made = rows(bought, strip, w, chance)
    is_plain = w.language == "pl" and strip.font not in ("source", "light")
    s = Sheet(
        "source" if is_plain else strip.font, strip.size, (strip.width, 70 + 4.5 * len(made)), 4
    )
    x = strip.width / 2 if strip.anchor == "centre" else s.left
    shop = bought.shop
    name = shop.name.upper() if chance.random() < 0.4 else shop.name
    title = s.wrapped(name, strip.width - 14, s.size + 3)
    s.y = s.stack(x, 9, title, size=s.size + 2.5, anchor=strip.anchor, bold_first=True)
    about = [*shop.address, f"{w.say('phone')} {shop.phone}", f"{w.say('vat_id')} {shop.tax_shown}"]
    s.y = s.stack(x, s.y, about, anchor=strip.anchor) + 1
    if w.say("receipt"):
        s.put(x, s.y + 1, w.say("receipt"), anchor=strip.anchor, bold=True)
        s.y += s.step + 2
    for left, right, is_loud in made:
        size = s.size + 3 if is_loud and strip.is_loud else s.size
        if not (left or right):
            s.pdf.set_font(s.font, "", s.size)
            width = s.pdf.get_string_width(strip.rule) if strip.rule else 0
            s.put(s.left, s.y, strip.rule * int((s.right - s.left) / width) if width else "")
        s.put(s.left, s.y, left, size=size, bold=is_loud)
        s.put(s.right, s.y, right, size=size, bold=is_loud, anchor="right")
        s.y += s.step * (1.4 if size > s.size else 1) + 0.4
    s.put(strip.width / 2, s.y + 3, w.say("receipt_thanks"), anchor="centre")
    return bytes(s.pdf.output())


def truth(bought: Purchase) -> dict[str, Any]:
    """What a reader should find."""
    return {
        "document_type": "RECEIPT",
        "supplier_name": bought.shop.name,
        "issue_date": bought.day.isoformat(),
        "gross": f"{bought.total}",
    }
