"""What a model claims to have read: admitted only as far as the document bears it out.

A document may hold text that is meant for the model ("ignore your instructions …"). Whatever comes
of it is a value among others: it must stand on the page, it never replaces a sure reading, and
where it contradicts one the field becomes unsure, so that a person looks.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import Any

from auditron.agent.v1.agent_pb2 import ModelBudget
from stdnum import iban as iban_numbers

from ..reading.values import CODES, SYMBOLS, Locale, days, folded, numbers
from ..reading.vocabulary import languages, load

AMOUNTS = ("net", "tax", "gross")
DATES = ("issue_date", "due_date")
TEXTS = ("invoice_number", "supplier_name", "buyer_name", "order_reference")
# Of each the model gives a text, or null.
CLAIM_FIELDS = (*TEXTS, *DATES, "iban", "currency_code", *AMOUNTS)
# What an invoice needs; a receipt needs no number.
NEEDED = ("invoice_number", "issue_date", "supplier_name", "currency_code", "gross")

ALONE = 0.7  # how sure a field is that the model alone has read
CONTRADICTED = 0.6  # at most so sure is a field that two have read differently
WEAK = 0.5  # a reading less sure than this gives way to what the model has read
_LOCALES = (Locale(",", month_first=False), Locale(".", month_first=True))
_VALUE_LENGTH_MAX = 300
Answer = dict[str, Any]


def is_unsure(answer: Mapping[str, Any], below: float) -> bool:
    """Return whether a field that an invoice needs is missing or less sure than this."""
    fields = answer["fields"]
    if answer["syntax"] or not answer["text"]:
        return False
    slip = fields.get("document_type", {}).get("value") == "RECEIPT"
    needed = [name for name in NEEDED if not (slip and name == "invoice_number")]
    return any(name not in fields or fields[name]["confidence"] < below for name in needed)


def is_shown(answer: Mapping[str, Any]) -> bool:
    """Return whether a model is shown the pages themselves: recognised ones that say nothing to it.

    A page's sentences that are meant for a model are not in its text; its picture would show them.
    """
    spoken = any(str(each).startswith("PROMPT_INJECTION") for each in answer["warnings"])
    return is_scan(answer) and not spoken


def is_scan(answer: Mapping[str, Any]) -> bool:
    """Return whether something was read from recognised words."""
    return any(each["source"] == "OCR" for each in (*answer["fields"].values(), *answer["lines"]))


def has_pictures(answer: Mapping[str, Any]) -> bool:
    """Return whether pages were left aside that are pictures."""
    return any(each.startswith("UNRECOGNISED_PAGE") for each in answer["warnings"])


def is_spent(budget: ModelBudget) -> bool:
    """Return whether a month's budget is used up."""
    return budget.used_tokens >= budget.monthly_tokens_max


