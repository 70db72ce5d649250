"""Who sells and who buys: sections, letterheads, address blocks, legal forms, tax ids."""

import re
from collections.abc import Iterator
from itertools import dropwhile

from .companies import in_lines, is_company
from .evidence import Candidate, ranked
from .fields import find_identifiers
from .layout import Row, Segment, overlap, squeezed
from .marking import (
    BLOCKING,
    SECTIONS,
    TOTALS,
    Document,
    Found,
    Hit,
    Marked,
    heads_table,
    near,
)
from .registers import registered
from .sections import Piece, opened_by, owners, sections
from .values import ibans, tokens, vat_ids

SEPARATORS = re.compile(
    r"\s*[●•|·∙■▪◦✉☎]\s*"
    r"|\s+[-\u2013—]\s+|\s*;\s*|,\s+(?=\d)"
)
PLACED = re.compile(r",\s+")  # what parts a line that goes on to a town as well
TOWN = re.compile(
    r"(?:^|\s)(?:[A-Z]{1,2}[- ])?"
    r"(?:\d{4,6}|\d{2}-\d{3}|\d{3} \d{2}|\d{4}\s?[A-Z]{2}|\d{4}-\d{3})\s+[^\W\d_]{2,}"
    r"|\b[A-Z]{1,2}\d[A-Z\d]? ?\d[A-Z]{2}\b|\b[A-Z]{2} \d{5}(?:-\d{4})?\b"
    r"|\b[A-Z]\d[\dW] ?[A-Z\d]{4}\b|, [Jj]ud(?:\.|e[tț]ul)"
)
STREET = re.compile(r"[\s,]\d{1,4}\s?[a-zA-Z]?$")
GROUPED = re.compile(r"(?<!\w)\d{2,4}(?:[ .-]\d{2,4}){1,4}(?![\w.,]\d|\w)")
REACHED = re.compile(r"@|\bwww\.|https?:|\+\d{2}[\d ()/-]{6}")
HOST = re.compile(r"(?:@|\bwww\.|https?://)([\w-]+)\.")
NOT_A_NAME = ("not_name", "other_number", "tax_id", "buyer_tax_id", "iban", "other_date")


def _parts(text: str) -> list[str]:
    """Return what a line names one after the other: a firm, its street, its town."""
    parts = SEPARATORS.split(text)
    if TOWN.search(text):
        parts = [each for part in parts for each in PLACED.split(part)]
    return parts


def _section_names(document: Document, wanted: str) -> Iterator[Candidate]:
    opened = opened_by(document)
    for number, (field, pieces) in sections(document).items():
        if field != wanted:
            continue
        label = document.rows[opened[number].row].row.text[
            opened[number].start : opened[number].end
        ]
        for line, piece in _names(document, pieces, opened[number])[:1]:
            whole = in_lines(document, piece.row, piece.segment) or ""
            name = whole if whole.startswith(f"{line}\n") else line
            start = document.rows[piece.row].row.text.find(name.split("\n")[0])
            if start < 0:
                continue
            good = 0.93 if is_company(document, name) else 0.85
            end = start + len(name.split("\n")[0])
            yield document.read(name, piece.row, start, end, good, f'in section "{label}"')


def _names(document: Document, pieces: list[Piece], hit: Hit) -> list[tuple[str, Piece]]:
    """Return the lines of a section that may be its party's name, the likeliest first."""
    labelled = _labelled_name(document, pieces)
    if labelled:
        return [labelled]
    found = []
    for piece in pieces:
        text = squeezed(piece.segment.text)
        if piece.row == hit.row and piece.segment.x0 <= hit.x0 + 1:
            row = document.rows[piece.row].row
            rest = text[hit.end - hit.start :] if row.text[hit.start :].startswith(text) else ""
            text = rest.strip(" :")
        if _may_be_name(document, piece.row, text):
            found.append((text, piece))
    return found


def _labelled_name(document: Document, pieces: list[Piece]) -> tuple[str, Piece] | None:
    for number, piece in enumerate(pieces):
        row = document.rows[piece.row].row
        hits = [h for h in document.rows[piece.row].hits if h.field == "party_name" and h.opens]
        if not hits or abs(hits[0].x0 - piece.segment.x0) > 1:
            continue
        rest = squeezed(row.text[hits[0].end :]).strip(" :")
        if rest:
            return _with_lines_beside(document, piece, rest)
        lines: list[tuple[str, Piece]] = []
        for below in pieces[number + 1 :]:
            text = squeezed(below.segment.text)
            if below.row == piece.row or not _may_be_name(document, below.row, text):
                if lines or below.row != piece.row:
                    break
                if text.strip(" :"):
                    lines.append((text, below))
                continue
            lines.append((text, below))
        if lines:
            return "\n".join(text for text, _ in lines), lines[0][1]
    return None


