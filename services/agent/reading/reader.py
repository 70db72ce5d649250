"""One document from bytes to fields: its sources, and which reading of each field counts."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from decimal import Decimal
from itertools import islice
from typing import Any, BinaryIO

from . import amounts, calibration, fields, hints, lines, parties, receipts, screening, split
from .einvoice import EInvoice, embedded, parse, plain
from .errors import Unreadable
from .evidence import E_INVOICE, OCR, Candidate, field, ranked
from .layout import box_of
from .marking import SECTIONS, Document, mark
from .vocabulary import STRONG
from .words import Page, image_pages, open_pdf, pdf_pages

CONFIRMING_PAGES = 12  # of a document with an e-invoice: enough to find where its values stand
PAGES_READ = 60  # more of one document are counted but hold no field of an invoice
SLIM = 0.6  # of its height is a till slip's width at most; a sheet of paper is wider
MISSING = 0.25  # a reading less sure than this is no reading


def read_document(
    document: bytes | BinaryIO, media_type: str = "", options: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return what a document (its bytes, or a file opened to read them) says.

    Options: page_only (bool, the e-invoice in or beside a page is passed over), beside (bytes, the
    XML of the e-invoice that came with it), ocr (bool, default true),
    text (bool, also the pages' text, where there is no e-invoice), hints (by field, as
    learning.learn gives them, of the supplier's earlier documents), raw (bool, scores in place of
    probabilities).
    The answer: {"fields": {name: {value, confidence, source, page (from 1), box, reason,
    candidates}}, "lines": [...], "page_count", "language", "syntax", "warnings", "text": [...]};
    decimals are strings; warnings are PAGE_DISAGREES:FIELD, UNRECOGNISED_PAGE:n, UNREAD_PAGES:n-m
    and what `split` and `screening` say. Of several
    documents in one file it is the first, and "documents" has each as such an answer with
    first_page and last_page. Raises Unreadable.
    """
    chosen = dict(options or {})
    data = document if isinstance(document, bytes) else document.read()
    if not data.strip():
        raise Unreadable("EMPTY", "The file is empty.")
    kind = kind_of(data, media_type)
    if kind == "xml":
        return _from_einvoice(parse(data), None, 0)
    page_only = bool(chosen.get("page_only"))
    beside = parse(chosen["beside"]) if chosen.get("beside") and not page_only else None
    if kind == "image":
        pages = list(islice(image_pages(data), PAGES_READ))
        if beside is not None:
            return _confirmed(beside, pages, len(pages))
        return _screened(pages, None, chosen)
    pdf = open_pdf(data)
    try:
        invoice = beside or (None if page_only else embedded(pdf))
        count = len(pdf)
        if invoice is not None:
            pages = list(islice(pdf_pages(pdf, use_ocr=False), CONFIRMING_PAGES))
            return _confirmed(invoice, pages, count)
        use_ocr = bool(chosen.get("ocr", True))
        pages = list(islice(pdf_pages(pdf, use_ocr=use_ocr), PAGES_READ))
        return _screened(pages, count, chosen)
    finally:
        pdf.close()


def _confirmed(invoice: EInvoice, pages: list[Page], count: int) -> dict[str, Any]:
    """Return what an e-invoice says, looked up on the pages that it belongs to."""
    pages, warnings = screening.screened(pages)
    seen = mark(pages) if any(page.words for page in pages) else None
    answer = _from_einvoice(invoice, seen, count)
    return {**answer, "warnings": [*answer["warnings"], *warnings]}


def kind_of(data: bytes, media_type: str) -> str:
    """Return pdf, image or xml by the first bytes; the declared type only names what is wrong."""
    head = data[:1024].lstrip()
    if b"%PDF-" in data[:1024]:
        return "pdf"
    if data.startswith((b"\x89PNG\r\n", b"\xff\xd8\xff", b"II*\0", b"MM\0*")):
        return "image"
    if head.startswith((b"<", b"\xef\xbb\xbf<", b"\xff\xfe<", b"\xfe\xff\0<")):
        return "xml"
    if media_type in ("application/pdf", "image/png", "image/jpeg", "image/tiff"):
        raise Unreadable("BROKEN", f"The file is not what its type says ({media_type}).")
    raise Unreadable("UNSUPPORTED_TYPE", "The file is no PDF, XML, PNG, JPEG or TIFF.")


def _from_einvoice(invoice: EInvoice, document: Document | None, count: int) -> dict[str, Any]:
    """Return the e-invoice's values, with their places on the page where they are found there."""
    found = {}
    for name, value in invoice.fields.items():
        exact = Candidate(value, 1.0, f"written in the {invoice.syntax} data", E_INVOICE)
        found[name] = field(_placed(exact, document))
    read = [
        {**line, "confidence": 1.0, "source": E_INVOICE, "page": None, "box": None}
        for line in invoice.lines
    ]
    return {
        "fields": found,
        "lines": read,
        "page_count": count,
        "language": document.language if document else None,
        "syntax": invoice.syntax,
        "warnings": [
            *(_disagreements(invoice, document) if document else []),
            *screening.orders(_texts_of(invoice)),
        ],
        "text": [],
    }


