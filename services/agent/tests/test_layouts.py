"""Pages set in ways that firms set them, each with what makes it hard to read."""

from typing import Any

import pytest

from services.agent.reading import read_document
from services.agent.reading.vocabulary import load
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


def test_a_seller_in_the_foot_has_its_tax_id_beside_it_in_a_column_of_its_own() -> None:
    taxed: list[Placed] = [*COLUMNS, (-480, 200, "P.IVA")]
    foot: list[Placed] = [
        *address(SELLER, 60, 400),
        (220, 400, "Tel. +39 02 5512 900"),
        (400, 400, "IT97837151204"),
    ]
    answer = read(address(BUYER, 60, 90), META, taxed, ITEM, TOTALS, foot)
    assert values(answer)["supplier_name"] == SELLER[0]


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


UNKNOWN_TOTALS: list[Placed] = [
    (340, 300, "Quaxo"),
    (-540, 300, "100,00 €"),
    (340, 314, "Zilp 22%"),
    (-540, 314, "22,00 €"),
    (340, 328, "Brom"),
    (-540, 328, "122,00 €"),
]


def test_totals_that_come_to_each_other_need_no_name_that_is_known() -> None:
    answer = read(address(SELLER, 60, 90), META, COLUMNS, ITEM, UNKNOWN_TOTALS)
    found = values(answer)
    assert (found["net"], found["tax"], found["gross"]) == ("100.00", "22.00", "122.00")
    assert "100.00 + 22.00 = 122.00" in answer["fields"]["gross"]["reason"]


def test_amounts_that_differ_by_no_rate_of_tax_are_not_taken_for_net_and_gross() -> None:
    chance = [*UNKNOWN_TOTALS[:2], (340.0, 314.0, "Zilp"), (-540.0, 314.0, "1,37 €")]
    chance += [(340.0, 328.0, "Brom"), (-540.0, 328.0, "101,37 €")]
    found = values(read(address(SELLER, 60, 90), META, COLUMNS, ITEM, chance))
    assert found.get("tax") != "1.37"


@pytest.mark.parametrize("rate", ["", "10%"])
def test_a_table_whose_columns_have_unknown_names_is_read_by_what_its_rows_come_to(
    rate: str,
) -> None:
    names: list[Placed] = [(60, 200, "Zwal"), (-360, 200, "Pum"), (-540, 200, "Krot")]
    rows: list[Placed] = []
    for n, (text, count, price, amount) in enumerate(
        (
            ("Viti in acciaio", "3", "50,00", "135,00" if rate else "150,00"),
            ("Noleggio", "1", "20,00", "18,00" if rate else "20,00"),
        )
    ):
        y = 220 + 30 * n
        rows += [(40, y, str(n + 1)), (60, y, text), (-360, y, count), (-440, y, price)]
        rows += [(-480, y, rate)] if rate else []
        rows += [(-540, y, amount), (60, y + 9, "zincate")]
    answer = read(address(SELLER, 60, 90), META, names, rows, TOTALS)
    read_lines = [
        (line["description"].removesuffix(" zincate"), line["quantity"], line["unit_price"])
        for line in answer["lines"]
    ]
    assert read_lines == [("Viti in acciaio", "3", "50.00"), ("Noleggio", "1", "20.00")]


def test_texts_with_an_amount_each_that_come_to_a_total_are_items() -> None:
    rows: list[Placed] = [
        (60, 200, "Zwal"),
        (60, 220, "Viti in acciaio"),
        (-540, 220, "80,00"),
        (60, 234, "Noleggio"),
        (-540, 234, "20,00"),
    ]
    answer = read(address(SELLER, 60, 90), META, rows, TOTALS)
    found = [(line["description"], line["amount"]) for line in answer["lines"]]
    assert found == [("Viti in acciaio", "80.00"), ("Noleggio", "20.00")]


def test_a_discount_and_freight_on_all_items_are_none_of_them() -> None:
    rows: list[Placed] = [
        (340, 250, "Sconto commerciale"),
        (-540, 250, "-5,00"),
        (340, 264, "Trasporto"),
        (-540, 264, "5,00"),
    ]
    answer = read(address(SELLER, 60, 90), META, COLUMNS, ITEM, rows, TOTALS)
    assert [line["amount"] for line in answer["lines"]] == ["100.00"]


