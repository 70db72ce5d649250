"""A document's first pages as pictures, for a model that looks at what has no text layer."""

import io
from collections.abc import Iterator
from itertools import islice
from typing import Any, BinaryIO

from PIL import Image, ImageSequence, UnidentifiedImageError

from .errors import Unreadable
from .words import MAX_PIXELS, open_pdf, opened, shown

PAGES_MAX, SIDE = 2, 1_600
_GREYS = 16  # enough to read by, and a third of the bytes


def pictures(document: bytes | BinaryIO) -> list[bytes]:
    """Return the first two pages (PDF, PNG, JPEG or TIFF) as PNG, grey, 1,600 pixels high or wide.

    Broken pages of a PDF are passed over. Raises Unreadable.
    """
    data = document if isinstance(document, bytes) else document.read()
    pages = _of_pdf(data) if b"%PDF-" in data[:1024] else _of_image(data)
    return [_png(page) for page in islice(pages, PAGES_MAX)]


def _of_pdf(data: bytes) -> Iterator[Image.Image]:
    pdf = open_pdf(data)
    try:
        for page in opened(pdf):
            if page is not None:
                bitmap = page.render(scale=SIDE / max(*page.get_size(), 1.0), grayscale=True)
                yield bitmap.to_pil().copy()
                bitmap.close()
    finally:
        pdf.close()


def _of_image(data: bytes) -> Iterator[Image.Image]:
    Image.MAX_IMAGE_PIXELS = None  # the check below is stricter and has its own reason
    try:
        picture = Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "TIFF"))
        for frame in ImageSequence.Iterator(picture):
            if frame.width * frame.height > MAX_PIXELS:
                raise Unreadable("TOO_MANY_PIXELS", "The picture has more than 40 million pixels.")
            yield shown(frame)
    except UnidentifiedImageError as error:
        raise Unreadable("BROKEN", "The picture cannot be opened.") from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise Unreadable("BROKEN", "The picture is damaged.") from error


def _png(page: Image.Image) -> bytes:
    small = page.convert("L")
    small.thumbnail((SIDE, SIDE))
    step = 255 // (_GREYS - 1)
    table: Any = [round(grey / step) * step for grey in range(256)]
    out = io.BytesIO()
    small.point(table).save(out, "PNG", optimize=True)
    return out.getvalue()
