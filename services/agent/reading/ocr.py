"""Optical character recognition by the models in the rapidocr wheel, one thread, no network."""

import math
import os
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .evidence import Box

SETTINGS = {
    "Global.max_side_len": 1600,
    "Global.use_cls": False,
    "Global.return_word_box": True,
    "Global.log_level": "critical",
    "Det.limit_type": "max",
    "Det.limit_side_len": 1280,
    "EngineConfig.onnxruntime.intra_op_num_threads": 1,
    "EngineConfig.onnxruntime.inter_op_num_threads": 1,
}


@dataclass(frozen=True)
class Piece:
    """A recognised word: middle, size along and across its line, angle in radians, pixel box."""

    text: str
    score: float
    x: float
    y: float
    width: float
    height: float
    angle: float
    box: Box


@cache
def _engine() -> Any:
    # What reads customers' documents reports to nobody, and keeps no thread for it.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    from rapidocr import RapidOCR  # noqa: PLC0415 - half a second and 300 MB, only for pictures

    return RapidOCR(params=SETTINGS)


def load() -> None:
    """Load the models now, 0.7 s, instead of at the first picture. It starts no thread."""
    _engine()


def recognise(pixels: NDArray[np.uint8]) -> list[Piece]:
    """Return the words on an RGB picture (height, width, 3), in no order to be relied on."""
    result = _engine()(np.ascontiguousarray(pixels[:, :, ::-1]))
    if result.word_results is None or result.boxes is None:
        return []
    pieces = []
    for line, quad in zip(result.word_results, result.boxes, strict=False):
        angle = math.atan2(float(quad[1][1] - quad[0][1]), float(quad[1][0] - quad[0][0]))
        pieces += [_piece(text, score, corners, angle) for text, score, corners in line if corners]
    return [p for p in pieces if p.text.strip()]


def _piece(text: str, score: float, corners: Any, angle: float) -> Piece:
    points = [(float(x), float(y)) for x, y in corners]
    xs, ys = [x for x, _ in points], [y for _, y in points]
    return Piece(
        text.strip(),
        float(score),
        sum(xs) / 4,
        sum(ys) / 4,
        math.dist(points[0], points[1]),
        math.dist(points[1], points[2]),
        angle,
        (min(xs), min(ys), max(xs), max(ys)),
    )


def mean_score(pieces: list[Piece]) -> float:
    """Return the mean score of the pieces, each weighed by its length."""
    letters = sum(len(p.text) for p in pieces)
    return sum(p.score * len(p.text) for p in pieces) / letters if letters else 0.0


def quality(pieces: list[Piece]) -> float:
    """Return how much was read and how surely, to compare turns of one picture."""
    return sum(p.score**2 * len(p.text) for p in pieces)
