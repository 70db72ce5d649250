"""A narrow column beside a page's main part is read by itself, and a table's columns are not."""

from typing import Any

import pytest

from services.agent.reading import read_document
from services.agent.reading.asides import set_apart
from services.agent.reading.words import open_pdf, pdf_pages
from services.agent.tests.test_layouts import Placed, read
from services.agent.tests.test_reading import paper, values, write

LINES = (
    "Nisvera Lumbatti",
    "Servizi S.r.l.",
    "Via dei Tigli 54",
    "28907 Rufer (MI)",
    "",
    "Numero fattura",
    "VK 01479",
    "",
    "Data fattura",
    "14 settembre",
    "2026",
    "",
    "Scadenza",
    "14 ottobre 2026",
    "",
    "IBAN",
    "DE54 1779 8411",
    "1628 9332 97",
)
ITEMS = ("Viti in acciaio", "Piastre forate", "Rondelle piane", "Tasselli", "Staffe", "Dadi")


def aside(x: float, lines: tuple[str, ...] = LINES) -> list[Placed]:
    return [(x, 60 + 13.1 * n, line) for n, line in enumerate(lines) if line]


def described(answer: dict[str, Any]) -> list[str]:
    return [line["description"] for line in answer["lines"]]


def main(x: float) -> list[Placed]:
    placed: list[Placed] = [
        (x, 66, "Fattura"),
        (x, 92, "Spett.le"),
        (x, 104, "Dalbra S.n.c."),
        (x, 116, "Via dei Tigli 7"),
        (x, 128, "88255 Selkel (MI)"),
        *row(x, 150, "Descrizione", "Quantità", "Prezzo", "Importo"),
    ]
    for n, item in enumerate(ITEMS):
        placed += row(x, 168 + 19 * n, item, "2", "50,00", "100,00")
    for n, (name, amount) in enumerate((("Imponibile", 600), ("IVA 22%", 132), ("Totale", 732))):
        placed += [(x + 180, 300 + 16 * n, name), (-x - 360, 300 + 16 * n, f"{amount},00")]
    return placed


def row(x: float, y: float, text: str, *cells: str) -> list[Placed]:
    rights = (-x - 210, -x - 290, -x - 360)
    return [(x, y, text), *((right, y, cell) for right, cell in zip(rights, cells, strict=True))]


@pytest.mark.parametrize(("own", "rest"), [(50, 185), (420, 40)])
def test_a_column_beside_the_items_is_read_by_itself(own: float, rest: float) -> None:
    answer = read(aside(own), main(rest))
    found = values(answer)
    assert described(answer) == list(ITEMS)
    assert found["supplier_name"] == "Nisvera Lumbatti\nServizi S.r.l."
    assert found["supplier_address"] == "Via dei Tigli 54\n28907 Rufer (MI)"
    assert found["buyer_name"] == "Dalbra S.n.c."
    assert found["invoice_number"] == "VK 01479"
    assert (found["issue_date"], found["due_date"]) == ("2026-09-14", "2026-10-14")
    assert found["iban"] == "DE54177984111628933297"
    assert found["gross"] == "732.00"


def test_items_go_on_beside_the_column_of_the_next_page() -> None:
    pdf = paper()
    for number in range(2):
        rest = [p for p in main(185) if (p[1] > 140 if number else p[1] < 290)]
        for x, y, text in [*aside(50), *rest]:
            write(pdf, abs(x), y, text, right=x < 0)
        if not number:
            pdf.add_page()
    answer = read_document(bytes(pdf.output()))
    assert described(answer) == [*ITEMS, *ITEMS]


def test_a_number_without_a_name_beside_a_long_column_is_found() -> None:
    lines = (*LINES[:5], *LINES[8:15], *("",) * 26, "Grazie", "e a presto")
    answer = read(aside(50, lines), main(185), [(440, 116, "F-2026/118")])
    assert described(answer) == list(ITEMS)
    assert values(answer)["invoice_number"] == "F-2026/118"


def test_a_name_on_its_own_at_the_top_of_the_main_part_is_seen() -> None:
    seller: list[Placed] = [(185, 40, "Vondelmar"), (185, 50, "www.vondelmar.example")]
    answer = read(aside(50, LINES[2:]), seller, main(185))
    assert described(answer) == list(ITEMS)
    assert values(answer)["supplier_name"] == "Vondelmar"


Texts = list[tuple[str, ...]]


def parts(items: Texts, *, sizes: tuple[int, int], level: str) -> int:
    """Return in how many parts a page is read whose items have texts of some lines."""
    pdf, y = paper(), 200.0
    for n in range(9):
        write(pdf, 60, 60 + 13.1 * n, "Via dei Tigli 54")
        write(pdf, 300, 66 + 15.7 * n, "Data 07/05/2026")
    for lines in items:
        for n, line in enumerate(lines):
            write(pdf, 60, y + 12 * n, line, sizes[0])
        middle = 6 * (len(lines) - 1) + 0.36 * (sizes[1] - sizes[0])
        at = y + {"base": 0, "middle": middle, "bottom": 12 * (len(lines) - 1)}[level]
        for x, cell in ((300, "2 h"), (420, "50,00"), (540, "100,00")):
            write(pdf, x, at, cell, sizes[1], right=x > 300)
        y += 12 * len(lines) + 9
    [page] = pdf_pages(open_pdf(bytes(pdf.output())))
    return len(set_apart([page]))


@pytest.mark.parametrize("level", ["base", "middle", "bottom"])
@pytest.mark.parametrize("sizes", [(10, 10), (10, 7), (7, 10)])
def test_narrow_texts_of_items_are_cells(sizes: tuple[int, int], level: str) -> None:
    items: Texts = [("Viti in acciaio", "zincate"), ("Piastre",), ("Dadi", "e rondelle")] * 3
    assert parts(items, sizes=sizes, level=level) == 1


def test_amounts_below_a_letterhead_are_cells() -> None:
    pdf = paper()
    for n in range(5):
        write(pdf, 420, 60 + 13.1 * n, "Via dei Tigli 54", 8)
        write(pdf, 60, 90 + 17 * n, "Dalbra S.n.c.")
        write(pdf, 420, 700 + 13.1 * n, "Banca di Rufer", 8)
    for n, last in enumerate(("Importo", "100,00", "40,00")):
        for x, cell in ((60, "Viti in acciaio"), (200, "2"), (300, "50,00"), (420, last)):
            write(pdf, x, 200 + 17 * n, cell)
    for n in range(5):
        for x, cell in ((60, "IVA 22%"), (200, "100,00"), (300, "22,00")):
            write(pdf, x, 280 + 17 * n, cell)
    [page] = pdf_pages(open_pdf(bytes(pdf.output())))
    assert len(set_apart([page])) == 1


def test_an_account_goes_on_in_the_next_line_of_a_foot() -> None:
    foot: list[Placed] = [
        (60, 780, "Nisvera S.r.l."),
        (200, 780, "IBAN DE54 1779 8411"),
        (400, 780, "Tel. 02 5512 900"),
        (200, 792, "1628 9332 97"),
        (400, 792, "www.nisvera.example"),
    ]
    assert values(read(main(60), foot))["iban"] == "DE54177984111628933297"
