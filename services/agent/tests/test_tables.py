"""Item tables whose rows tell more than the names of their columns."""

import pytest

from services.agent.reading import read_document
from services.agent.tests.test_layouts import BUYER, META, SELLER, Placed, address, read
from services.agent.tests.test_reading import paper, picture, png, write

HEAD = [*address(SELLER, 60, 60), *address(BUYER, 60, 110)]
SUMS: list[Placed] = [
    (60, 330, "Zwischensumme"),
    (-540, 330, "310,00"),
    (60, 344, "Umsatzsteuer 19 %"),
    (-540, 344, "58,90"),
    (60, 358, "Gesamtbetrag"),
    (-540, 358, "368,90"),
]
COLUMNS: list[Placed] = [
    (60, 200, "Bezeichnung"),
    (-330, 200, "Menge"),
    (-430, 200, "Einzelpreis"),
    (-540, 200, "Betrag"),
]


def row(
    y: float, text: str, *numbers: str, at: tuple[int, ...] = (-330, -430, -540)
) -> list[Placed]:
    return [(60, y, text), *((x, y, n) for x, n in zip(at, numbers, strict=True))]


# The first item's text, and what stands on the page.
TABLES: dict[str, tuple[str, list[Placed]]] = {
    "the text above a row that has a code in its place": (
        "Wartung im Juli",
        [
            *COLUMNS,
            (60, 216, "Wartung im Juli"),
            *row(228, "Art. 95489", "1", "120,00", "120,00"),
            (60, 246, "Texte der Startseite"),
            *row(258, "Art. 1919", "2", "95,00", "190,00"),
        ],
    ),
    "a first text that is the name of a column as well": (
        "Leistung",
        [
            *COLUMNS,
            (60, 211, "Leistung"),
            *row(222, "Ref. 47706", "1", "120,00", "120,00"),
            (60, 246, "Texte der Startseite"),
            *row(257, "Ref. 4077", "2", "95,00", "190,00"),
        ],
    ),
    "the names of the numbers in each item": (
        "Wartung im Juli",
        [
            (60, 200, "Wartung im Juli"),
            (60, 212, "Menge"),
            (160, 212, "Einzelpreis"),
            (260, 212, "USt."),
            (-540, 212, "Betrag"),
            (60, 224, "1"),
            (160, 224, "120,00"),
            (260, 224, "19 %"),
            (-540, 224, "120,00"),
            (60, 248, "Texte der Startseite"),
            (60, 260, "Menge"),
            (160, 260, "Einzelpreis"),
            (260, 260, "USt."),
            (-540, 260, "Betrag"),
            (60, 272, "2"),
            (160, 272, "95,00"),
            (260, 272, "19 %"),
            (-540, 272, "190,00"),
        ],
    ),
    "net, tax and gross, the gross named a total": (
        "Wartung im Juli",
        [
            (45, 200, "#"),
            (100, 200, "Bezeichnung"),
            (-270, 200, "Menge"),
            (-330, 200, "Preis"),
            (-390, 200, "Basis"),
            (-430, 200, "USt. %"),
            (-480, 200, "USt."),
            (-540, 200, "Gesamt"),
            (45, 216, "1 Wartung im Juli"),
            *((x, 216, t) for x, t in ((-270, "1"), (-330, "120,00"), (-390, "120,00"))),
            *((x, 216, t) for x, t in ((-430, "19 %"), (-480, "22,80"), (-540, "142,80"))),
            (45, 230, "2 Texte der Startseite"),
            *((x, 230, t) for x, t in ((-270, "2"), (-330, "95,00"), (-390, "190,00"))),
            *((x, 230, t) for x, t in ((-430, "19 %"), (-480, "36,10"), (-540, "226,10"))),
        ],
    ),
    "how an amount comes about in the place of the text": (
        "Wartung im Juli",
        [
            *COLUMNS,
            (60, 216, "Wartung im Juli"),
            *((x, 228, t) for x, t in ((76, "1 Pauschale x 120,00"), (-540, "120,00"))),
            (60, 246, "Texte der Startseite"),
            *((x, 258, t) for x, t in ((76, "2 Stunden x 95,00"), (-540, "190,00"))),
        ],
    ),
    "codes that run into the texts": (
        "Wartung im Juli",
        [
            (45, 200, "Nr"),
            (62, 200, "Zeug"),
            (120, 200, "Bezeichnung"),
            *COLUMNS[1:],
            *row(216, "1 K28986 Wartung im Juli", "1", "120,00", "120,00"),
            *row(230, "2 M80554 Texte der Startseite", "2", "95,00", "190,00"),
        ],
    ),
    "quantity with decimals and unit first, no column named": (
        "Wartung im Juli",
        [
            *((x, 216, t) for x, t in ((60, "2,25"), (84, "Std"), (110, "Wartung im Juli"))),
            *((x, 216, t) for x, t in ((-400, "53,33"), (-540, "119,99"))),
            *((x, 230, t) for x, t in ((60, "1"), (69, "Stk"), (110, "Texte der Startseite"))),
            *((x, 230, t) for x, t in ((-400, "190,00"), (-540, "190,00"))),
        ],
    ),
    "texts that begin left of their column's name, with codes": (
        "Wartung im Juli nach Vereinbarung",
        [
            (60, 200, "Menge"),
            (110, 200, "Artikelnr."),
            (260, 200, "Bezeichnung"),
            (-430, 200, "Einzelpreis"),
            (-540, 200, "Betrag"),
            *((x, 216, t) for x, t in ((60, "1"), (105, "200417-B"), (170, "Wartung im Juli"))),
            *((x, 216, t) for x, t in ((-430, "120,00"), (-540, "120,00"))),
            (170, 228, "nach Vereinbarung"),
            *(
                (x, 239, t)
                for x, t in ((60, "2"), (105, "308240/2"), (170, "Texte der Startseite"))
            ),
            *((x, 239, t) for x, t in ((-430, "95,00"), (-540, "190,00"))),
        ],
    ),
}


@pytest.mark.parametrize("table", TABLES)
def test_items_are_told_apart_by_what_their_rows_hold(table: str) -> None:
    first, pieces = TABLES[table]
    answer = read(HEAD, META, pieces, SUMS)
    found = [(line["description"], line["amount"]) for line in answer["lines"]]
    amounts = ["119.99", "190.00"] if "unit first" in table else ["120.00", "190.00"]
    assert found == [(first, amounts[0]), ("Texte der Startseite", amounts[1])]
    assert all(line["unit_price"] for line in answer["lines"])


def test_small_print_below_a_text_is_no_part_of_it_in_a_picture_either() -> None:
    pdf = paper()
    items = [
        *row(216, "Wartung im Juli", "1", "120,00", "120,00"),
        *row(242, "Texte der Startseite", "2", "95,00", "190,00"),
    ]
    for x, y, text in (*HEAD, *META, *COLUMNS, *items, *SUMS):
        write(pdf, abs(x), y, text, right=x < 0)
    for y, text in ((226, "nach der Vereinbarung"), (252, "auf Deutsch und Polnisch")):
        write(pdf, 60, y, text, 8)
    answer = read_document(png(picture(bytes(pdf.output()), 200 / 72)))
    found = [line["description"] for line in answer["lines"]]
    assert found == ["Wartung im Juli", "Texte der Startseite"]
