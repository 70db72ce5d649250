"""What of a page's words is not believed: disguised words, and sentences meant for a model."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from . import injections, lookalikes
from .evidence import Box
from .layout import Segment, box_of
from .words import Page, Word

WARNINGS_MAX, SHOWN_LENGTH = 20, 60
ROWS_AFTER = 3  # lines of one sentence after the one that speaks to a model


def screened(pages: Sequence[Page]) -> tuple[list[Page], list[str]]:
    """Return pages without what is not believed, and warnings: what, where (page from 1), the text.

    Each is KIND:PAGE:X0,Y0,X1,Y1:WHY:TEXT with HIDDEN_TEXT, LOOKALIKE_LETTERS or PROMPT_INJECTION
    as its kind; box in fractions of the page.
    """
    kept, warnings = [], []
    for page in pages:
        quiet, told = _without_orders(page)
        plain, disguised = _undisguised(quiet)
        kept.append(plain)
        warnings += [*page.warnings, *disguised, *told]
    return kept, warnings[:WARNINGS_MAX]


def orders(texts: Iterable[str]) -> list[str]:
    """Return a warning for each text of an e-invoice that speaks to a model."""
    return [
        f"PROMPT_INJECTION:0::in the data:{_short(text)}"
        for text in dict.fromkeys(texts)
        if injections.found(text.split())
    ][:WARNINGS_MAX]


def _undisguised(page: Page) -> tuple[Page, list[str]]:
    """Leave out words of mixed scripts, and take signs that nobody sees out of the others."""
    texts = [word.text for word in page.words]
    if all(text.isascii() for text in texts):
        return page, []
    in_latin = lookalikes.is_latin(texts)
    kept, warnings = [], []
    for word in page.words:
        if in_latin and lookalikes.disguised(word.text):
            warnings.append(_warning("LOOKALIKE_LETTERS", page, [word], "of another script"))
            continue
        if lookalikes.controlled(word.text):
            warnings.append(_warning("LOOKALIKE_LETTERS", page, [word], "with signs of no width"))
        text = lookalikes.uncontrolled(word.text)
        if text:
            kept.append(word if text == word.text else replace(word, text=text))
    return page if kept == page.words else replace(page, words=kept), warnings


def _without_orders(page: Page) -> tuple[Page, list[str]]:
    """Leave out the cells that speak to a model, with the lines that go on with what they say."""
    as_set = [word for row in page.cells for cell in row for word in cell.words]
    # A sentence beside another column goes on below it: its words follow each other as drawn.
    orders = [as_set] if as_set == page.words else [as_set, page.words]
    spans = [words[a:b] for words in orders for a, b in injections.found([w.text for w in words])]
    if not spans:
        return page, []
    spoken = {id(word) for span in spans for word in span}
    cells = list(_cells(page.cells, spoken))
    left_out = {id(word) for cell in cells for word in cell.words}
    said = [word for word in as_set if id(word) in left_out]
    kept = [word for word in page.words if id(word) not in left_out]
    warning = _warning("PROMPT_INJECTION", page, said, "meant for a model")
    return replace(page, words=kept), [warning]


def _cells(rows: Sequence[Sequence[Segment]], spoken: set[int]) -> Iterator[Segment]:
    going_on: list[tuple[Segment, int]] = []
    for row in rows:
        after = []
        for cell in row:
            said = any(id(word) in spoken for word in cell.words)
            left = ROWS_AFTER + 1 if said else _left(cell, going_on)
            if left:
                yield cell
                ended = cell.text.endswith((".", "!", "?"))
                after.append((cell, 0 if ended else left - 1))
        going_on = after


def _left(cell: Segment, above: Sequence[tuple[Segment, int]]) -> int:
    """Return how many lines, this one among them, may go on with a sentence above it."""
    height = cell.y1 - cell.y0
    for before, left in above:
        close = cell.y0 - before.y1 < height and abs(cell.x0 - before.x0) < 2 * height
        if left and close:
            return left
    return 0


def _warning(kind: str, page: Page, words: Sequence[Word], why: str) -> str:
    box: Box = box_of(words)
    edges = ",".join(f"{edge:.3f}" for edge in box)
    return f"{kind}:{page.index + 1}:{edges}:{why}:{_short(' '.join(w.text for w in words))}"


def _short(text: str) -> str:
    return text if len(text) <= SHOWN_LENGTH else f"{text[:SHOWN_LENGTH]}…"