def _with_lines_beside(document: Document, piece: Piece, name: str) -> tuple[str, Piece]:
    """Join the lines right above and below a labelled name: the label stands at their middle."""
    row = document.rows[piece.row].row
    value = row.segments[-1]
    lines, first = [name], piece
    for step in (-1, 1):
        last, index = value, piece.row + step
        while 0 <= index < len(document.rows):
            other = document.rows[index].row
            near = other.segments[0]
            gap = near.y0 - last.y1 if step > 0 else last.y0 - near.y1
            aligned = len(other.segments) == 1 and abs(near.x0 - value.x0) < 0.4 * row.height
            if not aligned or gap > 0.5 * row.height or other.page is not row.page:
                break
            lines = [near.text, *lines] if step < 0 else [*lines, near.text]
            first = Piece(index, near) if step < 0 else first
            last, index = near, index + step
    return "\n".join(lines), first


def _may_be_name(document: Document, row: int, text: str) -> bool:
    letters = sum(c.isalpha() for c in text)
    if letters < 3 or letters < 0.5 * len(text.replace(" ", "")) or "@" in text:
        return False
    found = tokens(text)
    whole = (h for h in document.rows[row].hits if h.label.words == tuple(found))
    if text.endswith(":") or any(h.field.startswith("type_") or h.field in BLOCKING for h in whole):
        return False
    if document.rows[row].has(*NOT_A_NAME):
        labels = [h for h in document.rows[row].hits if h.field in NOT_A_NAME]
        if any(tuple(found[: len(h.label.words)]) == h.label.words for h in labels):
            return False
    return not TOWN.search(text) and len(found) <= 12


def _letterheads(
    document: Document, owned: dict[int, str], marks: list[Piece]
) -> Iterator[Candidate]:
    """Yield companies named on the page outside the buyer's and others' sections."""
    for index, marked in enumerate(document.rows):
        row = marked.row
        for segment in row.segments:
            if owned.get(id(segment), "supplier_section") != "supplier_section":
                continue
            names = [squeezed(text).strip(" ,:-") for text in _parts(segment.text)]
            for name in filter(None, [*names, in_lines(document, index, segment)]):
                if len(tokens(name)) > 8 or not is_company(document, name):
                    continue
                if not _may_be_name(document, index, name):
                    continue
                first = name.split("\n")[0]
                start = row.text.find(first)
                score = 0.5 + 0.12 * (row.y0 < 0.2 * row.page.height and row.page.index == 0)
                score += 0.1 * (len(_parts(segment.text)) > 2)
                score += _standing(document, Piece(index, segment), marks)
                score += 0.06 * (
                    name != first
                )  # what goes on is more of the name than a line of it
                end = start + len(first)
                yield document.read(name, index, max(start, 0), end, score, "a company by its form")


def _sellers_marks(document: Document, owned: dict[int, str]) -> list[Piece]:
    """Return the segments that say a tax id, an account or how to reach somebody: a seller's."""
    found = []
    for index, marked in enumerate(document.rows):
        taxed = heads_table(document, index) or marked.has(*TOTALS)  # what is of the tax itself
        at = [h.start for h in marked.hits if h.field in ("tax_id", "iban") and not taxed]
        at += [m.start for m in (*vat_ids(marked.row.text), *ibans(marked.row.text))]
        at += [m.start() for m in REACHED.finditer(marked.row.text)]
        for segment in marked.row.segments:
            start = marked.row.text.find(segment.text)
            inside = any(start <= one < start + len(segment.text) for one in at)
            if inside and owned.get(id(segment)) != "buyer_section":
                found.append(Piece(index, segment))
    return found


