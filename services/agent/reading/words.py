"""Words with their places on the page: from a PDF's text layer, or from OCR of a picture of it."""

import io
import math
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pypdfium2  # type: ignore[import-untyped]
import pypdfium2.raw as pdfium  # type: ignore[import-untyped]
from numpy.typing import NDArray
from PIL import Image, ImageOps, ImageSequence, UnidentifiedImageError

from . import layers, layout, shield
from .errors import Unreadable
from .evidence import OCR, TEXT_LAYER, Box

if TYPE_CHECKING:
    from .ocr import Piece
    from .scans import Sheet

MAX_PAGES = 200
MAX_PIXELS = 40_000_000
MAX_CHARACTERS = 60_000  # of one page; a page of small print has 10,000
OCR_SIDE = 2400  # pixels of the long side of a page painted for OCR: skewed ones keep detail
SMALLEST_SIDE = 16


@dataclass(frozen=True)
class Word:
    """A word in layout units (y grows downwards, text upright), and its box on the page."""

    text: str
    x0: float
    y0: float
    x1: float
    y1: float
    box: Box
    score: float = 1.0

    @property
    def height(self) -> float:
        """Return the height of the word's line box."""
        return self.y1 - self.y0

    @property
    def middle(self) -> float:
        """Return the y of the word's middle."""
        return (self.y0 + self.y1) / 2


@dataclass(frozen=True)
class Page:
    """One page's words; width and height in the words' units; warnings of what is not believed."""

    index: int
    width: float
    height: float
    source: str
    words: list[Word] = field(default_factory=list)
    warnings: tuple[str, ...] = ()
    unread: bool = False  # it has a picture that was not to be recognised

    @cached_property
    def cells(self) -> list[list[layout.Segment]]:
        """Return the words row by row, the cells of each row from left to right."""
        return layout.cells_of(self)

    def at(self, index: int) -> "Page":
        """Return the page as the one with this index; what was found on it once holds there too."""
        page = replace(self, index=index)
        vars(page)["cells"] = self.cells
        return page


def open_pdf(data: bytes) -> pypdfium2.PdfDocument:
    """Open a PDF. Raises Unreadable (ENCRYPTED, BROKEN, EMPTY, TOO_MANY_PAGES)."""
    try:
        pdf = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        if pdfium.FPDF_GetLastError() == pdfium.FPDF_ERR_PASSWORD:
            raise Unreadable("ENCRYPTED", "The PDF asks for a password.") from error
        raise Unreadable("BROKEN", "The PDF cannot be opened.") from error
    if len(pdf) == 0:
        raise Unreadable("EMPTY", "The PDF has no pages.")
    if len(pdf) > MAX_PAGES:
        raise Unreadable("TOO_MANY_PAGES", f"The PDF has more than {MAX_PAGES} pages.")
    return pdf


def pdf_pages(pdf: pypdfium2.PdfDocument, *, use_ocr: bool = True) -> Iterator[Page]:
    """Yield the pages one by one."""
    for index, page in enumerate(opened(pdf)):
        if page is None:
            yield Page(index, 1.0, 1.0, TEXT_LAYER)
        else:
            yield _pdf_page(page, index, use_ocr=use_ocr)


def opened(pdf: pypdfium2.PdfDocument) -> Iterator[pypdfium2.PdfPage | None]:
    """Yield the pages, each closed before the next is opened; None for one that is broken."""
    for index in range(len(pdf)):
        try:
            page = pdf[index]
        except pypdfium2.PdfiumError:
            yield None
            continue
        try:
            yield page if has_size(page) else None
        finally:
            page.close()


def has_size(page: pypdfium2.PdfPage) -> bool:
    """Return whether a page can be painted; a broken file's may be endless or no number."""
    return all(math.isfinite(side) and side > 0 for side in page.get_size())


