"""A picture of a page set upright: paper found on its ground, text turned level, words read."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from . import ocr
from .evidence import Box
from .ocr import Lines, Piece, Pixels, Quads

STRIP_WIDTH = 540  # pixels across a long strip (a till receipt), whose length may exceed SIDE
MAX_STRIP = 4800
FAINT = 120  # shades between the darkest and the lightest: fewer are spread to all 256
LEVEL = 2.0  # degrees that the models read without loss
ASKEW = 0.03  # of its side: so far from a rectangle is a paper laid flat,
LITTLE = 0.6  # or where it fills less of the picture
PAPER_SIDE = 480  # pixels of the long side of the picture in which the paper is looked for
SURE = 0.75  # of the lines stand one way: no need to read them both ways
TRIED = 8  # lines that are read both ways where it is not clear

cv2.setNumThreads(1)  # a page is one process's work on one core

Matrix = NDArray[np.float64]  # (3, 3), takes points of one picture to another


@dataclass(frozen=True)
class Laid:
    """How a picture is laid out flat and level: by which matrix, on what size."""

    matrix: Matrix
    width: float
    height: float


@dataclass(frozen=True)
class Sheet:
    """A page's words upright in pixels of `width` x `height`, and the way back to the picture."""

    pieces: list[Piece]
    width: int
    height: int
    back: Matrix
    picture: tuple[int, int]  # width and height of the picture it was made from

    def box(self, piece: Piece) -> Box:
        """Return where a piece stands on the picture, in fractions of it."""
        points = _moved(np.array([piece.corners], np.float32), self.back)[0]
        width, height = self.picture
        x0, y0 = points.min(axis=0) / (width, height)
        x1, y1 = points.max(axis=0) / (width, height)
        return max(0.0, float(x0)), max(0.0, float(y0)), min(1.0, float(x1)), min(1.0, float(y1))


def read(picture: Pixels) -> Sheet:
    """Read an RGB picture (height, width, 3) of a page, whichever way it lies."""
    height, width = picture.shape[:2]
    scale = _scale(width, height)
    forth: Matrix = np.diag([scale, scale, 1.0])
    pixels = _resized(picture, scale)
    if faint := _faint(pixels):
        picture, pixels = _stretched(picture, faint), _stretched(pixels, faint)
    lines = ocr.detect(pixels)
    laid = _laid(pixels, lines)
    if laid is not None:
        pixels, forth = _warped(picture, scale, laid)
        lines = ocr.detect(pixels)
    high, wide = pixels.shape[:2]
    pieces, turned = _read_upright(lines, wide, high)
    if turned:
        forth = np.array([[-1.0, 0, wide], [0, -1.0, high], [0, 0, 1]]) @ forth
    back = np.asarray(np.linalg.inv(forth), np.float64)
    return Sheet(pieces, wide, high, back, (width, height))


def _faint(pixels: Pixels) -> tuple[float, float] | None:
    """Return the darkest and the lightest that a picture of little contrast has, else None."""
    # Halved, which takes noise away; a page of few words has little that is dark.
    low, high = np.percentile(_resized(pixels, 0.5), (0.03, 99))
    return (float(low), float(high)) if 8 < high - low < FAINT else None


def _stretched(picture: Pixels, shades: tuple[float, float]) -> Pixels:
    low, high = shades
    table = np.clip((np.arange(256) - low) * (255 / (high - low)), 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(picture, table), np.uint8)


def _scale(width: float, height: float) -> float:
    """Return how far a picture is shrunk: to SIDE, but a strip only as far as its width bears."""
    long, short = max(width, height), min(width, height)
    return min(1.0, max(ocr.SIDE / long, min(STRIP_WIDTH / short, MAX_STRIP / long)))


def _resized(picture: Pixels, scale: float) -> Pixels:
    if scale >= 1.0:
        return picture
    height, width = picture.shape[:2]
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def _laid(pixels: Pixels, lines: Lines) -> Laid | None:
    """Return how to lay the paper flat and its text level, None where it is good as it is."""
    height, width = pixels.shape[:2]
    corners = _paper(pixels, lines.quads)
    flat = Laid(np.eye(3), width, height) if corners is None else _flattened(corners)
    angle = _direction(_moved(lines.quads, flat.matrix)) if len(lines.quads) else 0.0
    if corners is None and abs(angle) <= LEVEL:
        return None
    return _trimmed(_levelled(angle, flat), lines.quads)


