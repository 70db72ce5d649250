"""How a bank writes its table: encoding, delimiter, where it begins, dates, decimals, columns."""

import csv
import io
import itertools
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stdnum import iban

from . import columns
from .encodings import find_encoding
from .faults import Malformed
from .values import date_style, decimal_mark, read_amount, read_date

DELIMITERS = (";", ",", "\t", "|")
MOST_ROWS = 400
IBAN_SHAPE = re.compile(r"\b[A-Z]{2}\d{2}(?:\s?[A-Z0-9]){11,30}\b")
CODE = re.compile(
    r"\b(EUR|USD|GBP|CHF|SEK|NOK|DKK|PLN|CZK|HUF|RON|BGN|UAH|TRY|CAD|AUD|JPY|INR|BRL)\b"
)
PENDING = frozenset(
    [
        "pending",
        "reverted",
        "declined",
        "failed",
        "vorgemerkt",
        "umsatz_vorgemerkt",
        "gereserveerd",
        "reserved",
        "voorlopig",
        "reservation",
        "in_bearbeitung",
        "cancelled",
        "canceled",
    ]
)


@dataclass(frozen=True)
class Dialect:
    """Everything needed to read the table line by line; column positions count from 0."""

    encoding: str
    delimiter: str
    titles: tuple[str, ...]
    first_line: int
    width: int
    date_style: str
    decimal_mark: str
    roles: Mapping[str, Sequence[int]]
    currency_code: str
    account_iban: str
    newest_first: bool
    balance_holds: bool
    fee_is_extra: bool
    explanation: tuple[str, ...]


def find_dialect(sample: bytes, options: Mapping[str, Any], *, whole: bool) -> Dialect:
    """Works the dialect out from the beginning of the file; options given by a person lead."""
    encoding, why = options.get("encoding"), "as chosen"
    if not encoding:
        encoding, why = find_encoding(sample)
    text = _decode(sample, encoding)
    if not whole:
        text = text[: text.rfind("\n") + 1] or text
    explanation = [f"Encoding is {encoding}: {why}."]
    delimiter = options.get("delimiter") or _delimiter(text)
    explanation.append(f"Columns are divided by {delimiter!r}.")
    rows = _rows(text, delimiter)
    if not rows:
        raise Malformed(0, "", "The file has no lines.")
    begin, titles = _beginning(rows, options.get("header_line"))
    preamble = rows[: begin - (1 if titles else 0)]
    body = [cells for _, cells in rows[begin:]]
    width = Counter(map(len, body)).most_common(1)[0][0]
    body = [cells for cells in body if len(cells) >= width - 1]
    mark = options.get("decimal_mark") or _mark(body, width)
    roles, sentences = _roles(titles, body, width, mark, options)
    explanation += sentences
    style, reason = _style(body, roles, text, options)
    explanation += [f"Dates are {style}: {reason}.", f"The decimal mark is {mark!r}."]
    currency = _currency(titles, preamble, body, roles, options)
    dialect = Dialect(
        encoding, delimiter, tuple(titles), rows[begin][0], width, style, mark, roles, currency,
        _account(preamble, body, roles), newest_first=False, balance_holds=False,
        fee_is_extra=False, explanation=tuple(explanation),
    )  # fmt: skip
    return _with_order(dialect, body)


def _decode(sample: bytes, encoding: str) -> str:
    try:
        return sample.decode(encoding, errors="ignore" if encoding.startswith("utf") else "strict")
    except (LookupError, UnicodeDecodeError) as error:
        raise Malformed(0, "encoding", f"Not readable as {encoding}: {error}.") from None