def _pdf_page(page: pypdfium2.PdfPage, index: int, *, use_ocr: bool) -> Page:
    layer = _layer(page, index)
    recognised_before = layer.source == OCR and use_ocr
    if not recognised_before and (_usable(layer.words) or not _has_picture(page)):
        return layer
    if not use_ocr:
        return replace(layer, unread=True)
    width, height = page.get_size()
    scale = min(OCR_SIDE / max(width, height, 1.0), 4.0)
    if width * height * scale * scale > MAX_PIXELS:
        raise Unreadable("TOO_MANY_PIXELS", "A page is too large to be recognised.")
    bitmap = page.render(scale=scale)
    picture = Image.fromarray(bitmap.to_numpy()[:, :, :3][:, :, ::-1])
    bitmap.close()
    seen = picture_page(picture, index)
    told = list(layer.warnings)
    if recognised_before:
        pair = ([(w.text, w.box) for w in each.words] for each in (layer, seen))
        told += [each.warning(index + 1) for each in layers.disagreements(*pair)]
    return replace(seen, warnings=tuple(told))


def _usable(words: list[Word]) -> bool:
    """Return whether a text layer says something: enough letters, and mapped to real characters."""
    text = "".join(w.text for w in words)
    good = sum(map(str.isalnum, text))
    bad = sum(c == "\ufffd" or 0xE000 <= ord(c) <= 0xF8FF or ord(c) < 32 for c in text)
    return good >= 20 and bad <= 0.2 * len(text)


def _has_picture(page: pypdfium2.PdfPage) -> bool:
    return any(True for _ in page.get_objects(max_depth=1))


def _layer(page: pypdfium2.PdfPage, index: int) -> Page:
    """Return the words of the text layer, set upright whichever way the page is shown."""
    shown = _placer(page, page.get_rotation())
    textpage = page.get_textpage()
    try:
        upright = _placer(page, _text_turn(textpage))
        characters = shield.Characters(textpage, MAX_CHARACTERS)
        seen = shield.look(page, characters)
        letters = _letters(characters, upright, seen.unseen)
    finally:
        textpage.close()
    words = list(_words(letters, upright, shown))
    warnings = tuple(each.warning(index + 1) for each in seen.hidden)
    source = OCR if seen.scan else TEXT_LAYER
    return Page(index, upright.width, upright.height, source, words, warnings)