def _texts_of(invoice: EInvoice) -> list[str]:
    """Return what the data says in words."""
    values = [*invoice.fields.values(), *(line.get("description") for line in invoice.lines)]
    return [value for value in values if isinstance(value, str)]


def _placed(exact: Candidate, document: Document | None) -> Candidate:
    if document is None or not isinstance(exact.value, str):
        return exact
    wanted = "".join(exact.value.split())
    for index, marked in enumerate(document.rows):
        for number in marked.numbers:
            if number.money and plain(number.value) == wanted:
                return _at(exact, document, index, number.start, number.end)
        start = marked.row.text.find(exact.value)
        if start >= 0 and len(wanted) > 2:
            return _at(exact, document, index, start, start + len(exact.value))
        for day in marked.days:
            if day.value.isoformat() == wanted:
                return _at(exact, document, index, day.start, day.end)
    return exact


def _at(exact: Candidate, document: Document, row: int, start: int, end: int) -> Candidate:
    seen = document.read(exact.value, row, start, end, 1.0, "")
    reason = f"{exact.reason}; stands on the page"
    return Candidate(exact.value, 1.0, reason, E_INVOICE, seen.page, seen.box)


def _disagreements(invoice: EInvoice, document: Document) -> list[str]:
    """Return what the page is sure of and the data says otherwise: two invoices in one file."""
    seen = page_fields(document, lines.items(document))
    warnings = []
    for name in ("gross", "iban", "invoice_number"):
        page, data = seen.get(name), invoice.fields.get(name)
        if page is None or data is None or page[0].score < 0.9:
            continue
        if "".join(str(page[0].value).split()) != "".join(str(data).split()) and not (
            name == "gross" and abs(Decimal(str(data))) == abs(Decimal(str(page[0].value)))
        ):
            warnings.append(f"PAGE_DISAGREES:{name}")
    return warnings


def _screened(pages: list[Page], count: int | None, chosen: Mapping[str, Any]) -> dict[str, Any]:
    believed, warnings = screening.screened(pages)
    found = split.parts(believed)
    read = list(_documents(found, chosen))
    if not read:
        raise Unreadable("NOT_AN_INVOICE", "Nothing on the pages reads like an invoice.")
    first = {**read[0], "page_count": len(pages) if count is None else count}
    first["warnings"] = [*first["warnings"], *found.warnings, *warnings, *_unread(pages, count)]
    return {**first, "documents": read} if len(found.documents) > 1 else first


def _unread(pages: list[Page], count: int | None) -> Iterator[str]:
    """Yield UNRECOGNISED_PAGE:n of each picture left aside, UNREAD_PAGES:n-m behind the last."""
    yield from (f"UNRECOGNISED_PAGE:{page.index + 1}" for page in pages if page.unread)
    if count is not None and count > len(pages):
        yield f"UNREAD_PAGES:{len(pages) + 1}-{count}"


