"""Which lines of one file are lines of another, though the two are written differently."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

# Lines of one day and amount are compared each with each up to so many comparisons.
COMPARISONS_MAX = 10_000
# A text counts as part of another, as one that a bank has cut off, from this length on.
PART_LENGTH_MIN = 12
NATIONAL_LENGTH_MIN = 6

Line = Mapping[str, Any]


def repeated_lines(lines: Sequence[Line], others: Sequence[Line]) -> dict[int, str]:
    """Which of the lines are which transactions, that files of another layout have brought.

    Line number → transaction_id. Day, amount and currency are the same, what is written beside
    them does not contradict, and something of it speaks for it. Each counts once.
    """
    blocks: dict[Any, list[Line]] = defaultdict(list)
    for other in others:
        blocks[_block(other)].append(other)
    wanted: dict[Any, list[Line]] = defaultdict(list)
    for line in lines:
        if _block(line) in blocks:
            wanted[_block(line)].append(line)
    found: dict[int, str] = {}
    for key, some in wanted.items():
        for line, other in _pairs(some, blocks[key]):
            found[line["number"]] = str(other["transaction_id"])
    return found


def _block(line: Line) -> tuple[date, str, Decimal]:
    return line["booking_date"], line["currency_code"], line["amount"]


def _pairs(lines: Sequence[Line], others: Sequence[Line]) -> Iterator[tuple[Line, Line]]:
    """Pairs of the same line, the surest first."""
    if len(lines) * len(others) > COMPARISONS_MAX:
        yield from _equal_pairs(lines, others)
        return
    ranked = sorted(
        (-likeness(line, other), line["number"], n)
        for line in lines
        for n, other in enumerate(others)
    )
    by_number = {line["number"]: line for line in lines}
    taken: set[int] = set()
    for rank, number, n in ranked:
        if rank and number in by_number and n not in taken:
            taken.add(n)
            yield by_number.pop(number), others[n]


def _equal_pairs(lines: Iterable[Line], others: Iterable[Line]) -> Iterator[tuple[Line, Line]]:
    free: dict[tuple[str, str], list[Line]] = defaultdict(list)
    for other in others:
        free[_words(other)].append(other)
    for line in lines:
        known = free.get(_words(line))
        if known and any(_words(line)):
            yield line, known.pop()


def _words(line: Line) -> tuple[str, str]:
    account = "".join(line["counterparty_iban"].split()).upper()
    return account, folded(line["remittance_text"])


def likeness(line: Line, other: Line) -> int:
    """How surely two lines of one day and amount are the same: 0 they are not, or it is unknown."""
    references = (line["end_to_end_id"], other["end_to_end_id"])
    if all(references):
        return 4 if folded(references[0]) == folded(references[1]) else 0
    (account, text), (other_account, other_text) = _words(line), _words(other)
    same_text = bool(text) and text == other_text
    if text and other_text and not (same_text or _is_part(text, other_text)):
        return 0
    if account and other_account:
        return 0 if not _is_same_account(account, other_account) else 3 if same_text else 2
    name, other_name = folded(line["counterparty_name"]), folded(other["counterparty_name"])
    if name and other_name and name not in other_name and other_name not in name:
        return 0
    if text and other_text:
        return 2 if same_text else 1
    return int(bool(name and other_name))


def _is_same_account(one: str, other: str) -> bool:
    """Whether two numbers mean one account; a national one is the end of its IBAN."""
    short, long = sorted((one.lstrip("0"), other.lstrip("0")), key=len)
    return one == other or (len(short) >= NATIONAL_LENGTH_MIN and long.endswith(short))


def _is_part(one: str, other: str) -> bool:
    short, long = sorted((one, other), key=len)
    return len(short) >= PART_LENGTH_MIN and short in long


def folded(text: str) -> str:
    """Letters and digits alone, without case."""
    return "".join(mark for mark in text.casefold() if mark.isalnum())
