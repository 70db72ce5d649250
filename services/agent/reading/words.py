"""Words with their places on the page: from a PDF's text layer, or from OCR of a picture of it."""

import ctypes
import io
import math
from collections import Counter
from collections.abc import Container, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import pypdfium2  # type: ignore[import-untyped]
import pypdfium2.raw as pdfium  # type: ignore[import-untyped]
from PIL import Image, ImageOps, ImageSequence, UnidentifiedImageError

from . import layers, shield
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
    """Yield the pages one by one, each closed before the next is opened."""
    for index in range(len(pdf)):
        try:
            page = pdf[index]
        except pypdfium2.PdfiumError:
            yield Page(index, 1.0, 1.0, TEXT_LAYER)
            continue
        try:
            if has_size(page):
                yield _pdf_page(page, index, use_ocr=use_ocr)
            else:
                yield Page(index, 1.0, 1.0, TEXT_LAYER)
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
    good = sum(c.isalnum() for c in text)
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
        seen = shield.look(page, textpage, MAX_CHARACTERS)
        letters = list(_letters(textpage, upright, seen.unseen))
    finally:
        textpage.close()
    words = [w for run in _runs(letters) if (w := _word(run, upright, shown))]
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


Letter = tuple[str, Box] | None


def _letters(
    textpage: pypdfium2.PdfTextPage, place: "Placer", unseen: Container[int]
) -> Iterator[Letter]:
    """Yield each character and its box (y down), or None where a word ends or is not seen."""
    raw = textpage.raw
    box = pdfium.FS_RECTF()
    last: Box | None = None
    ended = False  # where PDFium takes the line to end: of a page in columns at each letter
    for index in range(min(pdfium.FPDFText_CountChars(raw), MAX_CHARACTERS)):
        code = pdfium.FPDFText_GetUnicode(raw, index)
        letter = chr(code) if 0 < code < 0x110000 else " "
        if letter in "\r\n" and pdfium.FPDFText_IsGenerated(raw, index) == 1:
            ended = True
            continue
        # halves of a surrogate pair are pictures (a telephone, an envelope), not letters
        nothing = letter.isspace() or 0xD800 <= code < 0xE000 or code in (0xFFFE, 0xFFFF)
        if nothing or index in unseen:
            yield None
            continue
        if not pdfium.FPDFText_GetLooseCharBox(raw, index, ctypes.byref(box)):
            continue
        placed = place(box.left, box.top, box.right, box.bottom)
        if ended and last is not None and _parted(last, placed):
            yield None
        yield letter, placed
        last, ended = placed, False


def _parted(last: Box, now: Box) -> bool:
    """Return whether two letters with a line's end between do not stand side by side."""
    return abs(now[0] - last[2]) > 0.15 * (last[3] - last[1]) or _jumps(last, now)


def _runs(letters: list[Letter]) -> Iterator[list[tuple[str, Box]]]:
    """Yield the letters of each word: a space, a jump or another line ends it."""
    run: list[tuple[str, Box]] = []
    for letter in letters:
        if letter is None or (run and _jumps(run[-1][1], letter[1])):
            if run:
                yield run
            run = []
        if letter is not None:
            run.append(letter)
    if run:
        yield run


def _jumps(last: Box, now: Box) -> bool:
    height = max(last[3] - last[1], 0.1)
    apart = abs((last[1] + last[3]) - (now[1] + now[3])) / 2 > 0.6 * height
    gap = now[0] - last[2]
    return apart or gap > 0.7 * height or gap < -1.5 * height


def _word(run: list[tuple[str, Box]], upright: "Placer", shown: "Placer") -> Word | None:
    text = "".join(letter for letter, _ in run)
    x0, y0 = min(b[0] for _, b in run), min(b[1] for _, b in run)
    x1, y1 = max(b[2] for _, b in run), max(b[3] for _, b in run)
    if x1 <= 0 or y1 <= 0 or x0 >= upright.width or y0 >= upright.height or y1 - y0 < 0.5:
        return None
    box = (x0, y0, x1, y1)
    if upright != shown:
        box = shown(*upright.back(box))
    return Word(text, x0, y0, x1, y1, _fractions(box, shown.width, shown.height))


def _fractions(box: Box, width: float, height: float) -> Box:
    x0, y0, x1, y1 = (
        box[0] / width,
        box[1] / height,
        box[2] / width,
        box[3] / height,
    )
    return max(0.0, x0), max(0.0, y0), min(1.0, x1), min(1.0, y1)


@dataclass(frozen=True)
class Placer:
    """From PDF user space to the page as it is shown: rotated, y down, origin at the top left."""

    left: float
    bottom: float
    width: float
    height: float
    rotation: int

    def __call__(self, left: float, top: float, right: float, bottom: float) -> Box:
        """Return the box of a character as (x0, y0, x1, y1)."""
        x0, x1 = sorted((left - self.left, right - self.left))
        y0, y1 = sorted((bottom - self.bottom, top - self.bottom))
        if self.rotation == 90:
            return y0, x0, y1, x1
        if self.rotation == 180:
            return self.width - x1, y0, self.width - x0, y1
        if self.rotation == 270:
            return self.width - y1, self.height - x1, self.width - y0, self.height - x0
        return x0, self.height - y1, x1, self.height - y0

    def back(self, box: Box) -> Box:
        """Return (left, top, right, bottom) in user space of a box on the page."""
        x0, y0, x1, y1 = box
        if self.rotation == 90:
            left, bottom, right, top = y0, x0, y1, x1
        elif self.rotation == 180:
            left, bottom, right, top = self.width - x1, y0, self.width - x0, y1
        elif self.rotation == 270:
            left, right = self.height - y1, self.height - y0
            bottom, top = self.width - x1, self.width - x0
        else:
            left, bottom, right, top = x0, self.height - y1, x1, self.height - y0
        return left + self.left, top + self.bottom, right + self.left, bottom + self.bottom


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