def _rows(text: str, delimiter: str) -> list[tuple[int, list[str]]]:
    """(line, cells) of the first rows that are not empty."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    rows: list[tuple[int, list[str]]] = []
    line = 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                rows.append((line, cells))
            line = reader.line_num + 1
            if len(rows) >= MOST_ROWS:
                break
    except csv.Error as error:
        raise Malformed(line, "", f"Not readable as CSV: {error}.") from None
    return rows


def _delimiter(text: str) -> str:
    """The delimiter that gives most lines the same, greatest number of columns."""
    if found := re.match(r"\ufeff?\s*sep=(.)", text, re.IGNORECASE):
        return found.group(1)
    best, best_score = ";", (False, 0.0)
    for delimiter in DELIMITERS:
        try:
            rows = [cells for _, cells in _rows(text, delimiter)]
        except Malformed:
            continue
        if not rows:
            continue
        widths = Counter(len(cells) for cells in rows)
        width, count = max(widths.items(), key=lambda item: (item[0] > 1) * item[1])
        dated = any(_is_data(cells) for cells in rows)
        score = (dated and width > 1, count / max(1, len(rows)) * width**0.5)
        if score > best_score:
            best, best_score = delimiter, score
    return best


def _is_date(cell: str) -> bool:
    return len(cell) <= 30 and any(read_date(cell, style) for style in ("DMY", "MDY", "YMD"))


def _is_amount(cell: str) -> bool:
    return any(read_amount(cell, mark) is not None for mark in ".,")


def _is_data(cells: Sequence[str]) -> bool:
    """Whether this is a line of a statement: a date, and an amount beside it."""
    dates = [n for n, cell in enumerate(cells) if _is_date(cell)]
    return bool(dates) and any(_is_amount(c) for n, c in enumerate(cells) if n != dates[0] and c)


def _beginning(
    rows: Sequence[tuple[int, list[str]]], header_line: int | None
) -> tuple[int, list[str]]:
    """Where the data begins in `rows`, and the titles above it (none: there is no header)."""
    if header_line:
        for place, (line, cells) in enumerate(rows[:-1]):
            if line >= header_line:
                return place + 1, [cell.strip() for cell in cells]
    data = [n for n, (_, cells) in enumerate(rows) if _is_data(cells)]
    if not data:
        raise Malformed(rows[0][0], "", "No line with a date and an amount was found.")
    usual = Counter(len(rows[n][1]) for n in data).most_common(1)[0][0]
    for place in range(data[0], max(-1, data[0] - 60), -1):
        cells = rows[place][1]
        filled = [cell for cell in cells if cell.strip()]
        titles = not any(_is_date(c) or _is_amount(c) for c in filled)
        if titles and len(cells) >= usual - 1 and len(filled) >= max(2, usual // 3):
            return place + 1, [cell.strip().lstrip("\ufeff") for cell in cells]
    return next(n for n in data if len(rows[n][1]) >= usual - 1), []


def _mark(body: Sequence[Sequence[str]], width: int) -> str:
    cells = []
    for column in range(width):
        some = [row[column] for row in body if column < len(row) and row[column].strip()]
        if some and sum(_is_amount(c) and not _is_date(c) for c in some) >= 0.6 * len(some):
            cells += some
    return decimal_mark(cells)


def _roles(
    titles: Sequence[str], body: Sequence[Sequence[str]], width: int, mark: str,
    options: Mapping[str, Any],
) -> tuple[dict[str, list[int]], list[str]]:  # fmt: skip
    wide = max(width, len(titles))
    cells = [[row[n] if n < len(row) else "" for row in body] for n in range(wide)]
    shapes = [columns.shape(each, mark) for each in cells]
    padded = [*titles, *[""] * (wide - len(titles))]
    chosen = options.get("columns")
    if chosen:
        try:
            roles, why = columns.explicit(chosen, padded)
        except KeyError as error:
            raise Malformed(0, "columns", f"{error.args[0]!r} is not in this file.") from None
    else:
        roles, why = columns.find_columns(padded, shapes)
        why += _not_own(roles, padded, cells, str(options.get("account_iban") or ""))
    if "side" not in roles and "amount" in roles and not shapes[roles["amount"][0]].negative:
        names = roles.get("counterparty_name", [])  # a company may be called A or C
        sided = [
            n
            for n in range(wide)
            if shapes[n].sides >= 0.95 and shapes[n].filled >= 0.95 and n not in names
        ]
        if sided:
            roles["side"] = sided[:1]
            roles = {k: [n for n in v if k == "side" or n != sided[0]] for k, v in roles.items()}
            roles = {role: several for role, several in roles.items() if several}
            why.append(f"Column {sided[0] + 1} says debit or credit.")
    if "booking_date" not in roles and "value_date" in roles:
        roles["booking_date"] = roles["value_date"]
    if "booking_date" not in roles:
        raise Malformed(0, "booking_date", "No column with the booking date was found.")
    if {"debit", "credit"} <= set(roles):
        roles.pop("amount", None)
    if "amount" not in roles and not {"debit", "credit"} & set(roles):
        raise Malformed(0, "amount", "No column with the amount was found.")
    return roles, why


def _not_own(
    roles: dict[str, list[int]], titles: Sequence[str], cells: Sequence[Sequence[str]], own: str
) -> list[str]:
    """A column titled as the other side's account is that, if the own one is known and another."""
    column = roles.get("account", [-1])[0]
    if not own or column < 0 or "counterparty_iban" in roles:
        return []
    fits = [columns.title_fit(titles[column], role) for role in ("counterparty_iban", "account")]
    given = {iban.compact(value) for value in cells[column] if iban.is_valid(value)}
    if fits[0] <= fits[1] or not given or iban.compact(own) in given:
        return []
    roles["counterparty_iban"] = roles.pop("account")
    return [f"Column {column + 1} is not the own account: the other side's."]


