"""Pages as pictures with a box around everything that was read, so that a person sees it."""

import io
from collections.abc import Iterator
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from .evidence import E_INVOICE, OCR, TEXT_LAYER, Box
from .words import has_size, image_frames, open_pdf

SIDE = 1600  # pixels of a picture's long side
TEXT = 15
PAGES_MAX = 20
LONGEST = 48  # letters of a value that are shown
COLOURS = {
    E_INVOICE: (20, 130, 60),
    TEXT_LAYER: (20, 80, 190),
    OCR: (200, 90, 0),
    "MODEL": (140, 30, 150),
}
LINE = (110, 110, 110)


def pictures(data: bytes, answer: dict[str, Any]) -> Iterator[tuple[int, Image.Image]]:
    """Yield the pages (from 1) of a PDF, PNG, JPEG or TIFF as RGB pictures, boxes drawn on them.

    `answer` is what `read_document` says of it. A box is green for a value from the e-invoice,
    blue from the text layer, orange from OCR, purple from a model, and grey around a line.
    """
    documents = answer.get("documents") or [answer]
    for page, picture in enumerate(_pages(data), start=1):
        if page > PAGES_MAX:
            return
        fields = [
            (name, field)
            for document in documents
            for name, field in document["fields"].items()
            if field["page"] == page and field["box"]
        ]
        rows = [x for d in documents for x in d["lines"] if x["page"] == page and x["box"]]
        drawing = _Drawing(picture, [each["box"] for each in (*rows, *(f for _, f in fields))])
        for row in rows:
            drawing.line(row)
        for name, field in fields:
            drawing.field(name, field)
        yield page, picture


def _pages(data: bytes) -> Iterator[Image.Image]:
    if b"%PDF-" not in data[:1024]:
        if data.lstrip()[:1] != b"<":
            for frame in image_frames(data):
                frame.thumbnail((SIDE, SIDE))
                yield frame
        return
    pdf = open_pdf(data)
    try:
        for index in range(min(len(pdf), PAGES_MAX)):
            page = pdf[index]
            if has_size(page):
                bitmap = page.render(scale=SIDE / max(*page.get_size(), 1.0))
                yield bitmap.to_pil().convert("RGB")
                bitmap.close()
            else:
                yield Image.new("RGB", (SIDE, SIDE), "white")
            page.close()
    finally:
        pdf.close()


class _Drawing:
    """One page's boxes; words are put where they cover neither a box nor each other."""

    def __init__(self, picture: Image.Image, boxes: list[Box]) -> None:
        self._pen = ImageDraw.Draw(picture, "RGBA")
        self._size = picture.size
        self._font = ImageFont.load_default(TEXT)
        self._taken = [self._pixels(box) for box in boxes]

    def line(self, line: dict[str, Any]) -> None:
        """Draw the box of an invoice line, its amount and how sure it is at its right end."""
        box = self._pixels(line["box"])
        self._pen.rectangle(box, outline=(*LINE, 200), width=1)
        self._words(f"{line['amount']} {line['confidence']:.2f}", box, LINE, beside=True)

    def field(self, name: str, field: dict[str, Any]) -> None:
        """Draw the box of a field, and its name, value and confidence above it."""
        colour = COLOURS.get(field["source"], LINE)
        box = self._pixels(field["box"])
        self._pen.rectangle(box, outline=colour, fill=(*colour, 36), width=2)
        value = _short(field["value"])
        self._words(f"{name} {value} {field['confidence']:.2f}", box, colour, beside=False)

    def _pixels(self, box: Box) -> Box:
        width, height = self._size
        x0, y0, x1, y1 = box
        return x0 * width - 2, y0 * height - 2, x1 * width + 2, y1 * height + 2

    def _words(self, text: str, box: Box, colour: tuple[int, int, int], *, beside: bool) -> None:
        wide, high = self._pen.textlength(text, self._font) + 4, TEXT + 3
        x0, y0 = self._place(box, wide, high, beside=beside)
        spot = (x0, y0, x0 + wide, y0 + high)
        self._taken.append(spot)
        self._pen.rectangle(spot, fill=(255, 255, 255, 225))
        self._pen.text((x0 + 2, y0), text, fill=colour, font=self._font)

    def _place(self, box: Box, wide: float, high: float, *, beside: bool) -> tuple[float, float]:
        """Return where words of this size cover no others: above, below, beside, further off."""
        width, height = self._size
        x0, y0, x1, y1 = box
        right, left = (x1 + 3, y0), (x0 - wide - 3, y0)
        around = [(x0, y0 - high), (x0, y1), right, left]
        spots = [right, left] if beside else around
        for step in range(2, 6):
            spots += [(x0, y0 - high * step), (x0, y1 + high * (step - 1)), (right[0], y0 - high)]
        inside = [
            (min(max(0.0, x), max(0.0, width - wide)), min(max(0.0, y), height - high))
            for x, y in spots
        ]
        free = (spot for spot in inside if not self._covers(spot, wide, high))
        return next(free, inside[0])

    def _covers(self, spot: tuple[float, float], wide: float, high: float) -> bool:
        x, y = spot
        return any(
            x < t[2] and t[0] < x + wide and y < t[3] and t[1] < y + high for t in self._taken
        )


def _short(value: Any) -> str:
    if isinstance(value, list):
        value = "; ".join(
            f"{v['rate']} %: {v['amount']}" if isinstance(v, dict) else str(v) for v in value
        )
    text = " ".join(str(value).split())
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def png(picture: Image.Image) -> bytes:
    """Return a picture as PNG."""
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()