def admit(claims: Mapping[str, Any], pages: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Return the claims that the pages shown bear out, and a note on each that they do not."""
    text = "\n".join(pages)
    given = {name: _text(claims.get(name)) for name in CLAIM_FIELDS}
    given = {name: value for name, value in given.items() if value}
    admitted, notes = {}, []
    amounts = _amounts(given, text)
    for name, value in given.items():
        plain = amounts.get(name, "") if name in AMOUNTS else _admitted(name, value, text)
        if plain:
            admitted[name] = plain
        else:
            shown = value if len(value) <= 60 else f"{value[:60]}…"
            notes.append(f"the model's {name} {shown!r} is not on the page and was dropped")
    return admitted, notes


def merge(
    answer: Mapping[str, Any], claims: Mapping[str, str], model: str
) -> tuple[Answer, list[str]]:
    """Return the answer with the admitted claims, and what they changed, in words."""
    fields, notes, warnings = dict(answer["fields"]), [], [*answer.get("warnings", ())]
    for name, value in claims.items():
        read = fields.get(name)
        if read is None:
            fields[name] = _claimed(value, model)
            notes.append(f"{name} {value!r} was read by the model alone")
        elif _same(name, str(read["value"]), value):
            sure = 1 - (1 - read["confidence"]) * 0.4
            reason = f"{read['reason']}; the model reads the same"
            fields[name] = {**read, "confidence": min(0.97, sure), "reason": reason}
        else:
            fields[name] = _contradicted(read, value, model)
            notes.append(f"{name}: {read['value']!r} on the page, {value!r} by the model")
            warnings.append(f"MODEL_DISAGREES:{name}")
    return {**answer, "fields": fields, "warnings": warnings}, notes


def _claimed(value: str, model: str) -> dict[str, Any]:
    return {
        "value": value, "confidence": ALONE, "source": "MODEL", "page": None, "box": None,
        "reason": f"read by {model}; stands on the page", "candidates": [],
    }  # fmt: skip


def _contradicted(read: Mapping[str, Any], value: str, model: str) -> dict[str, Any]:
    """Return the field with both values; the first is the page's unless that was hardly one."""
    claimed = _claimed(value, model)
    chosen, other = (read, claimed) if read["confidence"] >= WEAK else (claimed, read)
    reason = f"{chosen['reason']}; but {other['value']!r}: {other['reason']}"
    return {
        **chosen,
        "confidence": min(CONTRADICTED, chosen["confidence"]),
        "reason": reason,
        "candidates": [dict(other), *read["candidates"]],
    }


def _same(name: str, one: str, other: str) -> bool:
    if name in AMOUNTS:
        return abs(Decimal(one)) == abs(Decimal(other))
    return _squeezed(one) == _squeezed(other)


def _text(value: Any) -> str:
    return value.strip()[:_VALUE_LENGTH_MAX] if isinstance(value, str) else ""


def _admitted(name: str, value: str, text: str) -> str:
    """Return a value that is no amount, as it travels; '' if the page does not have it."""
    if name in DATES:
        return value if value in {day.isoformat() for day in _days(text)} else ""
    if name == "iban":
        plain = re.sub(r"\s", "", value).upper()
        stands = plain in re.sub(r"\s", "", text).upper()
        return plain if stands and iban_numbers.is_valid(plain) else ""
    if name == "currency_code":
        marks = [re.escape(mark) for mark, code in SYMBOLS.items() if code == value]
        # "lei" is money, "Kleid" is not
        written = marks and re.search(rf"(?<![^\W\d_])(?:{'|'.join(marks)})(?![^\W\d_])", text)
        return value if value in CODES and (value in text or written) else ""
    return value if _squeezed(value) and _squeezed(value) in _squeezed(text) else ""


def _amounts(claims: Mapping[str, str], text: str) -> dict[str, str]:
    """Return the amounts that stand on the page, or that follow from two that do.

    Without sign: that a document is a credit note says its type.
    """
    claimed = {name: _decimal(claims[name]) for name in AMOUNTS if name in claims}
    written = _written(text)
    known = {
        name: value
        for name, value in claimed.items()
        if value is not None and abs(value) in written
    }
    if len(known) == 2:
        [left] = {*AMOUNTS} - {*known}
        value = claimed.get(left)
        whole = {**known, left: value} if value is not None else {}
        if whole and whole["net"] + whole["tax"] == whole["gross"]:
            known = whole
    elif len(known) == 3 and known["net"] + known["tax"] != known["gross"]:
        known = {}  # one of them is another number of the page; which one cannot be told
    return {name: format(abs(value), "f") for name, value in known.items()}


def _written(text: str) -> Collection[Decimal]:
    """Return every number of the text, by either way of writing decimals, without sign."""
    return {
        abs(number.value)
        for line in text.splitlines()
        for locale in _LOCALES
        for number in numbers(line, locale)
    }


def _days(text: str) -> Iterator[date]:
    for line in text.splitlines():
        for locale in _LOCALES:
            yield from (day.value for day in days(line, locale, _months()))


@cache
def _months() -> dict[str, int]:
    return load(languages()).months


def _squeezed(text: str) -> str:
    return re.sub(r"[\W_]+", "", folded(text))


def _decimal(text: str) -> Decimal | None:
    try:
        value = Decimal(text)
    except InvalidOperation:
        return None
    return value if value.is_finite() and abs(value) < 10**15 else None