def test_a_seller_without_a_legal_form_is_known_by_its_tax_id_and_the_letters_window() -> None:
    marks: list[Placed] = [(60, 126, "P.IVA 59729720371"), (60, 138, "Tel. +39 02 555 0110")]
    letterhead = address(("Impianti Mersasch", "Via Po 3", "20121 Milano (MI)"), 60, 90)
    answer = read(letterhead, marks, address(BUYER, 60, 160), COLUMNS, ITEM, TOTALS)
    assert values(answer)["supplier_name"] == "Impianti Mersasch"
    window: list[Placed] = [(60, 90, "Impianti Mersasch · Via Po 3 · 20121 Milano")]
    answer = read(window, address(BUYER, 60, 104), META, COLUMNS, ITEM, TOTALS)
    assert values(answer)["supplier_name"] == "Impianti Mersasch"


def test_a_tax_id_in_groups_of_digits_is_one_number() -> None:
    marks: list[Placed] = [(60, 126, "Contribuinte n.º 528 057 146")]
    answer = read(
        address(("Obras Torlin Lda.", "Rua Nova, 8", "4050-123 Porto"), 60, 90),
        [*marks, (380, 90, "Fatura n.º 118/2026"), (380, 104, "Data de emissão 2026-05-07")],
    )
    assert values(answer)["supplier_tax_ids"] == ["528057146"]


def test_a_day_behind_a_number_and_a_word_in_its_row_is_seen() -> None:
    meta: list[Placed] = [
        (60, 90, "Via dei Tigli 6"),
        (330, 90, "Data"),
        (430, 90, "27 ottobre 2026"),
    ]
    assert values(read([(60, 60, "Fattura")], meta, TOTALS))["issue_date"] == "2026-10-27"


def test_labels_set_in_a_face_with_wide_spaces_are_read() -> None:
    pieces = [address(SELLER, 60, 90), META, COLUMNS, ITEM, TOTALS]
    wide = [[(x, y, text.replace(" ", "   ")) for x, y, text in piece] for piece in pieces]
    found = values(read(*wide))
    assert (found["invoice_number"], found["gross"]) == ("2026/118", "122.00")


def test_a_phrase_with_alternatives_is_every_label_that_it_stands_for() -> None:
    labels = load(("en",))
    for said in (["total", "excl", "gst"], ["amount", "before", "tax"]):
        assert any(label.field == "net" for label in labels.at(said, 0)[:1])


def test_a_number_whose_label_is_unknown_is_taken_only_where_it_is_the_only_one() -> None:
    day: Placed = (380, 104, "Data: 07/05/2026")
    lone = read(address(SELLER, 60, 90), [(380, 90, "Zwal: GX/2026-118"), day], COLUMNS, ITEM)
    assert values(lone)["invoice_number"] == "GX/2026-118"
    assert "shaped like a number" in lone["fields"]["invoice_number"]["reason"]
    both: list[Placed] = [(380, 76, "Krot: GX/2026-117"), (380, 90, "Zwal: GX/2026-118"), day]
    assert "invoice_number" not in values(read(address(SELLER, 60, 90), both, COLUMNS, ITEM))


@pytest.mark.parametrize(
    ("terms", "due"),
    [
        ("Pagamento a 30 giorni data fattura", "2026-06-06"),
        ("Pagamento: 10 o 14 giorni netti", "2026-05-21"),
        ("Sconto 2% per pagamento entro 10 giorni", None),
        ("Garanzia 30 giorni", None),
    ],
)
def test_terms_of_payment_give_the_due_date_where_none_is_named(
    terms: str, due: str | None
) -> None:
    answer = read(address(SELLER, 60, 90), META, COLUMNS, ITEM, TOTALS, [(60, 400, terms)])
    assert values(answer).get("due_date") == due


def test_a_later_day_whose_label_is_unknown_may_be_the_due_date() -> None:
    meta = [*META, (380.0, 118.0, "Zwal: 06/06/2026")]
    answer = read(address(SELLER, 60, 90), meta, COLUMNS, ITEM, TOTALS)
    assert values(answer)["due_date"] == "2026-06-06"
    assert "the only day" in answer["fields"]["due_date"]["reason"]