def _levelled(degrees: float, flat: Laid) -> Laid:
    """Return it turned so that lines at this angle are level, on a sheet that holds all of it."""
    width, height = flat.width, flat.height
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    wide = width * abs(cos) + height * abs(sin)
    high = width * abs(sin) + height * abs(cos)
    x = wide / 2 - (cos * width + sin * height) / 2
    y = high / 2 - (cos * height - sin * width) / 2
    turn = np.array([[cos, sin, x], [-sin, cos, y], [0, 0, 1]])
    return Laid(turn @ flat.matrix, wide, high)


def _trimmed(laid: Laid, quads: Quads) -> Laid:
    """Return it without the empty borders around the text, which cost detail."""
    points = _moved(quads, laid.matrix).reshape(-1, 2)
    if not len(points):
        return laid
    edge = 0.03 * max(laid.width, laid.height)
    x0, y0 = np.maximum(points.min(axis=0) - edge, 0.0)
    x1, y1 = np.minimum(points.max(axis=0) + edge, (laid.width, laid.height))
    shift = np.array([[1.0, 0, -x0], [0, 1.0, -y0], [0, 0, 1]])
    return Laid(shift @ laid.matrix, float(x1 - x0), float(y1 - y0))


def _direction(quads: Quads) -> float:
    """Return the direction of most text in degrees (-90, 90]: the way its long edges run."""
    edges = np.stack([quads[:, 1] - quads[:, 0], quads[:, 2] - quads[:, 1]], axis=1)
    lengths = np.linalg.norm(edges, axis=2)
    longer = lengths.argmax(axis=1)
    rows = np.arange(len(quads))
    long, short = lengths[rows, longer], lengths[rows, 1 - longer]
    weights = long * (long > 2.5 * short)
    if not weights.any():
        return 0.0
    edge = edges[rows, longer]
    angles = np.degrees(np.arctan2(edge[:, 1], edge[:, 0])) % 180
    # The fullest range of 10 degrees, and the weighted median in it: other lines do not pull it.
    apart = np.abs((angles[:, None] - angles[None, :] + 90) % 180 - 90)
    best = int(((apart < 5) * weights[None, :]).sum(axis=1).argmax())
    off = (angles - angles[best] + 90) % 180 - 90
    near = np.flatnonzero((np.abs(off) < 5) & (weights > 0))
    order = near[np.argsort(off[near])]
    half = np.searchsorted(np.cumsum(weights[order]), weights[order].sum() / 2)
    angle = float(angles[best] + off[order[half]]) % 180
    return angle - 180 if angle > 90 else angle


def _paper(pixels: Pixels, quads: Quads) -> NDArray[np.float32] | None:
    """Return the corners of a bright sheet on a darker ground that holds all of the text."""
    height, width = pixels.shape[:2]
    scale = PAPER_SIDE / max(height, width)
    small = _resized(pixels, scale)
    light = cv2.GaussianBlur(small.max(axis=2), (0, 0), 2)
    area = light.shape[0] * light.shape[1]
    for mask in _masks(small, light):
        outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        if not outlines:
            continue
        hull = np.asarray(cv2.convexHull(max(outlines, key=cv2.contourArea)), np.int32)
        corners = _four(hull)
        if corners is None or not 0.2 * area < cv2.contourArea(corners) < 0.96 * area:
            continue
        inside = (corners / scale).astype(np.float32)
        if _holds(inside, quads) and _matters(_ordered(inside), width * height):
            return _ordered(inside)
    return None


