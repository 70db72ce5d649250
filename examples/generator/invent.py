"""Invents firms and what they bill: names from syllables, tax ids and IBANs with check digits."""

import importlib
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from stdnum import iban

from .bill import Bill, Item, Party, cents
from .wording import filled, words_of

STARTS = ("Vel", "Tor", "Qua", "Mer", "Bran", "Lun", "Zar", "Kel", "Ost", "Ril", "Fen", "Dov")
MIDDLES = ("mo", "ri", "va", "ne", "lu", "ti", "do", "sa")
ENDS = ("ra", "lin", "dt", "vik", "nor", "mex", "tal", "ro", "bel", "gan", "sch", "po")
KINDS = ("INVOICE",) * 5 + ("CREDIT_NOTE",)
TRIES = 100_000


def number_like(pattern: str, is_valid: Callable[[str], bool], chance: random.Random) -> str:
    """A number of a pattern whose check digits are right."""
    for _ in range(TRIES):
        made = filled(pattern, chance)
        if is_valid(made):
            return made
    raise ValueError(f"nothing valid looks like {pattern}")


def account(pattern: str, chance: random.Random) -> str:
    """An IBAN with right check digits, also the country's own; "" without a pattern."""
    if not pattern:
        return ""
    for _ in range(TRIES):
        made = filled(pattern, chance)
        made = made[:2] + iban.calc_check_digits(made) + made[4:]
        if iban.is_valid(made):
            return made
    raise ValueError(f"no IBAN looks like {pattern}")


def shown(number: str, pattern: str) -> str:
    """A number as printed: each "#" takes one of its digits, "@" its last letter."""
    wanted = pattern.count("#")
    digits = iter([mark for mark in number if mark.isdigit()][-wanted:])
    letter = number[-1]
    made = (next(digits) if mark == "#" else letter if mark == "@" else mark for mark in pattern)
    return "".join(made)


def coined(chance: random.Random) -> str:
    """A name that means nothing."""
    middle = chance.choice(("", chance.choice(MIDDLES)))
    return chance.choice(STARTS) + middle + chance.choice(ENDS)


def firm(country: str, chance: random.Random, trades: str = "trades") -> Party:
    """A firm of a country."""
    facts = words_of("countries")[country]
    words = words_of(facts["language"])
    trade, form = chance.choice(words[trades]), chance.choice(facts["forms"])
    names = [f"{coined(chance)} {trade} {form}", f"{trade} {coined(chance)} {form}"]
    names += [f"{coined(chance)} & {coined(chance)} {form}", f"{coined(chance)} {form}"]
    if trades == "shops":
        names += [f"{trade} {coined(chance)}", f"{coined(chance)} {trade}"]
    elif chance.random() < 0.15:
        names = [f"{trade} {coined(chance)}"]
    validator, pattern, prints = facts["tax"]
    tax_id = number_like(pattern, importlib.import_module(f"stdnum.{validator}").is_valid, chance)
    return Party(
        chance.choice(names),
        filled(chance.choice(words["streets"]), chance),
        filled(chance.choice(facts["places"]), chance),
        country,
        filled(facts["phone"], chance),
        tax_id,
        shown(tax_id, chance.choice(prints)),
        account(facts["iban"], chance),
    )


def items(country: dict[str, Any], count: int, chance: random.Random) -> list[Item]:
    """Lines of a bill, at one or several rates of tax."""
    words = words_of(country["language"])
    rates = [Decimal(rate) for rate in country["rates"]]
    rates = rates if chance.random() < 0.3 else rates[:1]
    has_discounts = chance.random() < 0.2
    made = []
    for description in chance.sample(words["products"] * (1 + count // 18), count):
        quantity = Decimal(chance.choice((1, 1, 2, 3, 5, 10, 12, 24, 150)))
        if chance.random() < 0.15:
            quantity = Decimal(chance.randint(2, 60)) / 4
        price = Decimal(chance.randint(80, chance.choice((2_000, 20_000, 90_000)))) / 100
        if chance.random() < 0.06:
            price = Decimal(chance.randint(500, 9_999)) / 10_000
            quantity *= 100
        made.append(
            Item(
                filled("@#####", chance),
                description,
                chance.choice(words["details"]).format(n=chance.randint(10_000, 99_999)),
                quantity,
                chance.choice(words["units"]),
                price,
                chance.choice(rates),
                Decimal(chance.choice((0, 0, 5, 10))) if has_discounts else Decimal(),
            )
        )
    return made


def number(issued: date, chance: random.Random) -> str:
    """A number of a document, as firms number them."""
    year = issued.year
    patterns = (f"{year}-####", "######", f"RE{year}####", f"{year % 100}/####", "@@-#####")
    return filled(chance.choice((*patterns, f"F{year}-0###", "1######", f"####/{year}")), chance)


def bill(country: str, chance: random.Random) -> Bill:
    """An invoice or a credit note of a firm of a country."""
    facts = words_of("countries")[country]
    kind = chance.choice(KINDS)
    issued = date(chance.randint(2022, 2026), 1, 1) + timedelta(chance.randint(0, 364))
    neighbours = [c for c, f in words_of("countries").items() if f["language"] == facts["language"]]
    buyer_country = country if chance.random() < 0.8 else chance.choice(neighbours)
    count = chance.choice((1, 1, 2, 2, 3, 3, 4, 5, 6, 8, 10, 12, chance.randint(25, 45)))
    is_taxed = chance.random() > 0.08
    rows = items(facts, count, chance)
    if not is_taxed:
        rows = [replace(row, rate=Decimal()) for row in rows]
    gross_prices = is_taxed and country != "US" and chance.random() < 0.12
    is_reduced = not gross_prices and chance.random() < 0.2
    order = filled(chance.choice(("PO-#####", "45########", "B###/##")), chance)
    customer = filled(chance.choice(("#####", "K-####", "1####")), chance)
    freight = Decimal(chance.choice(("4.90", "12.50", "35.00")))

    def perhaps(share: float) -> bool:
        return chance.random() < share

    made = Bill(
        kind=kind,
        number=number(issued, chance),
        supplier=firm(country, chance),
        buyer=firm(buyer_country, chance),
        delivery=firm(country, chance) if perhaps(0.2) else None,
        issued=issued,
        due=issued + timedelta(chance.choice((7, 14, 21, 30, 45))) if perhaps(0.7) else None,
        delivered=issued - timedelta(chance.randint(1, 20)) if perhaps(0.4) else None,
        order=order if perhaps(0.5) else "",
        customer_number=customer if perhaps(0.6) else "",
        original=number(issued, chance) if kind == "CREDIT_NOTE" else "",
        currency=chance.choice(facts["currencies"]),
        items=rows,
        is_taxed=is_taxed,
        has_gross_prices=gross_prices,
        rebate=Decimal(chance.choice((2, 3, 5, 10))) if is_reduced else Decimal(),
        freight=freight if is_reduced and perhaps(0.6) else Decimal(),
    )
    if kind == "INVOICE" and perhaps(0.1):
        made = replace(made, prepaid=cents(made.gross / chance.choice((2, 4, 5))))
    return made
