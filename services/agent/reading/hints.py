"""Where the values that persons corrected stand on a supplier's documents, found again on its next.

A hint is what can be said of a value's place and form: the words before it and above it, its
shape, how many words it has, its page and left upper corner. It is taken of a corrected value on
the document where it was corrected, and compared with every value of that kind on the next.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from .einvoice import plain
from .evidence import Candidate
from .layout import Segment, box_of, overlap
from .marking import Document
from .values import CODES, ibans, tokens

Hint = dict[str, Any]
Hints = Mapping[str, Sequence[Hint]]
Span = tuple[Any, int, int, int]  # value, row, start, end

DATES = ("issue_date", "due_date")
AMOUNTS = ("net", "tax", "gross", "amount_due")
TEXTS = ("invoice_number", "order_reference")
# The same on all documents of a supplier: kept as values, not as places.
CONSTANT = ("supplier_name", "currency_code")
FIELDS = (*DATES, *AMOUNTS, *TEXTS, "iban", *CONSTANT)

HINTS_MAX = 6  # places of one field
PLACES_MAX = 3  # that one document teaches
LABEL_WORDS = 5
WORDS_MAX = 4  # of a number that is written with spaces
ROWS_MAX = 4_000
ALIKE = 0.55  # less alike is another value
SURE = 0.85
SURE_SCORE, ALIKE_SCORE = 0.95, 0.8
WHY = "as a person corrected it on an earlier document of the supplier"
NEAR = 0.02  # of a page


def learned(document: Document, values: Mapping[str, str]) -> dict[str, list[Hint]]:
    """Return the hints of each value that stands on the document; those that do not give none."""
    found: dict[str, list[Hint]] = {}
    for name, value in values.items():
        if name in CONSTANT and value:
            found[name] = [{"value": value}]
        elif name in FIELDS and value:
            words = min(len(value.split()), WORDS_MAX)
            spans = [s for s in _spans(document, name, words) if _same(name, s[0], value)]
            hints = [_described(document, span, words) for span in spans]
            hints.sort(key=lambda hint: (not hint["left"], not hint["above"], hint["page"]))
            if hints:
                found[name] = hints[:PLACES_MAX]
    return found


def merged(known: Hints, new: Hints) -> dict[str, list[Hint]]:
    """Return the hints of both, of each field the newest first and no more than are kept."""
    names = dict.fromkeys((*known, *new))
    both = {name: [*new.get(name, ()), *known.get(name, ())] for name in names}
    return {
        name: [hint for at, hint in enumerate(all_) if hint not in all_[:at]][:HINTS_MAX]
        for name, all_ in both.items()
    }


def raised(
    document: Document, found: Mapping[str, list[Candidate]], hints: Hints
) -> dict[str, list[Candidate]]:
    """Return the readings with those first that hints speak for."""
    result = dict(found)
    for name, given in hints.items():
        best = _best(document, name, given) if name in FIELDS else None
        if best is not None:
            others = [c for c in found.get(name, ()) if str(c.value) != str(best.value)]
            result[name] = [best, *others]
    return result


def _best(document: Document, name: str, hints: Sequence[Hint]) -> Candidate | None:
    if name in CONSTANT:
        return _kept(document, hints[0]["value"]) if hints else None
    best: tuple[float, Span] | None = None
    for words in sorted({hint["words"] for hint in hints}):
        like = [hint for hint in hints if hint["words"] == words]
        for span in _spans(document, name, words):
            seen = _described(document, span, words)
            score = max(_likeness(seen, hint, placed=name not in AMOUNTS) for hint in like)
            # Of several amounts of one name the last is the total.
            least = best[0] if best else ALIKE
            if score > least or (score == least and (best is None or name in AMOUNTS)):
                best = score, span
    if best is None:
        return None
    score, (value, row, start, end) = best
    sure = SURE_SCORE if score >= SURE else ALIKE_SCORE
    return document.read(value, row, start, end, sure, WHY)


def _kept(document: Document, value: str) -> Candidate:
    """Return a value that stays the same, with its place where it stands on the pages."""
    for index, marked in enumerate(document.rows[:ROWS_MAX]):
        start = marked.row.text.find(value)
        if start >= 0:
            return document.read(value, index, start, start + len(value), SURE_SCORE, WHY)
    return Candidate(value, SURE_SCORE, WHY, document.pages[0].source)


def _likeness(seen: Hint, hint: Hint, *, placed: bool) -> float:
    """Return how alike the places and forms of two values are (0 to 1)."""
    agreed = (
        (0.6, hint["left"] and seen["left"] == hint["left"]),
        (0.45, hint["above"] and seen["above"] == hint["above"]),
        (0.25, seen["shape"] == hint["shape"]),
        (0.15, min(abs(seen["x0"] - hint["x0"]), abs(seen["x1"] - hint["x1"])) < NEAR),
        (0.15, placed and seen["page"] == hint["page"] and abs(seen["y"] - hint["y"]) < NEAR),
    )
    return sum(weight for weight, is_so in agreed if is_so)


def _described(document: Document, span: Span, words: int) -> Hint:
    """Return what can be said of a value's place and form (JSON-able)."""
    value, index, start, end = span
    row = document.rows[index].row
    x0, y0, x1, _ = box_of(row.words_at(start, end))
    return {
        "left": _left(row.text[:start]),
        "above": _above(document, index, row.words_at(start, end)[0].x0),
        "shape": _shape(value),
        "words": words,
        "page": row.page.index,
        "x0": round(x0, 4),
        "x1": round(x1, 4),
        "y": round(y0, 4),
    }


