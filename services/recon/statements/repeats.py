"""Which lines of one file are lines of another, though the two are written differently."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

# Lines of one day and amount are compared each with each, in all up to so many comparisons.
COMPARISONS_MAX = 200_000
# A text counts as part of another, as one that a bank has cut off, from this length on.
PART_LENGTH_MIN = 12
NATIONAL_LENGTH_MIN = 6

_MARKS = re.compile(r"[\W_]+")

Line = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Words:
    """What is written beside a line's day and amount, each without what banks write differently."""

    line: Line
    reference: str
    account: str
    text: str
    name: str


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
    left, found = COMPARISONS_MAX, dict[int, str]()
    # The smallest first, so that as many lines as may be are compared in full.
    for key, some in sorted(wanted.items(), key=lambda item: len(item[1]) * len(blocks[item[0]])):
        ours, theirs = [_words(each) for each in some], [_words(each) for each in blocks[key]]
        left -= len(ours) * len(theirs)
        for line, other in _pairs(ours, theirs) if left >= 0 else _equal_pairs(ours, theirs):
            found[line["number"]] = str(other["transaction_id"])
    return found


def _block(line: Line) -> tuple[date, str, Decimal]:
    return line["booking_date"], line["currency_code"], line["amount"]


def _words(line: Line) -> Words:
    return Words(
        line,
        folded(line["end_to_end_id"]),
        "".join(line["counterparty_iban"].split()).upper(),
        folded(line["remittance_text"]),
        folded(line["counterparty_name"]),
    )


def _pairs(lines: Sequence[Words], others: Sequence[Words]) -> Iterator[tuple[Line, Line]]:
    """Pairs of the same line, the surest first."""
    ranked = sorted(
        (-rank, m, n)
        for m, line in enumerate(lines)
        for n, other in enumerate(others)
        if (rank := likeness(line, other))
    )
    paired, taken = set[int](), set[int]()
    for _, m, n in ranked:
        if m not in paired and n not in taken:
            paired.add(m)
            taken.add(n)
            yield lines[m].line, others[n].line


def _equal_pairs(lines: Sequence[Words], others: Sequence[Words]) -> Iterator[tuple[Line, Line]]:
    free: dict[tuple[str, str], list[Line]] = defaultdict(list)
    for other in others:
        free[other.account, other.text].append(other.line)
    for line in lines:
        known = free.get((line.account, line.text))
        if known and (line.account or line.text):
            yield line.line, known.pop()


def likeness(line: Words, other: Words) -> int:
    """How surely two lines of one day and amount are the same: 0 they are not, or it is unknown."""
    if line.reference and other.reference:
        return 4 if line.reference == other.reference else 0
    same_text = bool(line.text) and line.text == other.text
    if line.text and other.text and not (same_text or _is_part(line.text, other.text)):
        return 0
    if line.account and other.account:
        same_account = _is_same_account(line.account, other.account)
        return 0 if not same_account else 3 if same_text else 2
    if line.name and other.name and line.name not in other.name and other.name not in line.name:
        return 0
    if line.text and other.text:
        return 2 if same_text else 1
    return int(bool(line.name and other.name))


def _is_same_account(one: str, other: str) -> bool:
    """Whether two numbers mean one account; a national one is the end of its IBAN."""
    short, long = sorted((one.lstrip("0"), other.lstrip("0")), key=len)
    return one == other or (len(short) >= NATIONAL_LENGTH_MIN and long.endswith(short))


def _is_part(one: str, other: str) -> bool:
    short, long = (one, other) if len(one) < len(other) else (other, one)
    return len(short) >= PART_LENGTH_MIN and short in long


def folded(text: str) -> str:
    """Letters and digits alone, without case."""
    return _MARKS.sub("", text.casefold())