def _style(
    body: Sequence[Sequence[str]], roles: Mapping[str, Sequence[int]], text: str,
    options: Mapping[str, Any],
) -> tuple[str, str]:  # fmt: skip
    if options.get("date_style"):
        return str(options["date_style"]), "as chosen"
    column = roles["booking_date"][0]
    samples = [row[column] for row in body if column < len(row) and row[column].strip()]
    dollars = bool(re.search(r"\$|\bUSD\b", text)) and not re.search(r"£|\bGBP\b|\bEUR\b|€", text)
    if not samples:
        raise Malformed(0, "booking_date", "The column with the booking date is empty.")
    return date_style(samples, american=dollars)


def _currency(
    titles: Sequence[str], preamble: Sequence[tuple[int, list[str]]], body: Sequence[Sequence[str]],
    roles: Mapping[str, Sequence[int]], options: Mapping[str, Any],
) -> str:  # fmt: skip
    """The currency of lines that name none: from an amount's title, the preamble, or as given."""
    for column in roles.get("currency", ()):
        codes = {row[column].strip().upper() for row in body if column < len(row)}
        if len(codes) == 1 and codes != {""}:
            return codes.pop()
    for role in ("amount", "debit", "balance"):
        for column in roles.get(role, ()):
            title = titles[column].upper() if column < len(titles) else ""
            if found := CODE.search(title):
                return found.group()
            if "€" in title:
                return "EUR"
    for _, cells in preamble:
        if found := CODE.search(" ".join(cells)):
            return found.group()
    return str(options.get("currency_code") or "")


def _account(
    preamble: Sequence[tuple[int, list[str]]], body: Sequence[Sequence[str]],
    roles: Mapping[str, Sequence[int]],
) -> str:  # fmt: skip
    for _, cells in preamble:
        for found in IBAN_SHAPE.finditer(" ".join(cells)):
            for end in range(len(found.group()), 14, -1):
                if iban.is_valid(found.group()[:end]):
                    return str(iban.compact(found.group()[:end]))
    for column in roles.get("account", ()):
        value = next((row[column].strip() for row in body if column < len(row)), "")
        return str(iban.compact(value)) if iban.is_valid(value) else value
    return ""


def _with_order(dialect: Dialect, body: Sequence[Sequence[str]]) -> Dialect:
    """Finds out by the running balance, else by the dates, whether the newest line is first."""
    lines = []
    for row in body:
        amount, balance = amount_of(dialect, row), cell_amount(dialect, row, "balance")
        when = read_date(cell(dialect, row, "booking_date"), dialect.date_style)
        if amount is not None and when is not None:
            lines.append((when, amount, cell_amount(dialect, row, "fee") or 0, balance))
    steps = list(itertools.pairwise(lines))
    known = [(a, b) for a, b in steps if a[3] is not None and b[3] is not None]
    fits = {
        (newest, fee): sum(
            (a[3] - a[1] + fee * abs(a[2]) == b[3])
            if newest
            else (b[3] - b[1] + fee * abs(b[2]) == a[3])
            for a, b in known
        )
        for newest in (False, True)
        for fee in (0, 1)
    }
    newest, fee = max(fits, key=lambda key: (fits[key], not key[1]))
    holds = bool(known) and fits[newest, fee] >= 0.8 * len(known)
    explanation = list(dialect.explanation)
    if not holds:
        newest, fee = sum(a[0] > b[0] for a, b in steps) > sum(a[0] < b[0] for a, b in steps), 0
    else:
        explanation.append("The running balance follows from the amounts.")
    explanation.append(f"The {'newest' if newest else 'oldest'} line comes first.")
    return Dialect(
        **{
            **dialect.__dict__, "newest_first": newest, "balance_holds": holds,
            "fee_is_extra": bool(fee and "fee" in dialect.roles), "explanation": tuple(explanation),
        }
    )  # fmt: skip


def cell(dialect: Dialect, row: Sequence[str], role: str) -> str:
    """The text of a role's first column, or nothing."""
    several = dialect.roles.get(role, ())
    return row[several[0]].strip() if several and several[0] < len(row) else ""


def cell_amount(dialect: Dialect, row: Sequence[str], role: str) -> Any:
    """The amount in a role's column; None where it is empty or not one."""
    text = cell(dialect, row, role)
    return read_amount(text, dialect.decimal_mark) if text else None


def amount_of(dialect: Dialect, row: Sequence[str]) -> Any:
    """The signed amount of a line from its amount, side, debit and credit columns, or None."""
    if "amount" in dialect.roles:
        amount = cell_amount(dialect, row, "amount")
        side = columns.SIDES.get(cell(dialect, row, "side").casefold())
        return abs(amount) * side if amount is not None and side else amount
    debit, credit = (cell_amount(dialect, row, role) for role in ("debit", "credit"))
    if debit is None and credit is None:
        return None
    return (abs(credit) if credit is not None else 0) - (abs(debit) if debit is not None else 0)
