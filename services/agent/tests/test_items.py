"""Items without columns, sums carried over, discounts and prepayments, and numbers in parts."""

import pytest

from services.agent.reading import read_document
from services.agent.reading.einvoice import parse
from services.agent.tests.test_layouts import (
    BUYER,
    COLUMNS,
    ITEM,
    META,
    SELLER,
    TOTALS,
    Placed,
    address,
    read,
)
from services.agent.tests.test_reading import CII, UBL, paper, values, write

HEAD = [*address(SELLER, 60, 60), *address(BUYER, 60, 110)]
SUMS: list[Placed] = [
    (60, 300, "Zwischensumme"),
    (-540, 300, "310,00"),
    (60, 314, "Umsatzsteuer 19 %"),
    (-540, 314, "58,90"),
    (60, 328, "Gesamt"),
    (-540, 328, "368,90"),
]
STACKS: dict[str, list[Placed]] = {
    "the sum under the text": [
        (60, 200, "Wartung im Juli"),
        (60, 212, "1 x 120,00"),
        (-540, 212, "120,00"),
        (60, 230, "Texte der Startseite"),
        (60, 242, "2 x 95,00"),
        (-540, 242, "190,00"),
    ],
    "the amount beside the text": [
        (60, 200, "Wartung im Juli"),
        (-540, 200, "120,00"),
        (60, 212, "1 x 120,00"),
        (60, 230, "Texte der Startseite"),
        (-540, 230, "190,00"),
        (60, 242, "2 x 95,00"),
    ],
    "numbered, the numbers named": [
        (60, 200, "1"),
        (80, 200, "Wartung im Juli"),
        (80, 212, "Anzahl: 1"),
        (200, 212, "Preis: 120,00"),
        (-540, 212, "Wert: 120,00"),
        (60, 224, "2"),
        (80, 224, "Texte der Startseite"),
        (80, 236, "Anzahl: 2"),
        (200, 236, "Preis: 95,00"),
        (-540, 236, "Wert: 190,00"),
    ],
    "less a discount, with the rate": [
        (60, 200, "Wartung im Juli"),
        (60, 212, "1 Stk x 120,00, 19 % USt"),
        (-540, 212, "120,00"),
        (60, 224, "Texte der Startseite"),
        (60, 236, "2 Std x 100,00, 5 % Rabatt, 19 % USt"),
        (-540, 236, "190,00"),
    ],
}


@pytest.mark.parametrize("stack", STACKS)
def test_items_set_below_each_other_without_columns_are_read(stack: str) -> None:
    answer = read(HEAD, META, STACKS[stack], SUMS)
    found = [(line["description"], line["amount"]) for line in answer["lines"]]
    assert found == [("Wartung im Juli", "120.00"), ("Texte der Startseite", "190.00")]
    assert [line["quantity"] for line in answer["lines"]] == ["1", "2"]


def test_how_an_amount_comes_about_is_no_part_of_a_description() -> None:
    columns = [COLUMNS[0], COLUMNS[-1]]
    item: list[Placed] = [(60, 220, "Viti in acciaio"), (-540, 220, "100,00")]
    answer = read(HEAD, META, columns, item, [(60, 232, "2 pz x 50,00")], TOTALS)
    assert answer["lines"][0]["description"] == "Viti in acciaio"
    assert (answer["lines"][0]["quantity"], answer["lines"][0]["unit_price"]) == ("2", "50.00")


@pytest.mark.parametrize("name", ["Riporto", "Zwbqtr"])
def test_a_sum_carried_over_is_no_item_whatever_it_is_called(name: str) -> None:
    carried: list[Placed] = [(60, 234, name), (-540, 234, "100,00")]
    second: list[Placed] = [
        (60, 248, "Dadi zincati"),
        (-360, 248, "3"),
        (-440, 248, "10,00"),
        (-540, 248, "30,00"),
    ]
    answer = read(HEAD, META, COLUMNS, ITEM, carried, second)
    assert [line["amount"] for line in answer["lines"]] == ["100.00", "30.00"]