def test_a_date_whose_year_is_in_the_next_line_of_its_cell_is_one_date() -> None:
    meta: list[Placed] = [
        (60, 90, "Data fattura"),
        (200, 90, "Scadenza"),
        (60, 102, "5 settembre"),
        (200, 102, "20 ottobre"),
        (60, 114, "2026"),
        (200, 114, "2026"),
    ]
    found = values(read([(60, 60, "Fattura")], meta, TOTALS))
    assert (found["issue_date"], found["due_date"]) == ("2026-09-05", "2026-10-20")


def test_day_and_month_are_read_in_the_order_that_puts_the_dates_close_together() -> None:
    meta: list[Placed] = [
        (60, 90, "Invoice # 5981"),
        (60, 104, "Date 02/04/2026"),
        (60, 118, "Due Date 09/04/2026"),
    ]
    total: list[Placed] = [(340, 300, "Grand total"), (-540, 300, "$126.65")]
    found = values(read([(60, 60, "Invoice")], meta, total))
    assert (found["issue_date"], found["due_date"]) == ("2026-04-02", "2026-04-09")


def test_a_tax_within_the_total_is_neither_the_total_nor_added_to_it() -> None:
    slip: list[Placed] = [
        (60, 100, "Panificio Mersasch"),
        (60, 140, "Torta limone"),
        (-300, 140, "231,50"),
        (60, 180, "Subtotale"),
        (-300, 180, "231,50"),
        (60, 194, "di cui IVA 22%"),
        (-300, 194, "41,75"),
    ]
    assert values(read(slip))["gross"] == "231.50"
    named: list[Placed] = [(60, 208, "Totale"), (-300, 208, "231,50")]
    tax: list[Placed] = [(60, 222, "Totale con IVA 22%"), (-300, 222, "41,75")]
    found = values(read(slip[:3], named, tax))
    assert found["gross"] == "231.50"


def test_a_letterhead_whose_address_is_one_line_is_the_sellers() -> None:
    head: list[Placed] = [(60, 60, "Impianti Mersasch"), (60, 74, "Via Po 3 - 20121 Milano")]
    answer = read(head, address(BUYER, 60, 120), META, COLUMNS, ITEM, TOTALS)
    found = values(answer)
    assert (found["supplier_name"], found["buyer_name"]) == ("Impianti Mersasch", BUYER[0])


def test_a_tall_page_set_letter_by_letter_has_words() -> None:
    pdf = paper()
    pieces = [*address(BUYER, 60, 60), (60, 110, "Fattura n.: 2026/118"), *COLUMNS]
    rows = [(abs(x), y + 14 * n, text) for n in range(40) for x, y, text in ITEM]
    for x, y, text in (*pieces, *rows):
        at = abs(x)
        for letter in text:
            if letter != " ":
                write(pdf, at, y, letter)
            at += pdf.get_string_width(letter)
    answer = read_document(bytes(pdf.output()))
    assert values(answer)["invoice_number"] == "2026/118"
    assert [line["description"] for line in answer["lines"]] == ["Viti in acciaio"] * 40


def test_a_label_in_two_lines_is_one_label() -> None:
    meta: list[Placed] = [
        (380, 84, "Numero"),
        (380, 94, "fattura"),
        (460, 84, "2026/118"),
        (380, 108, "Data"),
        (380, 118, "documento"),
        (460, 108, "7 maggio"),
        (460, 118, "2026"),
        (380, 132, "Data di"),
        (380, 142, "scadenza"),
        (460, 132, "21/05/2026"),
    ]
    answer = read(address(SELLER, 60, 60), address(BUYER, 60, 110), meta, COLUMNS, ITEM, TOTALS)
    found = values(answer)
    assert found["invoice_number"] == "2026/118"
    assert (found["issue_date"], found["due_date"]) == ("2026-05-07", "2026-05-21")


def test_a_towns_code_below_the_title_is_not_the_invoices_number() -> None:
    meta: list[Placed] = [(400, 60, "Numero: A-1310"), (60, 84, "FATTURA")]
    buyer = (BUYER[0], "41037 Keltridor")
    answer = read(address(SELLER, 400, 84), address(buyer, 60, 96), meta, COLUMNS, ITEM, TOTALS)
    assert values(answer)["invoice_number"] == "A-1310"


def test_an_address_right_above_a_table_is_none_of_its_header() -> None:
    above: list[Placed] = [
        (60, 178, "Dalbra Articolo S.n.c."),
        (300, 178, "Dalnis Prezzo Lda"),
        (60, 189, "Rua 51"),
    ]
    answer = read(META, above, COLUMNS, ITEM, TOTALS)
    assert [line["description"] for line in answer["lines"]] == ["Viti in acciaio"]


