"""What a person cannot see of a page's text layer: found by painting the page with and without it.

A letter counts as seen where the page changes when the text is taken away. So it is one rule for
text without ink, in the colour of its ground, painted over, clipped away or on a layer that is off.
"""

import ctypes
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import pypdfium2  # type: ignore[import-untyped]
import pypdfium2.raw as pdfium  # type: ignore[import-untyped]
from numpy.typing import NDArray

from .evidence import Box

SCALE, SIDE_MAX = 1.0, 1_600  # pixels a point; pixels of the longer side
# Of 255: so much blue, green or red a letter changes, as the eye weighs them; a large one less.
_SEEN, _SEEN_LARGE = (67, 20, 34), (27, 8, 14)
LARGE = 24.0  # points: a watermark is pale, and seen
SEEN_SHARE = 0.1  # of a letter's box, at least; what a cover leaves of one is less
TINY = 3.3  # points from the top of the tallest letter to the foot of the lowest: set in 3 points
LABEL_SIDE = 150  # points of the shorter side of pages that are drawn small, to be enlarged
STACKED_MAX = 12  # pieces of text over others that are tried one by one; more cannot be read
INK, INK_SHARE = 40, 0.04  # how dark, and how much of a word's box, the writing in a picture is
LAYER_SHARE = 0.5  # of a page's letters are recognised ones where the text layer is a scan's
PICTURE_SHARE = 0.4  # of a page is covered by pictures where one may have a layer of its words
FINDINGS_MAX, SHOWN_LENGTH = 10, 60
_UNPAINTED = (pdfium.FPDF_TEXTRENDERMODE_INVISIBLE, pdfium.FPDF_TEXTRENDERMODE_CLIP)
_DEPTH_MAX = 8
_BANDS = 150  # of a page, each about as high as half a line

OUTSIDE, SMALL, UNPAINTED = "outside the page", "too small to read", "not to be seen"
Image = NDArray[np.uint8]
Boxes = NDArray[np.float64]

# Once so much is freed the C library keeps what is smaller. Otherwise the pictures of each page are
# given back to the system and asked of it anew, a tenth of the time that a page takes.
np.empty(8 << 20, np.uint8)


@dataclass(frozen=True)
class Hidden:
    """Text that a person cannot see: why, and its box in fractions of the page."""

    why: str
    text: str
    box: Box

    def warning(self, page: int) -> str:
        """Return HIDDEN_TEXT:PAGE:X0,Y0,X1,Y1:WHY:TEXT, the text shortened; page from 1."""
        box = ",".join(f"{edge:.3f}" for edge in self.box)
        text = self.text if len(self.text) <= SHOWN_LENGTH else f"{self.text[:SHOWN_LENGTH]}…"
        return f"HIDDEN_TEXT:{page}:{box}:{self.why}:{text}"


@dataclass(frozen=True)
class Look:
    """The indexes of the letters that a person cannot see, what they say, and whether of a scan.

    The layer of recognised words under or over a scan is text that is not painted too; it is seen
    where the picture has writing in its place.
    """

    unseen: frozenset[int] = frozenset()
    hidden: tuple[Hidden, ...] = ()
    scan: bool = False


class Characters:
    """The first characters of a text layer, so many: codes, and boxes in user space.

    boxes: left, top, right, bottom; `boxed` says which characters have one.
    """

    def __init__(self, textpage: pypdfium2.PdfTextPage, limit: int) -> None:
        self.raw = raw = textpage.raw
        count = min(pdfium.FPDFText_CountChars(raw), limit)
        boxes = (pdfium.FS_RECTF * count)()
        boxed = [pdfium.FPDFText_GetLooseCharBox(raw, at, box) for at, box in enumerate(boxes)]
        codes = [pdfium.FPDFText_GetUnicode(raw, at) for at in range(count)]
        self.boxed, self.codes = np.array(boxed, bool), np.array(codes, np.int64)
        self.boxes = np.frombuffer(boxes, np.float32).reshape(-1, 4).astype(np.float64)


def look(page: pypdfium2.PdfPage, characters: Characters) -> Look:
    """Compare the characters of a page's text layer with the page as it is painted."""
    letters = _Letters(characters, _fraction_of(page))
    if not letters.indexes or min(page.get_size()) < 1:
        return Look()
    middles = (letters.boxes[:, :2] + letters.boxes[:, 2:]) / 2
    outside = ((middles < 0) | (middles > 1)).any(axis=1)
    small = letters.sizes < TINY
    small &= min(page.get_size()) > LABEL_SIDE
    unpainted, recognised = _unpainted(page, letters, ~outside)
    scan = bool(recognised.mean() >= LAYER_SHARE)
    if not scan:  # a picture behind a page's own text has no layer of recognised words
        unpainted |= recognised
    why = np.full(len(letters.indexes), "", dtype=object)
    for mask, reason in ((unpainted, UNPAINTED), (small, SMALL), (outside, OUTSIDE)):
        why[mask] = reason
    unseen = frozenset(i for i, w in zip(letters.indexes, why, strict=True) if w)
    return Look(unseen, tuple(islice(_told(letters, why), FINDINGS_MAX)), scan)


