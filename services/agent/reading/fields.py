"""The simple fields of a page: type, number, dates, order reference, currency, IBAN."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from .evidence import OCR, Candidate, ranked
from .layout import Segment, box_of
from .marking import Document, Found, Hit, Marked, going_on, near
from .misread import whole_iban
from .unnamed import due_by_terms, due_unnamed, numbers_unnamed
from .values import CODES, CROWN, SYMBOLS, ibans, tokens, vat_ids

FILLERS = {"nr", "no", "n", "number", "nummer", "num", "#", "id", "numero", "nº", "o", "of", "de"}
IBAN_BEGUN = re.compile(r"(?<!\w)[A-Z]{2}\d{2}(?:\s?[A-Z0-9]){0,28}$")
MOST_PARTS = 4  # of a number that is written in parts
MARKS = re.compile(r"(?<!\w)(?:[A-Z]{3}|€|£|\$|zł|RM|Euro|[Kk]r|Kč|Ft|[Ll]ei)(?!\w)")
OWN_MARKS = {  # words elsewhere
    **dict.fromkeys(("sv", "da", "nb"), ("kr", "Kr")),
    "cs": ("Kč",),
    "hu": ("Ft",),
    "ro": ("lei", "Lei", "LEI"),
}
CROWNS = {"SE": "SEK", "DK": "DKK", "NO": "NOK"}
EXPLAINED = ("due_date", "other_date", "discount_terms", "order_reference", "preceding")
TYPES = {
    "type_invoice": "INVOICE",
    "type_credit_note": "CREDIT_NOTE",
    "type_receipt": "RECEIPT",
    "type_self_billed": "INVOICE",
}


def find_days(marked: Marked, start: int, end: int) -> Found:
    """Find dates; one that may be read in two ways, or stands further off, is less good."""
    within = [day for day in marked.days if day.start >= start and day.end <= end]
    for number, day in enumerate(within):
        between = len(tokens(marked.row.text[start : day.start])) if not number else 3
        good = 1.0 if day.sure else 0.93
        good *= 0.85 if between > 2 else 0.95 if between else 1.0
        yield day.value.isoformat(), day.start, day.end, good


def find_identifiers(marked: Marked, start: int, end: int) -> Found:
    """Find the first thing that may be a document's number: it has a digit and is no date."""
    text = marked.row.text
    bare = re.sub(r"\([^)]*\)?", lambda m: " " * len(m[0]), text[start:end])
    passed = 0
    pieces = list(re.finditer(r"[^\s:]+", bare))
    for index, piece in enumerate(pieces):
        word = piece[0].strip(".,;#°*\"'")
        if not word or all(t in FILLERS for t in tokens(word)):
            continue
        at, to = start + piece.start(), start + piece.end()
        if any(d.start < to and at < d.end and not word.isdigit() for d in marked.days):
            return
        spaced = _spaced(marked, start, pieces[index:])
        if spaced is not None:
            to = start + pieces[index + spaced[1] - 1].end()
            yield spaced[0], at, to, 0.9 * 0.5**passed
            return
        if _is_identifier(word) and not _is_money(marked, at, to):
            good = 1.0 if len(word) > 2 else 0.6
            good *= 0.5 if word.isdigit() and _names_on(marked, to) else 1.0
            yield word, at, to, good * 0.5**passed
            return
        passed += 1
        if passed > 2:
            return


def _names_on(marked: Marked, end: int) -> bool:
    """Return whether a name follows that is no label, as on a town's code."""
    follows = re.match(r" [A-Z][^\W\d_]", marked.row.text[end:])
    return follows is not None and not any(h.start == end + 1 for h in marked.hits)


def _spaced(marked: Marked, start: int, pieces: list[re.Match[str]]) -> tuple[str, int] | None:
    """Return a number written in parts, and how many: "FA 2025 0231", "12 3456 7890"."""
    words = [piece[0].strip(".,;°*\"'") for piece in pieces]
    prefixed = _is_prefix(words[0])
    if not prefixed and not words[0].isdigit():
        return None
    segment = next(s for s in marked.row.segments if _starts_in(marked, s, start, pieces[0]))
    count = 1
    for word, piece in zip(words[1:MOST_PARTS], pieces[1:MOST_PARTS], strict=False):
        at, to = start + piece.start(), start + piece.end()
        dated = any(d.start < to and at < d.end for d in marked.days)
        numeric = word.isdigit() or (prefixed and count == 1 and _is_identifier(word))
        if not numeric or dated or not _starts_in(marked, segment, start, piece):
            break
        count += 1
        if not word.isdigit():
            break
    # digits that words follow may be anything
    ends = count == len(pieces) or not _starts_in(marked, segment, start, pieces[count])
    if count == 1 or not (prefixed or (ends and count > 1 and len(words[1]) > 1)):
        return None
    if any(_is_money(marked, start + p.start(), start + p.end()) for p in pieces[:count]):
        return None
    return " ".join(words[:count]), count


