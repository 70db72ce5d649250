"""One reading of one field: the value, how sure, where on the page it stands, and why."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

Box = tuple[float, float, float, float]

E_INVOICE = "E_INVOICE"
TEXT_LAYER = "TEXT_LAYER"
OCR = "OCR"

KEPT_CANDIDATES = 5


@dataclass(frozen=True)
class Candidate:
    """A possible value; score runs from 0 to 1, box is (x0, y0, x1, y1) in fractions of a page."""

    value: Any
    score: float
    reason: str
    source: str = TEXT_LAYER
    page: int | None = None
    box: Box | None = None

    def scored(self, score: float, reason: str = "") -> "Candidate":
        """Return the same reading with another score and, if given, one more reason."""
        why = f"{self.reason}; {reason}" if reason else self.reason
        return replace(self, score=max(0.0, min(1.0, score)), reason=why)

    def message(self) -> dict[str, Any]:
        """Return what a caller gets of this reading (JSON-able)."""
        return {
            "value": self.value,
            "confidence": round(self.score, 3),
            "source": self.source,
            "page": self.page,
            "box": [round(edge, 4) for edge in self.box] if self.box else None,
            "reason": self.reason,
        }


def ranked(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Return one reading a value, best first; a value seen again gains a little."""
    best: dict[str, Candidate] = {}
    for candidate in candidates:
        key = str(candidate.value)
        old = best.get(key)
        if old is None:
            best[key] = candidate
            continue
        strong, weak = (candidate, old) if candidate.score > old.score else (old, candidate)
        best[key] = replace(strong, score=min(0.99, strong.score + 0.1 * weak.score))
    return sorted(best.values(), key=lambda c: -c.score)


def field(chosen: Candidate, others: Iterable[Candidate] = ()) -> dict[str, Any]:
    """Return a field of the result: the chosen reading and the ones not chosen."""
    rest = [c.message() for c in others if c.value != chosen.value][:KEPT_CANDIDATES]
    return {**chosen.message(), "candidates": rest}