def _text_turn(textpage: pypdfium2.PdfTextPage) -> int:
    """Return by how many degrees (0, 90, 180, 270) most of the text is turned in user space."""
    raw = textpage.raw
    count = min(pdfium.FPDFText_CountChars(raw), MAX_CHARACTERS)
    turns: Counter[int] = Counter()
    for index in range(0, count, max(1, count // 200)):
        angle = pdfium.FPDFText_GetCharAngle(raw, index)
        if angle >= 0:
            turns[-round(angle / (math.pi / 2)) % 4] += 1  # it counts clockwise
    return turns.most_common(1)[0][0] * 90 if turns else 0


@dataclass(frozen=True)
class _Letters:
    """The letters of a page that are seen, their boxes (y down), and which begin a word."""

    text: str
    boxes: shield.Boxes
    begins: NDArray[np.bool_]


def _letters(characters: shield.Characters, place: "Placer", unseen: Collection[int]) -> _Letters:
    """Return the letters; a word ends at a space, a jump, another line and what is not seen."""
    codes = characters.codes
    text = [chr(code) if 0 < code < 0x110000 else " " for code in codes.tolist()]
    # where PDFium takes the line to end: of a page in columns at each letter
    ended = np.array([
        letter in "\r\n" and pdfium.FPDFText_IsGenerated(characters.raw, at) == 1
        for at, letter in enumerate(text)
    ], bool)  # fmt: skip
    # halves of a surrogate pair are pictures (a telephone, an envelope), not letters
    nothing = np.array([letter.isspace() for letter in text], bool)
    nothing |= ((codes >= 0xD800) & (codes < 0xE000)) | (codes == 0xFFFE) | (codes == 0xFFFF)
    nothing[list(unseen)] = True
    nothing &= ~ended
    letters = np.flatnonzero(characters.boxed & ~nothing & ~ended)
    boxes = place(characters.boxes[letters])
    parted, lines = (np.diff(np.cumsum(gaps)[letters]) > 0 for gaps in (nothing, ended))
    parted |= _jumps(boxes) | (lines & _apart(boxes))
    begins = np.concatenate([np.ones(min(len(letters), 1), bool), parted])
    return _Letters("".join(text[at] for at in letters.tolist()), boxes, begins)


def _apart(boxes: shield.Boxes) -> NDArray[np.bool_]:
    """Return which letters do not stand close beside the one before them."""
    last, now = boxes[:-1], boxes[1:]
    apart: NDArray[np.bool_] = np.abs(now[:, 0] - last[:, 2]) > 0.15 * (last[:, 3] - last[:, 1])
    return apart


def _jumps(boxes: shield.Boxes) -> NDArray[np.bool_]:
    """Return which letters stand on another line than the one before them, or far from it."""
    last, now = boxes[:-1], boxes[1:]
    height = np.maximum(last[:, 3] - last[:, 1], 0.1)
    apart = np.abs((last[:, 1] + last[:, 3]) - (now[:, 1] + now[:, 3])) / 2 > 0.6 * height
    gap = now[:, 0] - last[:, 2]
    jumps: NDArray[np.bool_] = apart | (gap > 0.7 * height) | (gap < -1.5 * height)
    return jumps


def _words(letters: _Letters, upright: "Placer", shown: "Placer") -> Iterator[Word]:
    """Yield the words that lie on the page."""
    starts = np.flatnonzero(letters.begins)
    if not len(starts):
        return
    edges = (np.minimum, np.minimum, np.maximum, np.maximum)
    boxes = np.stack(
        [least.reduceat(letters.boxes[:, at], starts) for at, least in enumerate(edges)], axis=1
    )
    on_page = boxes if upright == shown else shown(upright.back(boxes))
    fractions = on_page / (shown.width, shown.height, shown.width, shown.height)
    fractions = np.hstack([np.maximum(fractions[:, :2], 0.0), np.minimum(fractions[:, 2:], 1.0)])
    ends = [*starts[1:].tolist(), len(letters.text)]
    for start, end, (x0, y0, x1, y1), (left, top, right, bottom) in zip(
        starts.tolist(), ends, boxes.tolist(), fractions.tolist(), strict=True
    ):
        outside = x1 <= 0 or y1 <= 0 or x0 >= upright.width or y0 >= upright.height
        if not outside and y1 - y0 >= 0.5:
            yield Word(letters.text[start:end], x0, y0, x1, y1, (left, top, right, bottom))


@dataclass(frozen=True)
class Placer:
    """From PDF user space to the page as it is shown: rotated, y down, origin at the top left."""

    left: float
    bottom: float
    width: float
    height: float
    rotation: int

    def __call__(self, boxes: shield.Boxes) -> shield.Boxes:
        """Return boxes (left, top, right, bottom) as (x0, y0, x1, y1) on the page."""
        left, top, right, bottom = (boxes - (self.left, self.bottom, self.left, self.bottom)).T
        x0, x1 = np.minimum(left, right), np.maximum(left, right)
        y0, y1 = np.minimum(bottom, top), np.maximum(bottom, top)
        if self.rotation == 90:
            edges = y0, x0, y1, x1
        elif self.rotation == 180:
            edges = self.width - x1, y0, self.width - x0, y1
        elif self.rotation == 270:
            edges = self.width - y1, self.height - x1, self.width - y0, self.height - x0
        else:
            edges = x0, self.height - y1, x1, self.height - y0
        return np.stack(edges, axis=1)

    def back(self, boxes: shield.Boxes) -> shield.Boxes:
        """Return boxes on the page as (left, top, right, bottom) in user space."""
        x0, y0, x1, y1 = boxes.T
        if self.rotation == 90:
            left, bottom, right, top = y0, x0, y1, x1
        elif self.rotation == 180:
            left, bottom, right, top = self.width - x1, y0, self.width - x0, y1
        elif self.rotation == 270:
            left, right = self.height - y1, self.height - y0
            bottom, top = self.width - x1, self.width - x0
        else:
            left, bottom, right, top = x0, self.height - y1, x1, self.height - y0
        edges = left + self.left, top + self.bottom, right + self.left, bottom + self.bottom
        return np.stack(edges, axis=1)


def _placer(page: pypdfium2.PdfPage, rotation: int) -> Placer:
    left, bottom, _, _ = page.get_bbox()
    width, height = page.get_size()
    if (page.get_rotation() - rotation) % 180:
        width, height = height, width
    return Placer(left, bottom, width, height, rotation)


def image_pages(data: bytes) -> Iterator[Page]:
    """Yield the pages of a PNG, JPEG or TIFF. Raises Unreadable (BROKEN, EMPTY, TOO_MANY_…)."""
    for index, frame in enumerate(image_frames(data)):
        yield picture_page(frame, index)


def image_frames(data: bytes) -> Iterator[Image.Image]:
    """Yield the pictures in a PNG, JPEG or TIFF as people see them, RGB. Raises Unreadable."""
    Image.MAX_IMAGE_PIXELS = None  # the check below is stricter and has its own reason
    try:
        picture = Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "TIFF"))
        if getattr(picture, "n_frames", 1) > MAX_PAGES:
            raise Unreadable("TOO_MANY_PAGES", f"The file has more than {MAX_PAGES} pages.")
        for frame in ImageSequence.Iterator(picture):
            if frame.width * frame.height > MAX_PIXELS:
                raise Unreadable("TOO_MANY_PIXELS", "The picture has more than 40 million pixels.")
            if min(frame.size) < SMALLEST_SIDE:
                raise Unreadable("EMPTY", "The picture is too small to hold text.")
            yield shown(frame)
    except UnidentifiedImageError as error:
        raise Unreadable("BROKEN", "The picture cannot be opened.") from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise Unreadable("BROKEN", "The picture is damaged.") from error