def _starts_in(marked: Marked, segment: Segment, start: int, piece: re.Match[str]) -> bool:
    at = start + piece.start()
    return any(word in segment.words for word in marked.row.words_at(at, at + 1))


def _is_prefix(word: str) -> bool:
    return word.isalpha() and word.isupper() and len(word) <= 4


def _is_identifier(word: str) -> bool:
    return (
        any(c.isdigit() for c in word)
        and re.fullmatch(r"[\w./\\#+\u2013-]+", word) is not None
        and not re.fullmatch(r"\+?\d{1,3}%", word)
    )


def _is_money(marked: Marked, start: int, end: int) -> bool:
    return any(
        n.start < end and start < n.end and (n.currency or n.percent) for n in marked.numbers
    )


def document_type(document: Document) -> list[Candidate]:
    """Return INVOICE, CREDIT_NOTE or RECEIPT by the titles: large, early, first in their row."""
    found = []
    if own := document.hits("type_self_billed"):
        return [_typed(document, own[0], 0.95)]
    credited = {(h.row, h.start) for h in document.hits("type_credit_note")}
    for hit in document.hits("type_invoice", "type_credit_note", "type_receipt"):
        row = document.rows[hit.row].row
        # "Creditfactuur" ends in the word for an invoice
        ends = hit.field == "type_invoice" and (hit.row, hit.start) in credited
        if row.page.index > 0 or ends:
            continue
        large = min(row.height / document.word_height, 2.0)
        early = 1.0 - 0.6 * row.y0 / row.page.height
        first = 1.0 if hit.opens else 0.5
        found.append(_typed(document, hit, 0.5 * hit.label.weight * large * early * first))
    return ranked(found) or [Candidate("INVOICE", 0.4, "no title says what it is")]


def _typed(document: Document, hit: Hit, score: float) -> Candidate:
    name = document.rows[hit.row].row.text[hit.start : hit.end]
    why = f'titled "{name}"'
    return document.read(TYPES[hit.field], hit.row, hit.start, hit.end, min(score, 0.98), why)


def invoice_number(document: Document) -> list[Candidate]:
    """Return the candidates for the document's number, best first."""
    found = []
    for hit in document.hits("invoice_number"):
        row = document.rows[hit.row].row
        early = 1.0 if row.page.index == 0 and row.y0 < 0.6 * row.page.height else 0.7
        large = 1.08 if row.height > 1.25 * document.word_height else 1.0
        placed = _placed(document, hit)
        for candidate in near(document, hit, find_identifiers):
            dated = 1.1 if _dated(document, hit) else 1.0
            found.append(
                candidate.scored(min(0.97, candidate.score * early * large * placed * dated))
            )
    others = document.hits("other_number", "order_reference", "tax_id", "buyer_tax_id")
    taken = {str(c.value) for hit in others for c in near(document, hit, find_identifiers)}
    return ranked([*found, *(c for c in numbers_unnamed(document) if c.value not in taken)])


def _placed(document: Document, hit: Hit) -> float:
    """Return how well a number's label stands: in a title best, within a sentence worse."""
    titled = any(h.field.startswith("type_") and h.opens for h in document.rows[hit.row].hits)
    if titled:
        return 1.15
    if hit.opens:
        return 1.0 if hit.label.weight == 1.0 else 0.85
    return 0.65 if hit.label.weight == 1.0 else 0.5


def _dated(document: Document, hit: Hit) -> bool:
    return bool(document.rows[hit.row].days)


def issue_date(document: Document) -> list[Candidate]:
    """Return the candidates for the date of issue, best first."""
    found = [
        c.scored(min(0.97, c.score * (1.0 if document.rows[h.row].row.page.index == 0 else 0.6)))
        for h in document.hits("issue_date")
        if not _of_preceding(document, h)
        for c in near(document, h, find_days)
    ]
    for hit in document.hits("invoice_number"):
        found += [
            document.read(
                value, hit.row, at, end, 0.75 * good * hit.label.weight, "with its number"
            )
            for value, at, end, good in find_days(
                document.rows[hit.row], hit.end, len(document.rows[hit.row].row.text)
            )
        ]
    return ranked([*found, *_loose_days(document)])


def _of_preceding(document: Document, hit: Hit) -> bool:
    """Return whether a label in a row belongs to the invoice that this document refers to."""
    return any(h.field == "preceding" and h.start <= hit.start for h in document.rows[hit.row].hits)


def _loose_days(document: Document) -> Iterator[Candidate]:
    """Yield the dates that no label explains, the higher on the first page the better."""
    lone = len({d.value for m in document.rows for d in m.days}) == 1
    for index, marked in enumerate(document.rows):
        row = marked.row
        explained = marked.has(*EXPLAINED)
        for day in marked.days:
            high = 1.0 - row.y0 / row.page.height
            score = (0.28 + 0.2 * high + 0.25 * lone) * (
                0.3 if (explained and not lone) or row.page.index else 1.0
            )
            yield document.read(
                day.value.isoformat(), index, day.start, day.end, score, "a date on the page"
            )


