"""Looks up on a document's pages where the values stand that a person has corrected."""

from collections.abc import Mapping
from itertools import islice
from typing import Any, BinaryIO

from . import hints, screening
from .errors import Unreadable
from .marking import mark
from .reader import PAGES_READ, kind_of
from .words import Page, image_pages, open_pdf, pdf_pages


def learn(
    document: bytes | BinaryIO, media_type: str = "", options: Mapping[str, Any] | None = None
) -> dict[str, list[hints.Hint]]:
    """Return hints for the option `hints` of read_document, by field.

    Options: values (field to its right value as text: dates ISO, amounts decimal), ocr (bool,
    default true). A value that does not stand on a page gives no hint. Raises Unreadable.
    """
    chosen = dict(options or {})
    data = document if isinstance(document, bytes) else document.read()
    pages = _pages(data, media_type, use_ocr=bool(chosen.get("ocr", True)))
    believed, _ = screening.screened(pages)
    if not any(page.words for page in believed):
        raise Unreadable("EMPTY", "No text was found on the pages.")
    return hints.learned(mark(believed), chosen.get("values") or {})


def _pages(data: bytes, media_type: str, *, use_ocr: bool) -> list[Page]:
    kind = kind_of(data, media_type)
    if kind == "xml":
        return []
    if kind == "image":
        return list(islice(image_pages(data), PAGES_READ))
    pdf = open_pdf(data)
    try:
        return list(islice(pdf_pages(pdf, use_ocr=use_ocr), PAGES_READ))
    finally:
        pdf.close()
