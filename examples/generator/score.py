"""Scores what was read against what is expected: precision, recall and F1 of every field.

A field that the expected file lacks is not scored. Names count by their letters and digits.
"""

import difflib
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

TEXTS = ("invoice_number", "supplier_name", "iban", "currency")
DATES = ("issue_date", "due_date")
AMOUNTS = ("net", "tax", "gross")
HEADER = (*TEXTS, *DATES, *AMOUNTS, "supplier_tax_ids")
# Not in the header's figure: not every set has them.
FURTHER = ("document_type", "buyer_name", "order_reference", "amount_due")
ALIKE = 0.8


def plain(value: Any) -> str:
    """Letters and digits only, folded: what two spellings of one name share."""
    folded = unicodedata.normalize("NFKD", str(value or "")).casefold()
    return re.sub(r"[^0-9a-z]+", "", folded)


def amount(value: Any) -> Decimal | None:
    """A number rounded to cents; None where there is none."""
    try:
        return Decimal(str(value)).quantize(Decimal("0.01"))
    except (InvalidOperation, ValueError):
        return None


def is_same(name: str, got: Any, want: Any) -> bool:
    """Whether a field was read rightly."""
    if name in (*AMOUNTS, "amount_due"):
        return amount(got) == amount(want)
    if name == "supplier_tax_ids":
        return bool({plain(each) for each in got or []} & {plain(each) for each in want})
    if name in (*DATES, "document_type"):
        return str(got) == str(want)
    return plain(got) == plain(want)


def is_alike(got: Any, line: dict[str, Any]) -> bool:
    """Whether a description is that of an expected line, with or without its small print."""
    texts = [line["description"], f"{line['description']} {line.get('detail', '')}"]
    ratios = (difflib.SequenceMatcher(None, plain(got), plain(text)).ratio() for text in texts)
    return max(ratios) >= ALIKE


def lines_found(got: Iterable[dict[str, Any]], want: Iterable[dict[str, Any]]) -> int:
    """How many expected lines were read: equal amount, alike description; each used once."""
    left, hits = list(got), 0
    for line in want:
        for candidate in left:
            same = amount(candidate.get("amount")) == amount(line["amount"])
            if same and is_alike(candidate.get("description"), line):
                left.remove(candidate)
                hits += 1
                break
    return hits


@dataclass
class Tally:
    """Counts by field over the documents of one set; seconds and pages where the reader says."""

    right: Counter[str] = field(default_factory=Counter)
    said: Counter[str] = field(default_factory=Counter)
    wanted: Counter[str] = field(default_factory=Counter)
    documents: int = 0
    wholly_right: int = 0

    def add(self, got: dict[str, Any], want: dict[str, Any]) -> list[str]:
        """Count one document and return its fields that are wrong."""
        wrong = []
        for name in (*HEADER, *FURTHER):
            if name not in want:
                continue
            is_right = is_same(name, got.get(name), want[name])
            self.wanted[name] += 1
            self.said[name] += got.get(name) not in (None, "", [])
            self.right[name] += is_right
            wrong += [] if is_right else [name]
        if "lines" in want:
            lines = got.get("lines") or []
            hits = lines_found(lines, want["lines"])
            self.wanted["lines"] += len(want["lines"])
            self.said["lines"] += len(lines)
            self.right["lines"] += hits
            wrong += [] if hits == len(want["lines"]) == len(lines) else ["lines"]
        self.documents += 1
        self.wholly_right += not set(wrong) - set(FURTHER)
        return wrong

    def f1(self, *names: str) -> float | None:
        """Micro F1 over fields; None where nothing was to be read."""
        right, said, wanted = (
            sum(counts[name] for name in names) for counts in (self.right, self.said, self.wanted)
        )
        return 2 * right / (said + wanted) if wanted else None


def documents(expected: Path, read: Path) -> Iterable[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Name, what was read and what is expected of every document of a folder."""
    for file in sorted(expected.glob("*.expected.json")):
        name = file.name.removesuffix(".expected.json")
        made = read / f"{name}.json"
        got = json.loads(made.read_text(encoding="utf-8")) if made.exists() else {}
        yield name, got, json.loads(file.read_text(encoding="utf-8"))


def score(expected: Path, read: Path) -> Tally:
    """The tally of a folder."""
    tally = Tally()
    for _, got, want in documents(expected, read):
        tally.add(got, want)
    return tally