def _documents(found: split.Parts, chosen: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the reading of each document in a file that is one to be read."""
    several = len(found.documents) > 1
    for pages in found.documents:
        own = [page.at(index) for index, page in enumerate(pages)]
        try:
            answer = calibration.weighed(_from_pages(own, None, chosen))
        except Unreadable:
            if several:
                continue
            raise
        if not chosen.get("raw"):
            answer = calibration.calibrated(answer)
        split.renumber(answer, [page.index + 1 for page in pages])
        span = {"first_page": pages[0].index + 1, "last_page": pages[-1].index + 1}
        yield {**answer, **span} if several else answer


def _from_pages(pages: list[Page], count: int | None, chosen: Mapping[str, Any]) -> dict[str, Any]:
    if not any(page.words for page in pages):
        raise Unreadable("EMPTY", "No text was found on the pages.")
    document = mark(pages)
    items = lines.items(document)
    found = hints.raised(document, page_fields(document, items), chosen.get("hints") or {})
    named = {name: field(c[0], c[1:]) for name, c in found.items() if c[0].score >= MISSING}
    credit = named.get("document_type", {}).get("value") == "CREDIT_NOTE"
    read = [_line(document, line) for line in items]
    if credit and _negative(named):
        _turn(named, read)
    if not named:
        raise Unreadable("NOT_AN_INVOICE", "Nothing on the pages reads like an invoice.")
    return {
        "fields": named,
        "lines": read,
        "page_count": len(pages) if count is None else count,
        "language": document.language,
        "syntax": None,
        "warnings": [],
        "text": _text_of(document) if chosen.get("text") else [],
    }


def _text_of(document: Document) -> list[str]:
    """Return the text of each page, row by row as the rows stand on it."""
    pages: dict[int, list[str]] = {}
    for marked in document.rows:
        pages.setdefault(marked.row.page.index, []).append(marked.row.text)
    return ["\n".join(pages[index]) for index in sorted(pages)]


def page_fields(document: Document, items: list[lines.Line]) -> dict[str, list[Candidate]]:
    """Return each field's readings from the page, the chosen one first."""
    kinds = fields.document_type(document)
    issued = fields.issue_date(document)
    day = str(issued[0].value) if issued else None
    suppliers = parties.supplier_names(document)
    if _is_slip(document):
        slip = Candidate("RECEIPT", 0.8, "a till slip, and nothing that only invoices have")
        kinds = ranked([slip, *kinds])
    if kinds[0].value == "RECEIPT":
        suppliers = receipts.shop_names(document) or suppliers
    supplier = suppliers[0] if suppliers else None
    known = str(supplier.value) if supplier else None
    buyers = parties.buyer_names(document, known, named_only=kinds[0].value == "RECEIPT")
    found = {
        "document_type": kinds,
        "invoice_number": fields.invoice_number(document),
        "issue_date": issued,
        "due_date": fields.due_date(document, day),
        "supplier_name": suppliers,
        "supplier_address": parties.supplier_address(document, supplier) if supplier else [],
        "supplier_tax_ids": _joined(parties.supplier_tax_ids(document)),
        "iban": fields.iban(document),
        "buyer_name": buyers,
        "currency_code": fields.currency(document),
        "order_reference": fields.order_reference(document),
        **_totals(document, items),
    }
    # what stands nowhere was still concluded from how the pages were read
    source = document.pages[0].source
    return {
        name: [c if c.page else replace(c, source=source) for c in candidates]
        for name, candidates in found.items()
        if candidates
    }


def _is_slip(document: Document) -> bool:
    """Return whether a scan has what till slips have and nothing that only invoices have."""
    formal = any(
        hit.label.weight == STRONG and (hit.alone or hit.field not in SECTIONS)
        for hit in document.hits("iban", "due_date", "buyer_tax_id", *SECTIONS[:2])
    )
    page = document.pages[0]
    scanned = len(document.pages) == 1 and page.source == OCR
    slim = page.width < SLIM * page.height
    return scanned and not formal and bool(slim or document.hits("tendered"))


def _joined(ids: list[Candidate]) -> list[Candidate]:
    """Return all of the supplier's ids as one reading: a list, as sure as the surest."""
    if not ids:
        return []
    best = ids[0]
    values = [str(c.value) for c in ids]
    return [Candidate(values, best.score, best.reason, best.source, best.page, best.box)]


def _totals(document: Document, read: list[lines.Line]) -> dict[str, list[Candidate]]:
    rows = {row for line in read for row in line.rows if line.amount is not None}
    line_sum = sum((line.amount for line in read), Decimal(0)) if read else None
    paid = receipts.paid_total(document) or receipts.rounded_total(document)
    total = amounts.totals(document, rows & {line.row for line in read}, line_sum, paid)
    found = {
        name: [_plain(c) for c in (chosen, *total.others.get(name, []))]
        for name, chosen in total.chosen.items()
    }
    if total.parts:
        values = [
            {"rate": plain(p.rate), "base": plain(p.base.value), "amount": plain(p.tax.value)}
            for p in total.parts
        ]
        first = total.parts[0].tax
        found["tax_breakdown"] = [
            Candidate(values, first.score, first.reason, first.source, first.page, first.box)
        ]
    return found


def _plain(candidate: Candidate) -> Candidate:
    value = candidate.value
    text = plain(value) if isinstance(value, Decimal) else value
    return Candidate(
        text, candidate.score, candidate.reason, candidate.source, candidate.page, candidate.box
    )


def _line(document: Document, line: lines.Line) -> dict[str, Any]:
    page = document.rows[line.row].row.page
    sure = 0.95 if line.adds_up else 0.75
    return {
        "description": line.description,
        "quantity": _text(line.quantity),
        "unit": line.unit,
        "unit_price": _text(line.unit_price),
        "tax_rate": _text(line.tax_rate),
        "amount": plain(line.amount),
        "confidence": sure * (min(w.score for w in line.words) if line.words else 1.0),
        "source": page.source,
        "page": page.index + 1,
        "box": [round(edge, 4) for edge in box_of(line.words)] if line.words else None,
    }


def _text(number: Decimal | None) -> str | None:
    return None if number is None else plain(number)


def _negative(named: dict[str, Any]) -> bool:
    return str(named.get("gross", {}).get("value", "")).startswith("-")


def _turn(named: dict[str, Any], read: list[dict[str, Any]]) -> None:
    """Make a credit note's amounts positive: that it is one says the rest (EN 16931)."""
    for name in ("net", "tax", "gross", "amount_due", "line_total"):
        if name in named:
            named[name]["value"] = _turned(named[name]["value"])
    for part in named.get("tax_breakdown", {}).get("value", []):
        part["base"], part["amount"] = _turned(part["base"]), _turned(part["amount"])
    for line in read:
        line["amount"] = _turned(line["amount"])


def _turned(value: str) -> str:
    return plain(-Decimal(value))
