"""Companies by the legal forms that end their names, in one line or in several."""

import re

from .layout import Segment, squeezed
from .marking import Document, going_on
from .values import tokens

LONGEST = 12  # heights: no word is wider
LARGE = 1.25  # of the usual word height


def is_company(document: Document, text: str) -> bool:
    """Return whether a text ends in a legal form ("GmbH", "Sdn Bhd") after a name."""
    found = tokens(text)
    for at in range(1, len(found)):
        for form in document.labels.legal_forms.get(found[at], ()):
            after = found[at + len(form) :]
            if tuple(found[at : at + len(form)]) == form and len(after) <= 2:
                # a street's number does not end a name
                return _written_as_form(text, form) and not any(t.isdecimal() for t in after)
    return False


def _written_as_form(text: str, form: tuple[str, ...]) -> bool:
    if len("".join(form)) > 3:
        return True
    words = [
        w for w in re.split(r"\s+", text) if tokens(w)[:1] == [form[0]] or tuple(tokens(w)) == form
    ]
    before = re.split(r"\s+", text)[:-1]
    named = len("".join(form)) > 2 and all(w[0].isupper() or not w[0].isalpha() for w in before)
    return named or any(w[0].isupper() or "." in w for w in words)


def is_form(document: Document, text: str) -> bool:
    """Return whether a text is a legal form and nothing else."""
    found = tuple(tokens(text))
    return found in document.labels.legal_forms.get(found[0] if found else "", ())


def in_lines(document: Document, row: int, segment: Segment) -> str | None:
    """Return a company's name that goes on in the next lines, as the next word had no room.

    Nor has it in large type, which the head of a page is set in without a column to be seen.
    """
    height = segment.y1 - segment.y0
    right = _right(document, row, segment)
    large = height > LARGE * document.word_height
    lines, name = [segment], None
    if not large and right - segment.x1 > LONGEST * height:
        return None
    for below in going_on(document, row, segment):
        last, word = lines[-1], below.words[0]
        wide = word.x1 - word.x0 + 0.25 * word.height
        named = name or is_company(document, last.text)
        set_alike = large and abs(below.y1 - below.y0 - height) < 0.05 * height
        has_room = last.x1 + wide < right and not set_alike
        if has_room or (named and not is_form(document, below.text)):
            break
        lines.append(below)
        if is_company(document, " ".join(line.text for line in lines)):
            name = "\n".join(squeezed(line.text) for line in lines)
    return name


def _right(document: Document, row: int, segment: Segment) -> float:
    """Return how far to the right a cell may reach: to the next column, or to the page's edge."""
    own = document.rows[row].row
    beside = [
        other.x0
        for marked in document.rows[max(0, row - 1) : row + 3]
        for other in marked.row.segments
        if marked.row.page is own.page and other.x0 > segment.x1
    ]
    return min([*beside, document.rights.get(id(own.page), float("inf"))])
