"""Till receipts: the shop at the top, and the total that cash and change bear out."""

import re
from decimal import Decimal

from .amounts import find_amounts
from .companies import is_form
from .evidence import OCR, Candidate, ranked
from .layout import squeezed
from .marking import Document, near
from .parties import TOWN
from .values import tokens

HEAD_ROWS = 9
CHANGE = frozenset(
    (  # noqa: SIM905 - as a list they would fill a page
        "change ruckgeld zuruck wechselgeld rendu rendue vaxel tillbaka ater byttepenge retur "
        "tilbage veksel vekslepenger tilbake vaihtoraha takaisin vraceno vratit visszajaro "
        "visszajar rest"
    ).split()
)
SHORT = 8  # letters of a row that ends a name: "Sp. z o.o." may break before "z"


def shop_names(document: Document) -> list[Candidate]:
    """Return the candidates for the shop: a company by its form, else the first lines."""
    found = []
    rows = document.rows[:HEAD_ROWS]
    for index, marked in enumerate(rows):
        text = squeezed(marked.row.text)
        if not _may_name_a_shop(document, index, text):
            continue
        below = squeezed(rows[index + 1].row.text) if index + 1 < len(rows) else ""
        text = re.sub(r"^#\d+\s+", "", _without_number(document, text))
        score = 0.55 - 0.04 * index
        if is_form(document, below):
            text, score = f"{text} {below}", score + 0.3
        elif _goes_on(document, index):
            text = f"{text} {below}"
            score += 0.05 + 0.3 * _has_form(document, text)
        elif _has_form(document, text):
            score += 0.3
        score += 0.12 * _is_address(document, index + 1)
        score = score - 0.1 if _stands_apart(document, index) else score
        score = score - 0.4 if _is_street(text) and not _has_form(document, text) else score
        text = _letters_for_digits(text) if marked.row.page.source == OCR else text
        words = len(marked.row.text)
        found.append(document.read(text, index, 0, words, min(score, 0.95), "heads the receipt"))
    return ranked(found)


def _goes_on(document: Document, index: int) -> bool:
    """Return whether a name was too long for its row and goes on in the next."""
    if index + 2 >= len(document.rows) or _stands_apart(document, index):
        return False
    row, below = document.rows[index].row, document.rows[index + 1].row
    text, rest = squeezed(row.text), _letters_for_digits(squeezed(below.text))
    if len(rest) <= SHORT and _has_form(document, f"{text} {rest}") > _has_form(document, text):
        return True
    edges = [(m.row.words[0].x0, m.row.words[-1].x1) for m in document.rows]
    room = max(x1 for _, x1 in edges) - min(x0 for x0, _ in edges)
    first = below.words[0]
    needed = row.words[-1].x1 - row.words[0].x0 + (first.x1 - first.x0) + 0.3 * row.height
    return (
        needed > room
        and 0.85 < row.height / below.height < 1.18
        and not any(c.isdigit() for c in text + rest)
        and _is_address(document, index + 2)
        and _may_name_a_shop(document, index + 1, rest)
    )


def _is_address(document: Document, index: int) -> bool:
    """Return whether a row looks like what stands below a shop's name: a street, a number."""
    if index >= len(document.rows):
        return False
    text = document.rows[index].row.text
    return _is_street(text) or (any(c.isdigit() for c in text) and any(c in text for c in ",-(:"))


def _is_street(text: str) -> bool:
    """Return whether words and a house number at the end, or at the start, are all there is."""
    after = re.fullmatch(r"[^\W\d][^\d#]{3,}\s\d{1,4}\s?[A-Za-z]?\.?", text.strip())
    return bool(after or re.fullmatch(r"\d{1,4}[A-Za-z]?,?\s[^\W\d][^\d#]{3,}", text.strip()))


def _stands_apart(document: Document, index: int) -> bool:
    if index + 1 >= len(document.rows):
        return False
    row, below = document.rows[index].row, document.rows[index + 1].row
    return below.y0 - row.y1 > 1.2 * row.height


def _letters_for_digits(text: str) -> str:
    """Undo what OCR mistakes within words of capitals: 0 for O and 1 for I."""
    text = re.sub(r"(?<=[A-Z])0+(?=[A-Z])", lambda m: "O" * len(m[0]), text)
    text = re.sub(r"(?<![\d.,])0\.\s?0\.(?!\d)", "o.o.", text)
    return re.sub(r"(?<=[A-Z])1(?=[A-Z])|\b1(?=[A-Z]{3})", "I", text)


def _without_number(document: Document, text: str) -> str:
    """Cut off the registration number that follows a company's legal form."""
    for match in re.finditer(r"\s*[\[(]?\d[\d-]{4,}.*$|\s*\((?=[^)]*\d{4}).*$", text):
        if match.start() > 3 and _has_form(document, text[: match.start()]):
            return text[: match.start()].rstrip(" ,.(")
    return text


def _may_name_a_shop(document: Document, index: int, text: str) -> bool:
    marked = document.rows[index]
    letters = sum(c.isalpha() for c in text)
    labelled = any(
        h.start == 0
        and h.field not in ("supplier_section", "buyer_section", "party_name")
        and not h.field.startswith("column_")
        and h.label.weight == 1.0
        for h in marked.hits
    )
    many_digits = sum(c.isdigit() for c in text) > 0.3 * len(text)
    return (
        letters >= 3
        and not labelled
        and not marked.days
        and not many_digits
        and "@" not in text
        and not TOWN.search(text)
        and not is_form(document, text)
    )


def _has_form(document: Document, text: str) -> bool:
    found = tuple(tokens(text))
    forms = document.labels.legal_forms
    return any(
        found[at : at + len(form)] == form
        for at in range(1, len(found))
        for form in forms.get(found[at], ())
        if len("".join(form)) > 2 or len(form) > 1
    )


def rounded_total(document: Document) -> Decimal | None:
    """Return the total after rounding: two amounts that differ by what is labelled so."""
    amounts_seen = [n.value for m in document.rows for n in m.numbers if n.money and n.value]
    for hit in document.hits("rounding"):
        for candidate in near(document, hit, find_amounts):
            for value in sorted({v for v in amounts_seen if abs(v) > 1}, reverse=True):
                if candidate.value and value - candidate.value in amounts_seen:
                    return value
    return None


def paid_total(document: Document) -> Decimal | None:
    """Return what was tendered less the change, if the receipt says both."""
    cash: list[Decimal] = []
    change: list[Decimal] = []
    for hit in document.hits("tendered"):
        name = document.rows[hit.row].row.text[hit.start : hit.end]
        for candidate in near(document, hit, find_amounts):
            (change if _is_change(name) else cash).append(candidate.value)
            break
    if not cash or not change:
        return None
    return cash[0] - change[0]


def _is_change(name: str) -> bool:
    words = set(tokens(name))
    return bool(words & CHANGE)