def due_date(document: Document, issued: str | None) -> list[Candidate]:
    """Return the candidates for the due date: none before the date of issue."""
    found = []
    for hit in document.hits("due_date"):
        for candidate in near(document, hit, find_days):
            early = issued is not None and str(candidate.value) < issued
            found.append(candidate.scored(min(0.97, candidate.score * (0.2 if early else 1.0))))
    named = [c for c in ranked(found) if c.score >= 0.3]
    return named or ranked([*due_by_terms(document, issued), *due_unnamed(document, issued)])


def order_reference(document: Document) -> list[Candidate]:
    """Return the candidates for the buyer's order number."""
    hits = document.hits("order_reference")
    return ranked(c for hit in hits for c in near(document, hit, find_identifiers))


def currency(document: Document) -> list[Candidate]:
    """Return the candidates for the currency: labelled, or written at the amounts."""
    found = []
    for hit in document.hits("currency"):
        marked = document.rows[hit.row]
        for match in re.finditer(r"\b[A-Z]{3}\b", marked.row.text[hit.end :]):
            if match[0] in CODES:
                at = hit.end + match.start()
                found.append(document.read(match[0], hit.row, at, at + 3, 0.98, "labelled"))
                break
    crowns: list[str | None] = []
    seen: Counter[str] = Counter()
    for index, marked in enumerate(document.rows):
        marks: list[tuple[str | None, int, int]] = [
            (n.currency, n.start, n.end) for n in marked.numbers if n.currency
        ]
        marks += [
            (_code(m[0], document.language), m.start(), m.end())
            for m in re.finditer(MARKS, marked.row.text)
        ]
        for mark, start, end in marks:
            if mark == CROWN and not crowns:
                crowns = [_crowns(document)]
            code = crowns[0] if mark == CROWN else mark
            if code is None:
                continue
            seen[code] += 1
            if seen[code] == 1:
                found.append(document.read(code, index, start, end, 0.5, "written at amounts"))
    total = sum(seen.values())
    return ranked(
        c if c.reason == "labelled" else c.scored(0.45 + 0.5 * seen[str(c.value)] / total)
        for c in found
    )


def _code(mark: str, language: str) -> str | None:
    marks = {"€": "EUR", "Euro": "EUR", "£": "GBP", "$": "USD", "zł": "PLN", "RM": "MYR"}
    if mark in OWN_MARKS.get(language, ()):
        return SYMBOLS[mark]
    return marks.get(mark) or (mark if mark in CODES else None)


def _crowns(document: Document) -> str | None:
    """Return what "kr" stands for: by a code on the page, the supplier's country, the language."""
    rows = [marked.row.text for marked in document.rows]
    own = {"sv": "SEK", "da": "DKK", "nb": "NOK"}.get(document.language)
    named = {c for text in rows for c in CROWNS.values() if re.search(rf"\b{c}\b", text)}
    accounts = {CROWNS.get(i.value[:2]) for text in rows for i in ibans(text) if i.valid}
    numbers = {_crown(i.value) for text in rows for i in vat_ids(text) if i.valid}
    for codes in (named, accounts, numbers):
        said = codes - {None}
        if said:
            return own if own in said else said.pop() if len(said) == 1 else None
    return own


def _crown(vat_id: str) -> str | None:
    return CROWNS.get("NO" if vat_id.endswith("MVA") else vat_id[:2])


def _is_recognised(marked: Marked) -> bool:
    return marked.row.page.source == OCR


def iban(document: Document) -> list[Candidate]:
    """Return the account numbers on the page; one with wrong check digits needs its label."""
    found = []
    for index, marked in enumerate(document.rows):
        labelled = marked.has("iban")
        for match in ibans(marked.row.text):
            score = 0.97 if match.valid else 0.6 if labelled else 0.0
            why = "check digits right" if match.valid else "labelled, check digits wrong"
            value = match.value
            whole = None if match.valid or not _is_recognised(marked) else whole_iban(value)
            if whole:
                value, score, why = whole, 0.8, "check digits right with the digits run together"
            if score:
                found.append(document.read(value, index, match.start, match.end, score, why))
    return ranked([*found, *_broken_ibans(document)])


def _broken_ibans(document: Document) -> Iterator[Candidate]:
    """Yield the account numbers that begin in one line and go on in the next ones below."""
    for index, marked in enumerate(document.rows):
        for segment in marked.row.segments:
            begun = IBAN_BEGUN.search(segment.text)
            if begun is None or any(match.valid for match in ibans(begun[0])):
                continue
            text, words = begun[0], list(segment.words)
            for below in going_on(document, index, segment):
                text, words = f"{text} {below.text}", [*words, *below.words]
                match = next((m for m in ibans(text) if m.valid and not m.start), None)
                if match:
                    end = marked.row.text.find(segment.text) + len(segment.text)
                    why = "check digits right, in lines below each other"
                    start = end - len(begun[0])
                    read = document.read(match.value, index, start, end, 0.97, why)
                    yield replace(read, box=box_of(words))
                    break
