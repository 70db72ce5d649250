"""Pages of a file as a file of their own: the same pages give the same bytes."""

import hashlib
import io
import re
from collections.abc import Mapping
from typing import Any, BinaryIO

import pypdfium2  # type: ignore[import-untyped]
from PIL import Image, TiffImagePlugin, UnidentifiedImageError

from .errors import Unreadable
from .words import open_pdf

# What PDFium writes of the moment and of chance: when a file was made, and twice the id of it, in
# the trailer.
_MADE = re.compile(rb"/CreationDate\(D:(\d{14})")
_ID = re.compile(rb"/ID\[<([0-9A-F]{32})><([0-9A-F]{32})>\]")
_TRAILER_BYTES = 1024


def cut(document: bytes | BinaryIO, _: str, span: Mapping[str, int]) -> dict[str, Any]:
    """Return {"data", "last_page"}: first_page to last_page (from 1; 0: the end) of a PDF or TIFF.

    What belongs to the whole file, as what is embedded in it, is left behind. Raises Unreadable.
    """
    data = document if isinstance(document, bytes) else document.read()
    parts = _of_pdf if b"%PDF-" in data[:1024] else _of_tiff
    made, last_page = parts(data, span["first_page"], span["last_page"])
    return {"data": made, "last_page": last_page}


def _of_pdf(data: bytes, first: int, last: int) -> tuple[bytearray, int]:
    pdf = open_pdf(data)
    made = pypdfium2.PdfDocument.new()
    out = io.BytesIO()
    last = last or len(pdf)
    try:
        made.import_pages(pdf, list(range(first - 1, last)))
        made.save(out)
    except pypdfium2.PdfiumError as error:
        raise Unreadable("BROKEN", "The pages cannot be taken out of the PDF.") from error
    finally:
        made.close()
        pdf.close()
    return _settled(bytearray(out.getbuffer())), last


def _settled(pdf: bytearray) -> bytearray:
    """Write a fixed day and an id that follows from the content over what is different each time.

    Nothing changes its place by that.
    """
    if made := _MADE.search(pdf):
        pdf[slice(*made.span(1))] = b"20000101000000"
    found = _ID.search(pdf, max(0, len(pdf) - _TRAILER_BYTES))
    places = [slice(*found.span(number)) for number in (1, 2)] if found else []
    for place in places:
        pdf[place] = bytes(32)
    name = hashlib.sha256(pdf).hexdigest()[:32].upper().encode()
    for place in places:
        pdf[place] = name
    return pdf


def _of_tiff(data: bytes, first: int, last: int) -> tuple[bytes, int]:
    """Write the frames without loss, one at a time in memory."""
    out = io.BytesIO()
    try:
        with (
            Image.open(io.BytesIO(data), formats=("TIFF",)) as picture,
            TiffImagePlugin.AppendingTiffWriter(out, new=True) as writer,
        ):
            last = last or getattr(picture, "n_frames", 1)
            for index in range(first - 1, last):
                picture.seek(index)
                packed = "group4" if picture.mode == "1" else "tiff_adobe_deflate"
                picture.save(writer, "TIFF", compression=packed)
                writer.newFrame()
    except UnidentifiedImageError as error:
        raise Unreadable("BROKEN", "The picture cannot be opened.") from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise Unreadable("BROKEN", "The picture is damaged.") from error
    return out.getvalue(), last