def shown(frame: Image.Image) -> Image.Image:
    """Return a frame as people see it: turned by its EXIF mark, transparency on white, RGB."""
    upright = ImageOps.exif_transpose(frame)
    if upright.mode.startswith(("I", "F")):  # more than 8 bits a sample: they would be cut off
        samples = np.asarray(upright, np.float32)
        most = max(float(samples.max()), 1.0)
        upright = Image.fromarray((samples.clip(0) * (255 / most)).astype(np.uint8))
    if upright.mode in ("RGBA", "LA", "PA") or "transparency" in upright.info:
        white = Image.new("RGBA", upright.size, "white")
        white.alpha_composite(upright.convert("RGBA"))
        upright = white
    return upright.convert("RGB")


def picture_page(picture: Image.Image, index: int) -> Page:
    """Recognise the words on a picture of a page and set them upright."""
    from . import scans  # noqa: PLC0415 - OpenCV, 40 MB, only for pictures

    sheet = scans.read(np.asarray(picture))
    skew = _skew(sheet.pieces)
    words = [_ocr_word(piece, sheet, skew) for piece in sheet.pieces]
    return Page(index, sheet.width, sheet.height, OCR, words)


def _skew(pieces: "list[Piece]") -> float:
    """Return the angle of the text lines in radians (median of the long ones)."""
    angles = sorted(p.angle for p in pieces if p.width > 3 * p.height)
    middle = angles[len(angles) // 2] if angles else 0.0
    return middle if 0.003 < abs(middle) < 0.35 else 0.0


def _ocr_word(piece: "Piece", sheet: "Sheet", skew: float) -> Word:
    """Return a piece as a word: layout box turned by the skew, page box as it is on the page."""
    cos, sin = math.cos(-skew), math.sin(-skew)
    x, y = piece.x - sheet.width / 2, piece.y - sheet.height / 2
    middle_x = x * cos - y * sin + sheet.width / 2
    middle_y = x * sin + y * cos + sheet.height / 2
    half_w, half_h = piece.width / 2, piece.height / 2
    return Word(
        piece.text,
        middle_x - half_w,
        middle_y - half_h,
        middle_x + half_w,
        middle_y + half_h,
        sheet.box(piece),
        piece.score,
    )
