"""What OCR gets wrong in ways that check digits can undo."""

import re

from stdnum import iban

MOST_LOST = 3  # equal digits in a row that a recogniser may have run together


def whole_iban(text: str) -> str | None:
    """Return the IBAN of which a run of equal digits was read too short, if only one fits."""
    found = set()
    for run in re.finditer(r"([0-9])\1+", text):
        for lost in range(1, MOST_LOST + 1):
            longer = text[: run.end()] + run[1] * lost + text[run.end() :]
            if iban.is_valid(longer):
                found.add(longer)
    return found.pop() if len(found) == 1 else None