def test_the_totals_follow_the_discount_on_all_items_and_a_prepayment_the_total() -> None:
    totals: list[Placed] = [
        (340, 300, "Totale merce"),
        (-540, 300, "100,00"),
        (340, 314, "Sconto 5%"),
        (-540, 314, "-5,00"),
        (340, 328, "Totale imponibile"),
        (-540, 328, "95,00"),
        (340, 342, "IVA 20%"),
        (-540, 342, "19,00"),
        (340, 356, "Totale fattura"),
        (-540, 356, "114,00"),
        (340, 370, "Zwbqtr"),
        (-540, 370, "-14,00"),
        (340, 384, "Mxprqd"),
        (-540, 384, "100,00"),
    ]
    found = values(read(HEAD, META, COLUMNS, ITEM, totals))
    assert (found["net"], found["tax"], found["gross"]) == ("95.00", "19.00", "114.00")
    assert (found["prepaid"], found["amount_due"]) == ("-14.00", "100.00")


def test_a_table_of_taxes_is_none_of_items() -> None:
    taxes: list[Placed] = [
        (60, 250, "Codice"),
        (-200, 250, "Quantità"),
        (-280, 250, "Totale"),
        (-200, 264, "22"),
        (-280, 264, "122,00"),
    ]
    answer = read(HEAD, META, COLUMNS, ITEM, taxes, TOTALS)
    assert [line["amount"] for line in answer["lines"]] == ["100.00"]


@pytest.mark.parametrize("number", ["FA 2026 0118", "12 3456 7890", "20260507", "FT 2026/118"])
def test_a_number_in_parts_or_like_a_date_is_one_number(number: str) -> None:
    meta: list[Placed] = [(380, 90, f"Numero fattura: {number}"), (380, 104, "Data: 07/05/2026")]
    found = values(read(HEAD, meta, COLUMNS, ITEM, TOTALS))
    assert found["invoice_number"] == number
    assert found["issue_date"] == "2026-05-07"


def test_the_invoice_that_a_credit_note_corrects_gives_it_neither_number_nor_day() -> None:
    pdf = paper()
    for x, y, text in [
        (60, 60, "Papier Mertsal GmbH & Co. KG, Hafenstr. 10, 24103 Kiel"),
        (60, 100, "Gutschrift"),
        (60, 120, "Belegnummer: GS-1009"),
        (300, 120, "Datum: 20.02.2026"),
        (60, 134, "zu Rechnung Nr. 4711 vom 02.02.2026"),
        (60, 300, "Summe netto 200,00"),
        (60, 314, "19 % USt 38,00"),
        (60, 328, "Gutschriftsbetrag 238,00"),
    ]:
        write(pdf, x, y, text)
    found = values(read_document(bytes(pdf.output())))
    assert (found["invoice_number"], found["issue_date"]) == ("GS-1009", "2026-02-20")
    assert found["supplier_name"] == "Papier Mertsal GmbH & Co. KG"
    assert found["document_type"] == "CREDIT_NOTE"


def test_an_e_invoice_in_an_envelope_is_read() -> None:
    body = UBL.split("?>", 1)[-1]
    wrapped = f"<StandardBusinessDocument>{body}</StandardBusinessDocument>"
    assert parse(wrapped.encode()) == parse(UBL.encode())


def test_the_price_of_a_hundred_is_that_of_one_times_a_hundred() -> None:
    base = '<b:BaseQuantity unitCode="C62">100</b:BaseQuantity>'
    priced = UBL.replace("</b:PriceAmount>", f"</b:PriceAmount>{base}")
    assert base in priced
    assert parse(priced.encode()).lines[0]["unit_price"] == "0.5"


def test_a_line_that_only_heads_others_is_no_item() -> None:
    xml = CII.format(code="380")
    opened = xml.index("AssociatedDocumentLineDocument>") + len("AssociatedDocumentLineDocument>")
    prefix = xml[: xml.index("AssociatedDocumentLineDocument>")].rsplit("<", 1)[-1]
    reason = f"<{prefix}LineStatusReasonCode>GROUP</{prefix}LineStatusReasonCode>"
    grouped = xml[:opened] + reason + xml[opened:]
    assert len(parse(grouped.encode()).lines) == len(parse(xml.encode()).lines) - 1
