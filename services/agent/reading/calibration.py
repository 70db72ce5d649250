"""How sure a reading is, as the share of its like that were right: measured curves, by field.

The curves stand in calibration.json; `python -m examples.generator.reliability --fit DIR …`
makes them again.
"""

import json
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from .evidence import E_INVOICE

FILE = Path(__file__).with_name("calibration.json")
ANY = "any"  # the curve of fields that have none of their own
LINES = "lines"
APART = 0.7  # how much less sure lines are that do not come to a total
NAMELESS = 0.5  # and those without a description

Curve = Sequence[Sequence[float]]  # (score, share that was right), both rising
Curves = Mapping[str, Mapping[str, Curve]]  # by source and field
Answer = dict[str, Any]


def weighed(answer: Answer) -> Answer:
    """Return the answer with lines less sure that come to no total or say not what they are for."""
    totals = {
        Decimal(found["value"])
        for name, found in answer["fields"].items()
        if name in ("net", "gross", "line_total")
    }
    share = 1.0 if sum(Decimal(line["amount"]) for line in answer["lines"]) in totals else APART
    lines = [
        {**line, "confidence": round(line["confidence"] * share * _named(line), 4)}
        for line in answer["lines"]
    ]
    return {**answer, "lines": lines}


def _named(line: Mapping[str, Any]) -> float:
    return 1.0 if line["description"] else NAMELESS


def calibrated(answer: Answer) -> Answer:
    """Return the answer with each confidence as a probability; other values share what is left."""
    fields = {name: _field(name, found) for name, found in answer["fields"].items()}
    lines = [
        {**line, "confidence": probability(line["source"], LINES, line["confidence"])}
        for line in answer["lines"]
    ]
    return {**answer, "fields": fields, "lines": lines}


def _field(name: str, found: Mapping[str, Any]) -> dict[str, Any]:
    sure = probability(found["source"], name, found["confidence"])
    left = round(1 - sure, 3)
    others = [
        {**other, "confidence": min(other["confidence"], left)} for other in found["candidates"]
    ]
    return {**found, "confidence": sure, "candidates": others}


def probability(source: str, field: str, score: float) -> float:
    """Return the share of fields that were right among those that scored so (0 to 1)."""
    if source == E_INVOICE:
        return score
    return of_curves(_curves(), source, field, score)


def of_curves(curves: Curves, source: str, field: str, score: float) -> float:
    """Return the probability by some curves: linear between points, the score without a curve."""
    known = curves.get(source, {})
    curve = known.get(field) or known.get(ANY)
    if not curve:
        return score
    at = bisect_right(curve, score, key=lambda point: point[0])
    if at == 0:
        (x1, y1), x0, y0 = curve[0], 0.0, 0.0
    elif at == len(curve):
        return round(curve[-1][1], 3)
    else:
        (x0, y0), (x1, y1) = curve[at - 1], curve[at]
    part = (score - x0) / (x1 - x0) if x1 > x0 else 1.0
    return round(y0 + part * (y1 - y0), 3)


@cache
def _curves() -> Curves:
    found: Curves = json.loads(FILE.read_text(encoding="utf-8"))
    return found