def _standing(document: Document, name: Piece, marks: list[Piece]) -> float:
    """Return what speaks for a seller in what stands with a name, or against it.

    Sellers give their tax id, account or ways to reach them with it; who heads an address and
    nothing else is written to.
    """
    block = next(b for b in document.blocks if name.segment in b.segments)
    page, lone = block.page, len(document.rows[name.row].row.segments) == 1
    # below the totals nobody is written to
    in_foot = name.row > max((h.row for h in document.hits(*TOTALS)), default=len(document.rows))
    for mark in marks:
        near = 0 <= mark.row - name.row <= 5 and document.rows[mark.row].row.page is page
        over = overlap(mark.segment.x0, mark.segment.x1, name.segment.x0, name.segment.x1) > 0
        if near and (over or lone or in_foot or mark.segment in block.segments):
            return 0.15
    below = document.rows[name.row + 1].row if name.row + 1 < len(document.rows) else None
    after = below.segments if below else []
    in_line = len(after) == 1 and after[0] in block.segments and len(_parts(after[0].text)) > 1
    if in_line and TOWN.search(after[0].text):
        return 0.15  # a letterhead has its address in one line, who is written to in several
    # a sender's line above an address is none of its lines
    lines = [each for each in block.segments if len(SEPARATORS.split(each.text)) == 1]
    if name.segment not in lines or any(h.field == "buyer_section" for h in opened_by(document)):
        return 0.0
    under = lines[lines.index(name.segment) + 1 :][:4]
    return -0.12 if any(TOWN.search(each.text) for each in under) else 0.0


def _sender_lines(document: Document, owned: dict[int, str]) -> Iterator[Candidate]:
    """Yield whose name opens a line that goes on to a town: what a letter's window shows."""
    for index, marked in enumerate(document.rows):
        for segment in marked.row.segments:
            parts = [squeezed(part) for part in _parts(segment.text)]
            named = len(parts) > 2 and any(TOWN.search(part) for part in parts[1:])
            if not named or owned.get(id(segment)) == "buyer_section":
                continue
            if len(tokens(parts[0])) > 8 or not _may_be_name(document, index, parts[0]):
                continue
            start = max(0, marked.row.text.find(parts[0]))
            end = start + len(parts[0])
            yield document.read(parts[0], index, start, end, 0.62, "opens a line of its address")


def _top_lines(
    document: Document, owned: dict[int, str], marks: list[Piece]
) -> Iterator[Candidate]:
    """Yield the first lines of the first page that are no title, label or number."""
    for index, marked in enumerate(document.rows):
        if marked.row.page.index > 0 or marked.row.index > 5:
            continue
        segment = marked.row.segments[0]
        text = squeezed(segment.text)
        titled = any(h.field.startswith("type_") or h.field in SECTIONS for h in marked.hits)
        if titled or marked.days or not _may_be_name(document, index, text):
            continue
        if owned.get(id(segment), "supplier_section") != "supplier_section":
            continue
        if re.search(r"https?:|www\.|^[+\d]", text) or STREET.search(text):
            continue
        height = segment.y1 - segment.y0
        large = 0.2 * (height > 1.25 * document.word_height)
        large -= 0.1 * (height < 0.9 * document.word_height)
        score = 0.34 + large - 0.03 * marked.row.index
        score += 1.5 * _standing(document, Piece(index, segment), marks)
        yield document.read(text, index, 0, len(text), score, "at the top of the page")


def _account_holders(document: Document) -> Iterator[Candidate]:
    for hit in document.hits("account_holder"):
        row = document.rows[hit.row].row
        text = squeezed(row.text[hit.end :]).strip(" :")
        if text and _may_be_name(document, hit.row, text) and is_company(document, text):
            start = row.text.find(text)
            yield document.read(text, hit.row, start, start + len(text), 0.4, "holds the account")


def supplier_names(document: Document) -> list[Candidate]:
    """Return the candidates for who sells, best first."""
    owned = owners(document)
    marks = _sellers_marks(document, owned)
    hosts = {"".join(tokens(h)) for m in document.rows for h in HOST.findall(m.row.text)}
    found = [
        *_section_names(document, "supplier_section"),
        *_letterheads(document, owned, marks),
        *_sender_lines(document, owned),
        *_account_holders(document),
        *_top_lines(document, owned, marks),
    ]
    return ranked(c.scored(min(0.97, c.score + 0.15 * _is_host(c, hosts))) for c in found)


def _is_host(candidate: Candidate, hosts: set[str]) -> bool:
    """Return whether a web or mail address on the page begins as a name does: its owner's."""
    first = next((t for t in tokens(str(candidate.value)) if len(t) > 3), None)
    return first is not None and any(host.startswith(first) for host in hosts)