def test_a_name_that_reaches_to_the_next_column_ends_there() -> None:
    pdf = paper()
    pdf.set_font("Body", size=10)
    name = "Kelnis Servizi Industriali S.p.A."
    beside = 60 + pdf.get_string_width(name) + 4
    pieces = [
        *address((name, *SELLER[1:], "P.IVA: IT97837151204"), 60, 60),
        *address(("Cliente", *BUYER), beside, 60),
    ]
    for x, y, text in (*pieces, (60, 130, "Fattura n.: 2026/118"), *COLUMNS, *ITEM, *TOTALS):
        write(pdf, abs(x), y, text, right=x < 0)
    found = values(read_document(bytes(pdf.output())))
    assert (found["supplier_name"], found["buyer_name"]) == (name, BUYER[0])


def test_a_name_that_has_no_room_in_its_column_goes_on_below() -> None:
    foot: list[Placed] = [
        *address(("Kelnis Industriali", "Servizi S.p.A.", *SELLER[1:]), 60, 400),
        (176, 400, "Tel. +39 02 5512 900"),
        (400, 400, "IT97837151204"),
    ]
    answer = read(address(BUYER, 60, 90), META, COLUMNS, ITEM, TOTALS, foot)
    assert values(answer)["supplier_name"] == "Kelnis Industriali\nServizi S.p.A."


def test_a_name_in_large_type_may_go_on_without_a_column_to_be_seen() -> None:
    pdf = paper()
    for y, line in ((60, "Kelnis & Rufer"), (80, "Servizi S.p.A.")):
        write(pdf, 60, y, line, 16)
    pieces = [*address(SELLER[1:], 60, 100), *address(BUYER, 380, 120), *META[1:]]
    for x, y, text in (*pieces, (60, 170, "Fattura n.: 2026/118"), *COLUMNS, *ITEM, *TOTALS):
        write(pdf, abs(x), y, text, right=x < 0)
    found = values(read_document(bytes(pdf.output())))
    assert found["supplier_name"] == "Kelnis & Rufer\nServizi S.p.A."


def test_cells_that_nearly_touch_are_told_apart_by_the_rows_above_and_below() -> None:
    pdf = paper()
    pdf.set_font("Body", size=10)
    site = "www.kelnis-servizi.example"
    beside = 60 + pdf.get_string_width(site) + pdf.get_string_width(" ")
    account = ("P.IVA: IT97837151204", "IBAN: DE54 1779 8411", "1628 9332 97")
    left = (SELLER[0], site, "Tel. 02 5512")
    foot = [*address(left, 60, 400), *address(account, beside, 400)]
    pieces = [*address(BUYER, 60, 90), *META, *COLUMNS, *ITEM, *TOTALS, *foot]
    for x, y, text in pieces:
        write(pdf, abs(x), y, text, right=x < 0)
    found = values(read_document(bytes(pdf.output())))
    assert found["iban"] == "DE54177984111628933297"


def test_whose_web_address_stands_on_the_page_is_the_seller() -> None:
    foot: list[Placed] = [(60, 780, "fatture@kelnis-servizi.example")]
    parties = [*address(BUYER, 60, 60), *address(SELLER, 380, 60)]
    meta = [(x, y + 40, text) for x, y, text in META]
    answer = read(parties, meta, COLUMNS, ITEM, TOTALS, foot)
    assert values(answer)["supplier_name"] == SELLER[0]


@pytest.mark.parametrize("right", [False, True])
def test_who_stands_beside_the_label_of_the_buyers_block_is_another(right: bool) -> None:
    seller = address((*SELLER, "P.IVA: IT97837151204"), 380, 60)
    buyer = address(("Cliente", *BUYER, "P.IVA: IT08934712306"), 60, 60)
    placed = [(-540, y, text) for _, y, text in seller] if right else seller
    meta: list[Placed] = [(60, 160, "Fattura n.: 2026/118"), (60, 174, "Data: 07/05/2026")]
    found = values(read(buyer, placed, meta, COLUMNS, ITEM, TOTALS))
    assert (found["supplier_name"], found["buyer_name"]) == (SELLER[0], BUYER[0])
    assert found["supplier_tax_ids"] == ["IT97837151204"]
