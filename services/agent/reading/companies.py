"""Companies by the legal forms that end their names, in one line or in several."""

import re

from .layout import Segment, squeezed
from .marking import Document, going_on
from .values import tokens

LONGEST = 12  # heights: no word is wider


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
    """Return a company's name that goes on in the next lines, as the next word had no room."""
    right = document.rights.get(id(document.rows[row].row.page), float("inf"))
    lines, name = [segment], None
    if right - segment.x1 > LONGEST * (segment.y1 - segment.y0):
        return None
    for below in going_on(document, row, segment):
        last, word = lines[-1], below.words[0]
        wide = word.x1 - word.x0 + 0.25 * word.height
        named = name or is_company(document, last.text)
        if last.x1 + wide < right or (named and not is_form(document, below.text)):
            break
        lines.append(below)
        if is_company(document, " ".join(line.text for line in lines)):
            name = "\n".join(squeezed(line.text) for line in lines)
    return name