def buyer_names(
    document: Document, supplier: str | None, *, named_only: bool = False
) -> list[Candidate]:
    """Return the candidates for who buys: a section's name, or whose address stands alone."""
    found = list(_section_names(document, "buyer_section"))
    for block in () if named_only else document.blocks:
        segments = list(dropwhile(lambda s: len(_parts(s.text)) > 1, block.segments))
        lines = [squeezed(s.text) for s in segments]
        town = next((n for n, line in enumerate(lines) if TOWN.search(line)), None)
        # a town abroad may have no code, but who is written to lives in a street
        sure = 0.55 if town is not None and 1 <= town <= 5 else 0.4
        street = len(lines) > 2 and (STREET.search(lines[1]) or re.match(r"\d+[ ,]", lines[1]))
        if block.page.index > 0 or (sure < 0.5 and (town is not None or not street)):
            continue
        if segments[0].y0 > 0.5 * block.page.height:
            continue
        row = _row_of(document, segments[0])
        if row is None or lines[0] == supplier or not _may_be_name(document, row, lines[0]):
            continue
        start = document.rows[row].row.text.find(lines[0])
        end = start + len(lines[0])
        found.append(document.read(lines[0], row, max(start, 0), end, sure, "heads an address"))
    return [c for c in ranked(found) if c.value != supplier]


def _row_of(document: Document, segment: Segment) -> int | None:
    return next((n for n, m in enumerate(document.rows) if segment in m.row.segments), None)


def supplier_address(document: Document, supplier: Candidate) -> list[Candidate]:
    """Return the address that stands with the supplier's name: the lines to its town."""
    first, *rest = str(supplier.value).split("\n")
    found = []
    for index, marked in enumerate(document.rows):
        for segment in marked.row.segments:
            if first not in segment.text:
                continue
            address = _address_in_line(segment, first) or _address_below(
                document, index, segment, rest
            )
            if address:
                start = marked.row.text.find(first)
                found.append(
                    document.read(address, index, start, start + len(first), 0.7, "with its name")
                )
    return ranked(found)


def _address_in_line(segment: Segment, name: str) -> str | None:
    parts = [squeezed(p) for p in SEPARATORS.split(segment.text)]
    towns = [n for n, part in enumerate(parts) if TOWN.search(part)]
    if not towns or name not in parts[0] or towns[0] == 0:
        return None
    return "\n".join(parts[1 : towns[0] + 1])


def _address_below(document: Document, index: int, segment: Segment, rest: list[str]) -> str | None:
    lines: list[str] = []
    for below in range(index + 1, min(index + 8, len(document.rows))):
        row = document.rows[below].row
        text = _column_text(row, segment)
        if not text or text in rest:
            continue
        hits = [h for h in document.rows[below].hits if h.field == "not_name" and h.opens]
        text = text[hits[0].end :].strip(" :") if hits and row.text.startswith(text) else text
        if text:
            lines.append(text)
        if TOWN.search(text):
            return "\n".join(lines)
    return None


def _column_text(row: Row, segment: Segment) -> str:
    return " ".join(s.text for s in row.segments if overlap(s.x0, s.x1, segment.x0, segment.x1) > 0)


def supplier_tax_ids(document: Document) -> list[Candidate]:
    """Return the supplier's tax ids: those labelled or shaped so, not in another's section."""
    owned = owners(document)
    found = []
    for index, marked in enumerate(document.rows):
        if marked.has("buyer_tax_id"):
            continue
        for match in vat_ids(marked.row.text):
            if not _suppliers(document, owned, index, match.start):
                continue
            score = 0.5 + 0.3 * match.valid + 0.2 * marked.has("tax_id")
            why = "check digits right" if match.valid else "shaped like a VAT id"
            reading = document.read(match.value, index, match.start, match.end, score, why)
            found.append(reading.scored(min(0.97, reading.score)))
    shaped = {str(c.value) for c in found}
    for hit in document.hits("tax_id"):
        if not _suppliers(document, owned, hit.row, hit.start) or document.rows[hit.row].has(
            "buyer_tax_id"
        ):
            continue
        for candidate in near(document, hit, _find_ids):
            value = re.sub(r"\W", "", str(candidate.value))
            right = registered(str(candidate.value), document.language)
            digits = sum(c.isdigit() for c in value)
            if (digits >= 7 or right) and not any(value in s or s in value for s in shaped):
                found.append(candidate.scored(candidate.score * (0.95 if right else 0.8)))
    return [c for c in ranked(found) if c.score >= 0.45]


def _find_ids(marked: Marked, start: int, end: int) -> Found:
    """Find tax ids: codes, and numbers whose digits are set in groups."""
    for match in GROUPED.finditer(marked.row.text, start, end):
        yield re.sub(r"[ .-]", "", match[0]), match.start(), match.end(), 1.0
    for value, at, to, good in find_identifiers(marked, start, end):
        yield str(value).replace(" ", ""), at, to, good


def _suppliers(document: Document, owned: dict[int, str], row: int, start: int) -> bool:
    words = document.rows[row].row.words_at(start, start + 1)
    for segment in document.rows[row].row.segments:
        if words and words[0] in segment.words:
            return owned.get(id(segment)) != "buyer_section"
    return True