class _Letters:
    """The letters of a text layer: index, character, box in fractions of the page, size."""

    def __init__(self, characters: Characters, place: Boxes) -> None:
        codes = characters.codes
        indexes = np.flatnonzero(characters.boxed & (codes > 32) & (codes < 0xD800))
        self.raw = characters.raw
        self.indexes: list[int] = indexes.tolist()
        self.codes = codes[indexes]
        self.characters = [chr(code) for code in self.codes.tolist()]
        self.solid = np.array([c.isalnum() for c in self.characters], bool)
        user = characters.boxes[indexes][:, [0, 3, 2, 1]]
        self.sizes = np.maximum(np.abs(user[:, 2] - user[:, 0]), np.abs(user[:, 3] - user[:, 1]))
        corners = np.stack([user[:, :2] @ place[:2] + place[2], user[:, 2:] @ place[:2] + place[2]])
        self.boxes = np.hstack([corners.min(axis=0), corners.max(axis=0)])

    def owner(self, at: int) -> int:
        """Return the address of the object that paints a letter; 0 if none does."""
        return _address(pdfium.FPDFText_GetTextObject(self.raw, self.indexes[at]))


def _fraction_of(page: pypdfium2.PdfPage) -> Boxes:
    """Return the map (3 x 2) from user space to fractions of the page as it is shown."""
    side = 1_000_000
    x, y = ctypes.c_int(), ctypes.c_int()
    points = []
    for given in ((0.0, 0.0), (100.0, 0.0), (0.0, 100.0)):
        pdfium.FPDF_PageToDevice(
            page.raw, 0, 0, side, side, 0, *given, ctypes.byref(x), ctypes.byref(y)
        )
        points.append((x.value / side, y.value / side))
    zero, right, up = np.array(points)
    return np.stack([(right - zero) / 100, (up - zero) / 100, zero])


