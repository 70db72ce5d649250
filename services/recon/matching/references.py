"""Finding an invoice's number in a payment's text, as written or spoilt."""

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from rapidfuzz.distance import OSA
from stdnum import iso11649

from .names import plain

ATOMS = re.compile(r"[A-Z]+|[0-9]+")
# Letters read for digits, only where they touch one.
LOOKALIKES = re.compile(r"(?<=[0-9])[OIL](?![A-Z]{2})|(?<![A-Z])[OIL](?=[0-9])")
ONE_SHAPE = str.maketrans("OIL", "011")
CREDITOR_REFERENCE = re.compile(r"RF[0-9]{2}(?:\s?[A-Z0-9]{1,4}){1,6}")
LONGEST_SPAN = 7
WAYS = {
    "exact": "number found in the text",
    "stripped": "number found in the text without its prefix or leading zeros",
    "truncated": "number found in the text with its end cut off",
    "swapped": "number found in the text with two characters swapped",
    "misspelt": "number found in the text with one character different",
    "reference": "payment reference found in the text",
}


@dataclass(frozen=True)
class Text:
    """A payment's text as pieces that may be numbers, the shortest first."""

    pieces: tuple[str, ...]
    # Pieces that begin and end where something else begins and ends, not within a run of digits.
    whole: frozenset[str]


def _digits_for_letters(text: str) -> str:
    previous = ""
    while previous != text:
        previous, text = text, LOOKALIKES.sub(lambda m: "0" if m.group() == "O" else "1", text)
    return text


def _atoms(text: str) -> list[str]:
    """Runs of letters and runs of digits."""
    return ATOMS.findall(_digits_for_letters(plain(text).upper()))


@lru_cache(maxsize=400_000)
def number_forms(number: str) -> tuple[str, str]:
    """The number without separators, and that without letters around and leading zeros."""
    atoms = _atoms(number)
    full = "".join(atoms).translate(ONE_SHAPE)
    inner = list(atoms)
    while inner and inner[0].isalpha():
        inner.pop(0)
    while inner and inner[-1].isalpha():
        inner.pop()
    return full, "".join(inner).translate(ONE_SHAPE).lstrip("0")


@lru_cache(maxsize=400_000)
def read(text: str) -> Text:
    """Takes a text apart into the pieces that may be references."""
    atoms = _atoms(text)
    pieces: set[str] = set()
    for start in range(len(atoms)):
        joined = ""
        for atom in atoms[start : start + LONGEST_SPAN]:
            joined += atom
            if len(joined) > 35:
                break
            if len(joined) >= 3 and any(mark.isdigit() for mark in joined):
                pieces.add(joined.translate(ONE_SHAPE))
    single = frozenset(atom.translate(ONE_SHAPE) for atom in atoms)
    upper = plain(text).upper()
    for found in CREDITOR_REFERENCE.finditer(upper):
        compact = re.sub(r"\s", "", found.group())
        for end in range(len(compact), 5, -1):
            if iso11649.is_valid(compact[:end]):
                pieces.update((compact[:end].translate(ONE_SHAPE), *number_forms(compact[4:end])))
                break
    pieces |= {piece.lstrip("0") for piece in pieces if len(piece.lstrip("0")) >= 3}
    return Text(tuple(sorted(pieces, key=lambda piece: (len(piece), piece))), single)


class NumberIndex:
    """The numbers of all open invoices, by each form they may be written in."""

    def __init__(self, numbers: Iterable[Sequence[str]]) -> None:
        self._forms: list[list[tuple[str, str]]] = []
        self._exact: dict[str, list[int]] = defaultdict(list)
        self._stripped: dict[str, list[int]] = defaultdict(list)
        for position, several in enumerate(numbers):
            forms = [number_forms(number) for number in several if number]
            self._forms.append(forms)
            for full, bare in forms:
                if len(full) >= 3:
                    self._exact[full].append(position)
                if len(bare) >= 3 and bare != full:
                    self._stripped[bare].append(position)
        self._sorted = sorted(full for forms in self._forms for full, _ in forms)

    def hits(self, text: Text) -> dict[int, tuple[str, int, int]]:
        """Invoice → (way, length of the piece found, how many invoices have it so)."""
        found: dict[int, tuple[str, int, int]] = {}
        for piece in text.pieces:
            for position in self._stripped.get(piece, ()):
                sharing = len(self._stripped[piece]) + len(self._exact.get(piece, ()))
                if position not in found or len(piece) > found[position][1]:
                    found[position] = ("stripped", len(piece), sharing)
        for piece in text.pieces:
            for position in self._exact.get(piece, ()):
                found[position] = ("exact", len(piece), len(self._exact[piece]))
        return found

    def spoilt(self, position: int, text: Text) -> tuple[str, int, int] | None:
        """The best spoilt spelling of this invoice's number in the text."""
        best: tuple[str, int, int] | None = None
        for full, bare in self._forms[position]:
            for form in dict.fromkeys((full, bare)):
                if len(form) < 5:
                    continue
                for piece in reversed(text.pieces):
                    # What is another invoice's number as written is not this one's spoilt.
                    way = "" if piece in self._exact else _spoilt(piece, form)
                    if way and (best is None or (way != "misspelt" and best[0] == "misspelt")):
                        best = (way, len(piece), self._sharing(piece) if way == "truncated" else 1)
        return best

    def _sharing(self, prefix: str) -> int:
        """How many numbers begin so."""
        upper = bisect_left(self._sorted, prefix + "\U0010ffff")
        return max(1, upper - bisect_left(self._sorted, prefix))


def _spoilt(piece: str, form: str) -> str:
    """In which way the piece may be a spoilt spelling of the number, or nothing."""
    missing = len(form) - len(piece)
    if not -1 <= missing <= 3 or len(piece) < 4:
        return ""
    if missing >= 1 and form.startswith(piece):
        return "truncated"
    if abs(missing) <= 1 and OSA.distance(piece, form, score_cutoff=1) == 1:
        swapped = missing == 0 and sorted(piece) == sorted(form)
        return "swapped" if swapped else "misspelt"
    return ""
