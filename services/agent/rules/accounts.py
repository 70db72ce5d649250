"""Which ledger account an invoice is booked to: as before, else by the words on it."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

from auditron.invoice.v1 import invoice_pb2

from ..reading.values import tokens
from .parties import RECEIVABLE

REVENUE = "4400"
OTHER_EXPENSES = "6300"
LIKE_BEFORE, BY_WORDS, BY_DEFAULT = 0.95, 0.6, 0.3
_NAME_WEIGHT = 2
_LINES_READ = 200


@dataclass(frozen=True)
class Booking:
    """An account, how sure it is (0 to 1), and why, in words."""

    account_code: str
    confidence: float
    reason: str


@dataclass(frozen=True)
class _Account:
    code: str
    name: str
    phrases: tuple[tuple[str, ...], ...]


def booking(invoice: invoice_pb2.Invoice, account_before: str) -> Booking:
    """Return where to book the invoice; `account_before`: where a person last booked its party."""
    if account_before:
        return Booking(
            account_before, LIKE_BEFORE, "booked there by a person for this party before"
        )
    if invoice.direction == RECEIVABLE:
        return Booking(REVENUE, LIKE_BEFORE, "revenue, because the organization is the supplier")
    found = [*_scored(invoice)]
    if not found:
        return Booking(OTHER_EXPENSES, BY_DEFAULT, "no word on it tells what it is for")
    _, account, words = max(found, key=lambda each: each[0])
    return Booking(
        account.code, BY_WORDS, f"{account.name}, by {', '.join(repr(word) for word in words[:3])}"
    )


def _scored(invoice: invoice_pb2.Invoice) -> list[tuple[int, _Account, list[str]]]:
    """Return the accounts that words speak for, in the order of the file, with those words."""
    name = tokens(invoice.supplier.display_name)
    lines = [tokens(line.description) for line in invoice.lines[:_LINES_READ]]
    found = []
    for account in _accounts():
        hits = [(_NAME_WEIGHT, _first(account, name)), *((1, _first(account, x)) for x in lines)]
        score = sum(weight for weight, words in hits if words)
        if score:
            found.append((score, account, list(dict.fromkeys(words for _, words in hits if words))))
    return found


def _first(account: _Account, text: Sequence[str]) -> str:
    """Return the words of a text that speak for an account; '' if there are none."""
    for phrase in account.phrases:
        size = len(phrase)
        for at in range(len(text) - size + 1):
            if all(map(_matches, phrase, text[at : at + size])):
                return " ".join(text[at : at + size])
    return ""


def _matches(wanted: str, word: str) -> bool:
    return word.startswith(wanted[:-1]) if wanted.endswith("*") else word == wanted


@cache
def _accounts() -> tuple[_Account, ...]:
    text = resources.files(__package__).joinpath("accounts.toml").read_text("utf-8")
    return tuple(
        _Account(entry["code"], entry["name"], tuple(_phrase(each) for each in entry["words"]))
        for entry in tomllib.loads(text)["accounts"]
    )


def _phrase(text: str) -> tuple[str, ...]:
    words = tokens(text)
    return (*words[:-1], f"{words[-1]}*") if text.endswith("*") else tuple(words)