def _left(text: str) -> str:
    """Return the words right before a value, back to the next that has a digit."""
    kept: list[str] = []
    for word in reversed(text.split()):
        if any(mark.isdigit() for mark in word) or len(kept) == LABEL_WORDS:
            break
        kept = [*_named(word), *kept]
    return " ".join(kept[-LABEL_WORDS:])


def _above(document: Document, index: int, x0: float) -> str:
    """Return the words of the cell right above a place."""
    here = document.rows[index].row
    for at in range(index - 1, max(index - 4, -1), -1):
        row = document.rows[at].row
        if row.page is not here.page or here.y0 - row.y1 > 3 * here.height:
            return ""
        for segment in row.segments:
            if _covers(segment, x0, here.height):
                return " ".join(_named(re.sub(r"\S*\d\S*", "", segment.text))[:LABEL_WORDS])
    return ""


def _named(text: str) -> list[str]:
    """Return the words of a label; a currency beside it comes and goes."""
    return [word for word in tokens(text) if word.upper() not in CODES]


def _covers(segment: Segment, x0: float, height: float) -> bool:
    return overlap(segment.x0 - height, segment.x1, x0, x0 + height) > 0


def _shape(value: Any) -> str:
    """Return the form of a text: letters as A, digits as 9, runs of them as one."""
    if not isinstance(value, str):
        return type(value).__name__
    form = re.sub(r"[^\W\d_]", "A", re.sub(r"\d", "9", value))
    return re.sub(r"(.)\1+", r"\1", form)


def _spans(document: Document, name: str, words: int) -> Iterator[Span]:
    """Yield every value of the field's kind on the pages."""
    for index, marked in enumerate(document.rows[:ROWS_MAX]):
        if name in DATES:
            yield from ((day.value.isoformat(), index, day.start, day.end) for day in marked.days)
        elif name in AMOUNTS:
            yield from ((plain(n.value), index, n.start, n.end) for n in marked.numbers if n.money)
        elif name == "iban":
            yield from ((m.value, index, m.start, m.end) for m in ibans(marked.row.text) if m.valid)
        else:
            yield from _texts(marked.row.text, index, words)


def _texts(text: str, index: int, words: int) -> Iterator[Span]:
    pieces = list(re.finditer(r"[^\s:]+", text))
    for first in range(len(pieces) - words + 1):
        start, end = pieces[first].start(), pieces[first + words - 1].end()
        raw = text[start:end]
        value = raw.strip(".,;#°*\"'()")
        if any(mark.isdigit() for mark in value) and not value.endswith("%"):
            start += raw.find(value)
            yield re.sub(r"\s+", " ", value), index, start, start + len(value)


def _same(name: str, one: str, other: str) -> bool:
    if name in AMOUNTS:
        try:
            return abs(Decimal(one)) == abs(Decimal(other))
        except InvalidOperation:
            return False
    return re.sub(r"\s", "", one).casefold() == re.sub(r"\s", "", other).casefold()