def _masks(small: Pixels, light: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """Return what may be the paper: what is bright, and what the strong edges enclose."""
    _, bright = cv2.threshold(light, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    kernel = np.ones((5, 5), np.uint8)
    whole = cv2.morphologyEx(bright, cv2.MORPH_CLOSE, np.ones((15, 15), np.uint8))
    whole = cv2.morphologyEx(whole, cv2.MORPH_OPEN, kernel)
    blurred = cv2.GaussianBlur(small, (0, 0), 2)
    edges = np.zeros(light.shape, np.uint8)
    for channel in cv2.split(blurred):
        edges |= np.asarray(cv2.Canny(channel, 20, 50), np.uint8)
    return [np.asarray(whole, np.uint8), np.asarray(cv2.dilate(edges, kernel), np.uint8)]


def _four(hull: NDArray[np.int32]) -> NDArray[np.float32] | None:
    """Return the four corners of an outline that has four, its sides straight."""
    length = cv2.arcLength(hull, closed=True)
    for share in (0.02, 0.03, 0.05):
        corners = cv2.approxPolyDP(hull, share * length, closed=True)
        if len(corners) == 4:
            if cv2.contourArea(hull) > 1.06 * cv2.contourArea(corners):
                return None
            return corners.reshape(4, 2).astype(np.float32)
    return None


def _holds(corners: NDArray[np.float32], quads: Quads) -> bool:
    """Return whether nearly all of the text stands within."""
    if not len(quads):
        return False
    middles = quads.mean(axis=1)
    inside = sum(
        cv2.pointPolygonTest(corners, (float(x), float(y)), measureDist=False) >= 0
        for x, y in middles
    )
    return inside >= 0.97 * len(middles)


def _matters(corners: NDArray[np.float32], area: int) -> bool:
    """Return whether the paper is small on the picture, turned, or seen from the side."""
    x0, y0 = corners.min(axis=0)
    x1, y1 = corners.max(axis=0)
    upright = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])
    off = np.linalg.norm(corners - upright, axis=1).max() / max(x1 - x0, y1 - y0)
    return bool(off > ASKEW or cv2.contourArea(corners) < LITTLE * area)


def _ordered(corners: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the corners clockwise from the top left."""
    middle = corners.mean(axis=0)
    angles = np.arctan2(corners[:, 1] - middle[1], corners[:, 0] - middle[0])
    around = corners[np.argsort(angles)]
    return np.roll(around, -int(around.sum(axis=1).argmin()), axis=0)


def _flattened(corners: NDArray[np.float32]) -> Laid:
    sides = np.linalg.norm(np.roll(corners, -1, axis=0) - corners, axis=1)
    wide, high = float(max(sides[0], sides[2])), float(max(sides[1], sides[3]))
    # A little more than the paper, so that text at its edge is whole.
    edge = 0.02 * max(wide, high)
    target = np.array([[0, 0], [wide, 0], [wide, high], [0, high]], np.float32) + edge
    matrix = cv2.getPerspectiveTransform(corners, target.astype(np.float32))
    return Laid(np.asarray(matrix, np.float64), wide + 2 * edge, high + 2 * edge)


def _warped(picture: Pixels, scale: float, laid: Laid) -> tuple[Pixels, Matrix]:
    """Return the picture laid out, as large as the models like it, and the matrix that did it."""
    wide, high = laid.width / scale, laid.height / scale
    detail = _scale(wide, high)
    grow = np.diag([detail / scale, detail / scale, 1.0])
    matrix = grow @ laid.matrix @ np.diag([scale, scale, 1.0])
    # Shrunk first, over areas: a warp looks at single pixels, and thin strokes would break.
    before = min(1.0, 1.3 * detail)
    warped = cv2.warpPerspective(
        _resized(picture, before),
        matrix @ np.diag([1 / before, 1 / before, 1.0]),
        (max(1, round(wide * detail)), max(1, round(high * detail))),
        flags=cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(warped, np.uint8), matrix


def _moved(quads: Quads, matrix: Matrix) -> Quads:
    """Return the corners taken to another picture."""
    points = quads.reshape(-1, 1, 2).astype(np.float64)
    return np.asarray(cv2.perspectiveTransform(points, matrix), np.float32).reshape(quads.shape)


def _read_upright(lines: Lines, width: int, height: int) -> tuple[list[Piece], bool]:
    """Return the words, and whether the picture had to be turned by 180° for them."""
    share = ocr.upright_share(lines)
    turned = share < 0.5
    if max(share, 1 - share) < SURE:
        some = lines.longest(TRIED)
        head = ocr.read(some.upside_down(width, height))
        turned = ocr.quality(head) > ocr.quality(ocr.read(some))
    return ocr.read(lines.upside_down(width, height) if turned else lines), turned
