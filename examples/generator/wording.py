"""How one document writes: its words for labels, its dates, numbers and money."""

import random
import tomllib
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).with_name("words")
SYMBOLS = {"EUR": "€", "GBP": "£", "USD": "$", "CHF": "CHF", "PLN": "zł"}
SEPARATED = ": "


@cache
def words_of(name: str) -> dict[str, Any]:
    """A language's words, or the "countries"."""
    return tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))


def languages() -> list[str]:
    """Codes of the languages that documents are made in."""
    return sorted(path.stem for path in FOLDER.glob("??.toml"))


def filled(pattern: str, chance: random.Random) -> str:
    """A pattern with a digit for each "#" and a capital for each "@"; the first digit is not 0."""
    made = ""
    for mark in pattern:
        if mark == "#":
            made += str(chance.randint(0 if made[-1:].isdigit() else 1, 9))
        else:
            made += chance.choice("ABCDEFGHJKLMNPRSTUVWXYZ") if mark == "@" else mark
    return made


@dataclass(frozen=True)
class Wording:
    """The choices that one document keeps to. numbers is thousands and decimal separator."""

    language: str
    labels: dict[str, str]
    thousands: str
    decimal: str
    date_pattern: str
    money_pattern: str  # with {amount}, {symbol}, {code}
    currency: str
    sign: int  # of the amounts of a credit note

    def say(self, key: str, **values: str) -> str:
        """A label."""
        return self.labels[key].format(**values)

    def date(self, day: date) -> str:
        """A date as this document writes it."""
        words = words_of(self.language)
        parts = {
            "MONTH": words["months"][day.month - 1],
            "YYYY": f"{day.year}",
            "MON": words["short_months"][day.month - 1],
            "DD": f"{day.day:02}",
            "MM": f"{day.month:02}",
            "YY": f"{day.year % 100:02}",
            "D": f"{day.day}",
            "M": f"{day.month}",
        }
        made, rest = "", self.date_pattern
        while rest:
            key = next((k for k in parts if rest.startswith(k)), rest[0])
            made, rest = made + parts.get(key, key), rest[len(key) :]
        return made

    def number(self, value: Decimal, places: int = 2) -> str:
        """A number as this document writes it, with so many decimals or as many as it needs."""
        exponent = value.normalize().as_tuple().exponent
        shown = max(places, -exponent if isinstance(exponent, int) else 0)
        text = f"{value:,.{shown}f}"
        return text.replace(",", "T").replace(".", self.decimal).replace("T", self.thousands)

    def amount(self, value: Decimal) -> str:
        """An amount without its currency."""
        return self.number(value * self.sign)

    def money(self, value: Decimal) -> str:
        """An amount with its currency, where this document writes one."""
        return self.money_pattern.format(
            amount=self.amount(value), symbol=SYMBOLS[self.currency], code=self.currency
        )

    def rate(self, value: Decimal) -> str:
        """A rate of tax, as few decimals as it needs."""
        return self.number(value.normalize(), 0)


def wording(
    country: dict[str, Any], currency: str, split: str, sign: int, chance: random.Random
) -> Wording:
    """Choose how a document of a country writes; split names the words it may use."""
    language = country["language"]
    labels = {key: chance.choice(texts) for key, texts in words_of(language)[split].items()}
    separators = chance.choice(country["numbers"])
    comma = separators[-1] == ","
    money = ["{amount}", "{amount} {code}", "{amount} {symbol}" if comma else "{symbol}{amount}"]
    if comma and language in ("nl", "de", "it"):
        money.append("{symbol} {amount}")
    return Wording(
        language,
        labels,
        separators[:-1],
        separators[-1],
        chance.choice(country["dates"]),
        chance.choice(money),
        currency,
        sign,
    )
