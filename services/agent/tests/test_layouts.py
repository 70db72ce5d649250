"""Pages set in ways that firms set them, each with what makes it hard to read."""

from typing import Any

import pytest

from services.agent.reading import read_document
from services.agent.tests.test_reading import paper, values, write

# Where a text stands: its left edge, or its right edge where it is negative, and its base line.
Placed = tuple[float, float, str]

SELLER = ("Kelnis Servizi S.p.A.", "Via dei Tigli 54", "28907 Rufer (MI)")
BUYER = ("Dalbra S.n.c.", "Via dei Tigli 7", "88255 Selkel (MI)")
META: list[Placed] = [(380, 90, "Fattura n.: 2026/118"), (380, 104, "Data: 07/05/2026")]
COLUMNS: list[Placed] = [
    (60, 200, "Descrizione"),
    (-360, 200, "Quantità"),
    (-440, 200, "Prezzo"),
    (-540, 200, "Importo"),
]
ITEM: list[Placed] = [
    (60, 220, "Viti in acciaio"),
    (-360, 220, "2"),
    (-440, 220, "50,00"),
    (-540, 220, "100,00"),
]
TOTALS: list[Placed] = [
    (340, 300, "Totale imponibile"),
    (-540, 300, "100,00 €"),
    (340, 314, "IVA 22%"),
    (-540, 314, "22,00 €"),
    (340, 328, "Totale fattura"),
    (-540, 328, "122,00 €"),
]


def read(*pieces: list[Placed], size: int = 10) -> dict[str, Any]:
    pdf = paper()
    for x, y, text in (one for piece in pieces for one in piece):
        write(pdf, abs(x), y, text, size, right=x < 0)
    return read_document(bytes(pdf.output()))


def address(lines: tuple[str, ...], x: float, y: float) -> list[Placed]:
    return [(x, y + 12 * n, line) for n, line in enumerate(lines)]


def test_a_seller_who_stands_only_in_the_foot_is_no_less_the_seller() -> None:
    foot: list[Placed] = [
        (60, 780, " · ".join(SELLER)),
        (60, 792, "Partita IVA IT97837151204 · IBAN DE54 1779 8411 1628 9332 97"),
    ]
    answer = read(address(BUYER, 60, 90), META, COLUMNS, ITEM, TOTALS, foot)
    assert values(answer)["supplier_name"] == SELLER[0]
    assert values(answer)["buyer_name"] == BUYER[0]


def test_a_column_that_may_hold_codes_holds_the_descriptions_where_none_other_does() -> None:
    columns = [(60.0, 200.0, "SKU"), (110.0, 200.0, "Articolo"), *COLUMNS[1:]]
    items = [(60.0, 220.0, "A332"), (110.0, 220.0, "Viti in acciaio"), *ITEM[1:]]
    detail = [(110.0, 232.0, "zincate, testa piana")]
    second = [(x, y + 32, text) for x, y, text in items]
    answer = read(address(SELLER, 60, 90), META, columns, items, detail, second, TOTALS)
    assert [line["amount"] for line in answer["lines"]] == ["100.00", "100.00"]
    assert answer["lines"][1]["description"] == "Viti in acciaio"


def test_totals_side_by_side_below_their_names_are_no_item() -> None:
    beside: list[Placed] = [
        (70, 300, "Totale imponibile"),
        (230, 300, "IVA 22% (100,00)"),
        (460, 300, "Totale fattura"),
        (70, 320, "€100,00"),
        (240, 320, "€22,00"),
        (-538, 320, "€122,00"),
    ]
    answer = read(address(SELLER, 60, 90), META, COLUMNS, ITEM, beside)
    found = values(answer)
    assert [line["amount"] for line in answer["lines"]] == ["100.00"]
    assert (found["net"], found["tax"], found["gross"]) == ("100.00", "22.00", "122.00")


def test_a_base_in_brackets_beside_its_tax_is_not_negative() -> None:
    totals: list[Placed] = [
        (300, 300, "Totale imponibile :"),
        (-540, 300, "300,00"),
        (300, 314, "IVA 10% (200,00) :"),
        (-540, 314, "20,00"),
        (300, 328, "IVA 22% (100,00) :"),
        (-540, 328, "22,00"),
        (300, 342, "Totale fattura :"),
        (-540, 342, "342,00"),
    ]
    found = values(read(address(SELLER, 60, 90), META, COLUMNS, ITEM, totals))
    assert (found["net"], found["tax"], found["gross"]) == ("300.00", "42.00", "342.00")
    rates = {part["rate"]: part["base"] for part in found["tax_breakdown"]}
    assert rates == {"10": "200.00", "22": "100.00"}


@pytest.mark.parametrize("amount", ["6 786,20", "€6 786,20", "16 786,20"])
def test_an_amount_wider_than_its_columns_name_is_not_cut_at_its_thousands(amount: str) -> None:
    columns = [*COLUMNS[:3], (-540.0, 200.0, "Tot.")]
    items = [*ITEM[:2], (-440.0, 220.0, "3 393,10"), (-540.0, 220.0, amount)]
    answer = read(address(SELLER, 60, 90), META, columns, items)
    wanted = amount.lstrip("€").replace(" ", "").replace(",", ".")
    assert [line["amount"] for line in answer["lines"]] == [wanted]


def test_two_names_of_columns_close_together_are_not_read_as_one() -> None:
    columns = [*COLUMNS[:2], (-443.0, 200.0, "Prezzo"), (451.0, 200.0, "Totale riga")]
    answer = read(address(SELLER, 60, 90), META, columns, ITEM, TOTALS)
    [line] = answer["lines"]
    assert (line["unit_price"], line["amount"]) == ("50.00", "100.00")


def test_a_code_of_the_items_below_the_title_is_not_the_invoices_number() -> None:
    title: list[Placed] = [(60, 160, "FATTURA")]
    number: list[Placed] = [(380, 90, "Nr: 118/2026"), (380, 104, "Data: 07/05/2026")]
    columns = [(60.0, 176.0, "Codice"), *((x, 176.0, text) for x, _, text in COLUMNS[1:])]
    columns.insert(1, (120.0, 176.0, "Descrizione"))
    items = [
        (60.0, 190.0, "A388"),
        (120.0, 190.0, "Viti"),
        *((x, 190.0, t) for x, _, t in ITEM[1:]),
    ]
    answer = read(address(SELLER, 60, 90), number, title, columns, items, TOTALS)
    assert values(answer)["invoice_number"] == "118/2026"


def test_an_english_page_in_us_dollars_has_the_month_first() -> None:
    meta: list[Placed] = [
        (360, 90, "Invoice # 5981"),
        (360, 104, "Date 01/11/2026"),
        (360, 118, "Due Date 02/10/2026"),
    ]
    total: list[Placed] = [(340, 300, "Grand total"), (-540, 300, "28,126.65 USD")]
    found = values(read([(60, 90, "Rutri Studios LLP"), (60, 60, "Invoice")], meta, total))
    assert (found["issue_date"], found["due_date"]) == ("2026-01-11", "2026-02-10")
