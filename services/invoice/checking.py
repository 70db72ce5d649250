"""Says what kind of document a file is and whether it may be kept; runs in a sandbox.

What takes too much to look at is stopped by the sandbox's limits.
"""

from collections.abc import Callable
from typing import BinaryIO
from xml.parsers import expat

import pypdfium2  # type: ignore[import-untyped]
from PIL import Image
from pypdfium2 import raw

HEAD_BYTES = 1024
PAGES_MAX = 200
# So many pages are opened, the others only counted: what only reading finds, reading tells.
PAGES_OPENED = 5
PIXELS_MAX = 40_000_000
DEPTH_MAX = 200

PDF, XML = "application/pdf", "application/xml"
PNG, JPEG, TIFF = "image/png", "image/jpeg", "image/tiff"
_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", PNG),
    (b"\xff\xd8\xff", JPEG),
    (b"II*\0", TIFF),
    (b"MM\0*", TIFF),
    (b"\xff\xfe<\0", XML),
    (b"\xfe\xff\0<", XML),
)
_FORMATS = ("PNG", "JPEG", "TIFF")

Image.init()  # here, so that no child has to load the formats


class Refused(Exception):  # noqa: N818  # says what is done
    """The document is not taken: TYPE_UNSUPPORTED, ENCRYPTED, BROKEN or FORBIDDEN, and why."""

    def __init__(self, reason: str, explanation: str) -> None:
        super().__init__(explanation)
        self.reason = reason


def inspect(file: BinaryIO) -> dict[str, str]:
    """Return {"content_type"}, or {"refusal", "explanation"} for what must not be kept."""
    try:
        content_type = content_type_of(file.read(HEAD_BYTES))
        file.seek(0)
        _CHECKS[content_type](file)
    except Refused as refused:
        return {"refusal": refused.reason, "explanation": str(refused)}
    except MemoryError:
        raise  # the sandbox names it
    except Exception as error:  # noqa: BLE001  # a parser may raise anything on hostile bytes
        return {"refusal": "BROKEN", "explanation": f"It cannot be read ({type(error).__name__})."}
    return {"content_type": content_type}


def content_type_of(head: bytes) -> str:
    """Return the type by a file's first bytes. Raises Refused for any that we do not read."""
    for signature, content_type in _SIGNATURES:
        if head.startswith(signature):
            return content_type
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(b"<") and not text[:14].lower().startswith((b"<!doctype html", b"<html")):
        return XML
    if b"%PDF-" in head:
        return PDF
    raise Refused("TYPE_UNSUPPORTED", "It is no PDF, PNG, JPEG, TIFF or XML.")


def _check_pdf(file: BinaryIO) -> None:
    try:
        pdf = pypdfium2.PdfDocument(file)
    except pypdfium2.PdfiumError as error:
        if error.err_code in (raw.FPDF_ERR_PASSWORD, raw.FPDF_ERR_SECURITY):
            raise Refused("ENCRYPTED", "The PDF needs a password.") from None
        raise Refused("BROKEN", "The PDF is damaged or incomplete.") from None
    _check_count(len(pdf))
    for index in range(min(len(pdf), PAGES_OPENED)):
        try:
            pdf[index].close()  # its content was parsed, and a bomb in it has gone off
        except pypdfium2.PdfiumError:
            raise Refused("BROKEN", f"Page {index + 1} of the PDF is damaged.") from None
    pdf.close()


def _check_image(file: BinaryIO) -> None:
    Image.MAX_IMAGE_PIXELS = None  # our own limit below comes before any pixel is decoded
    try:
        picture = Image.open(file, formats=_FORMATS)
        for index in range(PAGES_MAX + 1):
            _check_count(index + 1)
            if picture.width * picture.height > PIXELS_MAX:
                raise Refused("FORBIDDEN", f"It has more than {PIXELS_MAX // 10**6} megapixels.")
            if index < PAGES_OPENED:
                picture.draft("RGB", (1, 1))  # of a JPEG an eighth will do
                picture.load()
            if picture.format != "TIFF" or not _turn(picture, index + 1):
                return
    except (OSError, SyntaxError, ValueError):
        raise Refused("BROKEN", "The image is damaged or incomplete.") from None


def _turn(picture: Image.Image, page: int) -> bool:
    """Go to a page of a picture; False if there is none."""
    try:
        picture.seek(page)
    except EOFError:
        return False
    return True


def _check_xml(file: BinaryIO) -> None:
    depth = 0

    def open_element(name: str, _: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > DEPTH_MAX:
            raise Refused("FORBIDDEN", f"The XML is nested deeper than {DEPTH_MAX} elements.")
        if depth == 1 and name.rpartition(" ")[2].lower() == "html":
            raise Refused("TYPE_UNSUPPORTED", "It is a web page.")

    def close_element(_: str) -> None:
        nonlocal depth
        depth -= 1

    def refuse_doctype(*_: object) -> None:
        raise Refused("FORBIDDEN", "The XML has a DOCTYPE; it could name other files or expand.")

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartElementHandler = open_element
    parser.EndElementHandler = close_element
    parser.StartDoctypeDeclHandler = refuse_doctype
    try:
        parser.ParseFile(file)
    except expat.ExpatError as error:
        raise Refused("BROKEN", f"The XML is not well-formed: {error}"[:300]) from None


def _check_count(pages: int) -> None:
    if pages > PAGES_MAX:
        raise Refused("FORBIDDEN", f"It has more than {PAGES_MAX} pages.")


_CHECKS: dict[str, Callable[[BinaryIO], None]] = {
    PDF: _check_pdf,
    PNG: _check_image,
    JPEG: _check_image,
    TIFF: _check_image,
    XML: _check_xml,
}