def _unpainted(
    page: pypdfium2.PdfPage, letters: _Letters, inside: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which letters on the page change nothing of what is painted, and those of a scan."""
    texts, pictures = _objects(page)
    bare = full = _paint(page)
    inkless = {
        address for address, each in texts.items()
        if pdfium.FPDFTextObj_GetTextRenderMode(each) in _UNPAINTED
    }  # fmt: skip
    seen = np.zeros(len(letters.indexes), bool)
    if len(inkless) < len(texts):
        for each in texts.values():
            pdfium.FPDFPageObj_SetIsActive(each, False)  # pdfium's own signature
        bare = _paint(page)
        for each in texts.values():
            pdfium.FPDFPageObj_SetIsActive(each, True)
        seen = _touched(_changed(full, bare), letters.boxes)
        if (pale := ~seen & (letters.sizes > LARGE)).any():
            seen |= pale & _touched(_changed(full, bare, _SEEN_LARGE), letters.boxes)
    if inkless:
        count = len(letters.indexes)
        seen &= np.array([letters.owner(at) not in inkless for at in range(count)], bool)
    solid = letters.solid & seen
    if (first := _stacked(letters, solid, letters.codes) & solid).any():
        # The letters of a ligature stand in one place too, but are painted by one object.
        owners = np.zeros(len(solid), np.int64)
        owners[first] = [letters.owner(int(at)) for at in np.flatnonzero(first)]
        stacked = np.flatnonzero(_stacked(letters, first, owners) & first)
        seen[stacked] = _each_seen(page, full, texts, letters, stacked)
    hidden = _followed(~seen & inside, letters)
    recognised = _recognised(bare, letters, hidden, pictures)
    return hidden & ~recognised, recognised


def _objects(page: pypdfium2.PdfPage) -> tuple[dict[int, Any], list[Boxes]]:
    """Return the page's pieces of text by address, and the boxes of its pictures.

    What lies in a form lies, as far as is known, anywhere in the form's box.
    """
    texts, pictures, place = {}, {}, _fraction_of(page)
    todo: list[tuple[Any, Any, int]] = []
    for index in range(pdfium.FPDFPage_CountObjects(page.raw)):
        each = pdfium.FPDFPage_GetObject(page.raw, index)
        todo.append((each, each, 0))
    while todo:
        each, outer, depth = todo.pop()
        kind = pdfium.FPDFPageObj_GetType(each)
        if kind == pdfium.FPDF_PAGEOBJ_TEXT:
            texts[_address(each)] = each
        elif kind == pdfium.FPDF_PAGEOBJ_IMAGE:
            pictures[_address(outer)] = outer
        elif kind == pdfium.FPDF_PAGEOBJ_FORM and depth < _DEPTH_MAX:
            inner = range(pdfium.FPDFFormObj_CountObjects(each))
            todo += [(pdfium.FPDFFormObj_GetObject(each, i), outer, depth + 1) for i in inner]
    boxes = (_bounds(each, place) for each in pictures.values())
    return texts, [box for box in boxes if box is not None]


def _address(thing: Any) -> int:
    return ctypes.cast(thing, ctypes.c_void_p).value or 0


def _bounds(thing: Any, place: Boxes) -> Boxes | None:
    edges = [ctypes.c_float() for _ in range(4)]
    if not pdfium.FPDFPageObj_GetBounds(thing, *map(ctypes.byref, edges)):
        return None
    left, bottom, right, top = (each.value for each in edges)
    corners = np.array([(left, bottom), (right, top)]) @ place[:2] + place[2]
    bounds: Boxes = np.hstack([corners.min(axis=0), corners.max(axis=0)]).clip(0, 1)
    return bounds


def _paint(page: pypdfium2.PdfPage) -> Image:
    """Return the page as pixels (height, width, four bytes: blue green red and one unused)."""
    scale = min(SCALE, SIDE_MAX / max(*page.get_size(), 1.0))
    bitmap = page.render(scale=scale, prefer_bgrx=True)
    pixels: Image = bitmap.to_numpy()  # it keeps the memory, which the bitmap does not own
    bitmap.close()
    return pixels


def _changed(one: Image, other: Image, least: tuple[int, int, int] = _SEEN) -> NDArray[np.bool_]:
    """Return where two pictures of a page differ so that a person sees it."""
    ones, others = (picture.view(np.uint32).ravel() for picture in (one, other))
    differ = np.flatnonzero(ones != others)  # few do, and only those are looked at
    pair = [pixels[differ].view(np.uint8).reshape(-1, 4) for pixels in (ones, others)]
    change = np.maximum(*pair) - np.minimum(*pair)
    blue, green, red = (change[:, at] >= by for at, by in enumerate(least))
    changed = np.zeros(len(ones), bool)
    changed[differ] = blue | green | red
    return changed.reshape(one.shape[:2])


def _touched(mask: NDArray[np.bool_], boxes: Boxes) -> NDArray[np.bool_]:
    """Return for which of the letters' boxes the mask holds where a letter would have its ink.

    Their rims are not looked at: what stands beside, above or below reaches in by a pixel.
    """
    inner = _shrunk(boxes, 0.1, 0.1)
    height, width = mask.shape
    area = (inner[:, 2:] - inner[:, :2]).prod(axis=1) * width * height
    touched: NDArray[np.bool_] = _sums(mask, inner) >= np.maximum(1, SEEN_SHARE * area)
    return touched


def _shrunk(boxes: Boxes, across: float, down: float) -> Boxes:
    size = boxes[:, 2:] - boxes[:, :2]
    rim = size * (across, down)
    return np.hstack([boxes[:, :2] + rim, boxes[:, 2:] - rim])


def _sums(mask: NDArray[Any], boxes: Boxes) -> NDArray[np.int64]:
    """Return how many points of a mask lie in each box (in fractions of the mask's sides)."""
    height, width = mask.shape
    table = np.zeros((height + 1, width + 1), np.int32)
    table[1:, 1:] = mask  # beforehand: sums that convert what they sum take four times as long
    for axis in (0, 1):
        np.cumsum(table, axis=axis, out=table)
    sides = (width, height, width, height)
    spans = boxes * sides
    x0, y0 = np.floor(spans[:, :2]).clip(0, (width - 1, height - 1)).astype(int).T
    x1, y1 = np.ceil(spans[:, 2:]).clip(1, (width, height)).astype(int).T
    x1, y1 = np.maximum(x1, x0 + 1), np.maximum(y1, y0 + 1)
    sums: NDArray[np.int64] = table[y1, x1] - table[y0, x1] - table[y1, x0] + table[y0, x0]
    return sums


def _stacked(
    letters: _Letters, among: NDArray[np.bool_], kinds: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Return which letters stand on another one of those among that is of another kind.

    Of one kind are, say, the two prints of a letter that is set twice to look bold.
    """
    boxes = letters.boxes
    stacked = np.zeros(len(boxes), bool)
    middles, inner = (boxes[:, :2] + boxes[:, 2:]) / 2, _shrunk(boxes, 0.2, 0.25)
    for shift in (0.0, 0.5):  # letters of one height fall into one band, in this cut or the other
        bands = np.floor(middles[:, 1] * _BANDS + shift)
        order = np.lexsort((middles[:, 0], bands))
        for apart in (1, 2):
            left, right = order[:-apart], order[apart:]
            for one, other in ((left, right), (right, left)):
                on = _within(middles[one], inner[other]) & (kinds[one] != kinds[other])
                stacked[one] |= on & among[other]
                stacked[other] |= on & among[one]
    return stacked


def _within(points: Boxes, boxes: Boxes) -> NDArray[np.bool_]:
    """Return which points lie inside the boxes at the same index."""
    (x, y), (x0, y0, x1, y1) = points.T, boxes.T
    within: NDArray[np.bool_] = (x0 < x) & (x < x1) & (y0 < y) & (y < y1)
    return within


def _each_seen(
    page: pypdfium2.PdfPage,
    full: Image,
    texts: Mapping[int, Any],
    letters: _Letters,
    stacked: Sequence[int] | NDArray[np.int64],
) -> list[bool]:
    """Return which letters that stand on or under others are seen, each piece tried alone."""
    owners = [letters.owner(int(at)) for at in stacked]
    changed: dict[int, NDArray[np.bool_]] = {}
    for owner in list(dict.fromkeys(owners))[:STACKED_MAX]:
        if owner not in texts:
            continue
        pdfium.FPDFPageObj_SetIsActive(texts[owner], False)
        changed[owner] = _changed(full, _paint(page))
        pdfium.FPDFPageObj_SetIsActive(texts[owner], True)
    return [
        owner in changed and bool(_touched(changed[owner], letters.boxes[[int(at)]])[0])
        for owner, at in zip(owners, stacked, strict=True)
    ]


def _followed(hidden: NDArray[np.bool_], letters: _Letters) -> NDArray[np.bool_]:
    """Return what is hidden, with signs as the letter before them: a full stop has little ink."""
    known = np.where(letters.solid, np.arange(len(hidden)), -1)
    last = np.maximum.accumulate(known)
    return np.where(last >= 0, hidden[last], False)


def _recognised(
    bare: Image, letters: _Letters, hidden: NDArray[np.bool_], pictures: Sequence[Boxes]
) -> NDArray[np.bool_]:
    """Return which unpainted letters are the recognised words of a scan.

    They lie on pictures that fill much of the page, where without any text the page has writing.
    """
    kept = np.zeros(len(hidden), bool)
    covered = sum(float((box[2:] - box[:2]).prod()) for box in pictures)
    if not hidden.any() or covered < PICTURE_SHARE:
        return kept
    middles = (letters.boxes[:, :2] + letters.boxes[:, 2:]) / 2
    on_picture = np.zeros(len(hidden), bool)
    for box in pictures:
        on_picture |= ((middles >= box[:2]) & (middles <= box[2:])).all(axis=1)
    green = bare[:, :, 1].astype(np.int16)
    ink = np.abs(green - int(np.median(green[::4, ::4]))) > INK
    height, width = ink.shape
    runs = list(_runs(letters, hidden & on_picture))
    boxes = np.array([_around(letters.boxes[run]) for run in runs]).reshape(-1, 4)
    areas = np.maximum(1, (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) * width * height)
    for run, dark in zip(runs, _sums(ink, boxes) / areas, strict=True):
        kept[run] = dark >= INK_SHARE
    return kept & ~_stacked(letters, ~hidden, np.arange(len(hidden)))


def _runs(letters: _Letters, mask: NDArray[np.bool_], apart: int = 1) -> Iterator[list[int]]:
    """Yield the letters of a mask that follow each other with less than so many signs between."""
    run: list[int] = []
    for at in np.flatnonzero(mask):
        if run and letters.indexes[at] - letters.indexes[run[-1]] > apart:
            yield run
            run = []
        run.append(int(at))
    if run:
        yield run


def _around(boxes: Boxes) -> Boxes:
    return np.hstack([boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)])


def _told(letters: _Letters, why: NDArray[Any]) -> Iterator[Hidden]:
    """Yield what is hidden, phrase by phrase; letters of one phrase are hidden in one way."""
    for reason in (UNPAINTED, SMALL, OUTSIDE):
        for run in _runs(letters, why == reason, apart=3):
            text = "".join(_spaced(letters, run))
            if any(c.isalnum() for c in text):
                x0, y0, x1, y1 = _around(letters.boxes[run]).clip(-9, 9).tolist()
                yield Hidden(reason, text, (x0, y0, x1, y1))


def _spaced(letters: _Letters, run: Sequence[int]) -> Iterable[str]:
    last = letters.indexes[run[0]]
    for at in run:
        if letters.indexes[at] - last > 1:
            yield " "
        last = letters.indexes[at]
        yield letters.characters[at]
