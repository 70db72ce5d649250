"""Optical character recognition by the models in the rapidocr wheel, one thread, no network."""

import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .evidence import Box

SIDE = 1600  # pixels of a page's long side, where the models read best
TILE_OVERLAP = 120  # pixels that two parts of a long strip share: more than a line is high
MAX_TILES = 8
ASKED = 16  # lines that are asked which way up they stand
SETTINGS = {
    "Global.max_side_len": SIDE,
    "Global.use_vertical_padding": False,
    "Global.return_word_box": True,
    "Global.log_level": "critical",
    "Det.limit_type": "max",
    "Det.limit_side_len": 1280,
    # Few and narrow at once: short words are not padded to the width of long ones.
    "Rec.rec_img_shape": [3, 48, 64],
    "Rec.rec_batch_num": 3,
    "EngineConfig.onnxruntime.intra_op_num_threads": 1,
    "EngineConfig.onnxruntime.inter_op_num_threads": 1,
}

_OPEN = re.compile(r"\d[.,]$")
_CENTS = re.compile(r"\d\d")
_DECIMAL = re.compile(r"\d{0,3}[.,]\d\d")

Pixels = NDArray[np.uint8]
Quads = NDArray[np.float32]  # (n, 4, 2): the corners from the top left, clockwise, in pixels


@dataclass(frozen=True)
class Piece:
    """A recognised word: middle, size along and across its line, angle in radians, corners."""

    text: str
    score: float
    x: float
    y: float
    width: float
    height: float
    angle: float
    corners: tuple[tuple[float, float], ...]

    @property
    def box(self) -> Box:
        """Return the upright box around the corners, in pixels."""
        xs, ys = [x for x, _ in self.corners], [y for _, y in self.corners]
        return min(xs), min(ys), max(xs), max(ys)


@dataclass(frozen=True)
class Lines:
    """Lines of text found on a picture, not read yet: the corners and the pixels of each."""

    quads: Quads
    crops: list[Pixels]

    def longest(self, count: int) -> "Lines":
        """Return the longest lines."""
        order = sorted(range(len(self.crops)), key=lambda i: -self.crops[i].shape[1])[:count]
        return Lines(self.quads[order], [self.crops[i] for i in order])

    def upside_down(self, width: int, height: int) -> "Lines":
        """Return the lines as they are once the picture (width, height) is turned by 180°."""
        turned = np.array([width, height], np.float32) - self.quads
        return Lines(np.roll(turned, 2, axis=1), [np.rot90(crop, 2) for crop in self.crops])


@cache
def _engine() -> Any:
    # What reads customers' documents reports to nobody, and keeps no thread for it.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    from rapidocr import RapidOCR  # noqa: PLC0415 - half a second and 300 MB, only for pictures

    return RapidOCR(params=SETTINGS)


def load() -> None:
    """Load the models now, 0.7 s, instead of at the first picture. It starts no thread."""
    engine = _engine()
    blank = np.full((32, 32, 3), 255, np.uint8)
    _detected(blank)
    engine.cls_and_rotate([blank])
    engine.recognize_txt([blank])


def detect(pixels: Pixels) -> Lines:
    """Return the lines of text on an RGB picture (height, width, 3), which may be a long strip."""
    quads: list[Any] = []
    crops: list[Pixels] = []
    for top, bottom in _tiles(pixels.shape[0]):
        found = _detected(np.ascontiguousarray(pixels[top:bottom, :, ::-1]))
        for quad, crop in found:
            if not _is_others(float(quad[:, 1].mean()), top, bottom, pixels.shape[0]):
                quads.append(quad + np.array([0, top]))
                crops.append(crop)
    return Lines(np.array(quads, np.float32).reshape(-1, 4, 2), crops)


def _detected(pixels: Pixels) -> list[tuple[Any, Pixels]]:
    from rapidocr.main import RapidOCRError  # noqa: PLC0415 - see _engine

    try:
        crops, found = _engine().detect_and_crop(pixels, {})
    except RapidOCRError:  # its way to say that there is none
        return []
    return list(zip(found.boxes, crops, strict=True))


def _tiles(height: int) -> Iterator[tuple[int, int]]:
    """Yield the parts that a picture is looked at in: one, unless it is a long strip."""
    if height <= SIDE:
        yield 0, height
        return
    count = min(MAX_TILES, math.ceil((height - TILE_OVERLAP) / (SIDE - TILE_OVERLAP)))
    step = math.ceil((height - TILE_OVERLAP) / count)
    for index in range(count):
        yield index * step, min(height, (index + 1) * step + TILE_OVERLAP)


def _is_others(middle: float, top: int, bottom: int, height: int) -> bool:
    """Return whether a line belongs to the tile above or below, which shows it whole."""
    half = TILE_OVERLAP / 2
    above = top > 0 and middle < half
    below = bottom < height and middle >= bottom - top - half
    return above or below


def upright_share(lines: Lines) -> float:
    """Return the share (0..1) of the longest lines that stand upright and not on their head."""
    crops = [c for c in lines.longest(ASKED).crops if c.shape[1] > c.shape[0]]
    if not crops:
        return 1.0
    votes = [0.0, 0.0]
    for label, score in _engine().cls_and_rotate(crops)[1].cls_res:
        votes["180" in label] += float(score) - 0.4
    return votes[0] / sum(votes)


def read(lines: Lines) -> list[Piece]:
    """Return the words of some lines, in no order to be relied on."""
    if not lines.crops:
        return []
    engine = _engine()
    result = engine.recognize_txt(lines.crops)
    result = engine.cal_rec_boxes(lines.crops, lines.quads, result)
    pieces = []
    least = engine.text_score
    for words, score, quad in zip(result.word_results, result.scores, lines.quads, strict=True):
        if score < least:
            continue
        angle = math.atan2(float(quad[1][1] - quad[0][1]), float(quad[1][0] - quad[0][0]))
        line = [_piece(text, sure, corners, angle) for text, sure, corners in words if corners]
        pieces += _amounts_whole([p for p in line if p.text])
    return pieces


def _piece(text: str, score: float, corners: Any, angle: float) -> Piece:
    points = tuple((float(x), float(y)) for x, y in corners)
    return Piece(
        text.strip(),
        float(score),
        sum(x for x, _ in points) / 4,
        sum(y for _, y in points) / 4,
        math.dist(points[0], points[1]),
        math.dist(points[1], points[2]),
        angle,
        points,
    )


def _amounts_whole(line: list[Piece]) -> list[Piece]:
    """Return a line's words with amounts joined that wide letters broke: "5 3. 60" is one."""
    joined: list[Piece] = []
    for piece in line:
        while joined and _broken(joined[-1], piece):
            piece = _joined(joined.pop(), piece)  # noqa: PLW2901 - it grows to the left
        joined.append(piece)
    return joined


def _broken(left: Piece, right: Piece) -> bool:
    gap = math.dist(left.corners[1], right.corners[0])
    if not left.text[-1].isdigit() and not _OPEN.search(left.text):
        return False
    if _OPEN.search(left.text) and _CENTS.fullmatch(right.text):
        return gap < right.height
    return bool(_DECIMAL.fullmatch(right.text)) and gap < 0.35 * right.height


def _joined(left: Piece, right: Piece) -> Piece:
    corners = (left.corners[0], right.corners[1], right.corners[2], left.corners[3])
    return _piece(left.text + right.text, min(left.score, right.score), corners, left.angle)


def quality(pieces: list[Piece]) -> float:
    """Return how much was read and how surely, to compare turns of one picture."""
    return sum(p.score**2 * len(p.text) for p in pieces)
