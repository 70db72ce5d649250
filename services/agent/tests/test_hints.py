"""Where values stand that persons corrected: learned of one document, found on the next."""

import json

import pytest
from fpdf import FPDF
from hypothesis import given
from hypothesis import strategies as st

from examples.generator import series
from services.agent.reading import Unreadable, hints, read_document
from services.agent.reading.learning import learn

FIRST = {"number": "QX-1041/7", "issued": "04.03.2026", "payable": "17.04.2026", "total": "238,00"}
NEXT = {"number": "QX-1163/2", "issued": "11.05.2026", "payable": "02.07.2026", "total": "595,00"}
RIGHT = {"invoice_number": "QX-1163/2", "due_date": "2026-07-02"}


def letter(said: dict[str, str]) -> bytes:
    """An invoice that names its number and day of payment as nobody else does."""
    page = FPDF()
    page.add_page()
    page.set_font("Helvetica", size=10)
    rows = [
        "Velmora Papierwerk GmbH", "Mühlweg 4", "80331 München", "", "Rechnung", "",
        f"Belegkennung dieser Sendung {said['number']}", "Lieferung 7788-12 vom 01.02.2026",
        f"Rechnungsdatum: {said['issued']}", f"Geldeingang erbeten {said['payable']}", "",
        f"Gesamtbetrag EUR {said['total']}",
    ]  # fmt: skip
    for row in rows:
        page.cell(0, 6, row, new_x="LMARGIN", new_y="NEXT")
    return bytes(page.output())


def value(answer, name):
    return answer["fields"].get(name, {}).get("value")


def test_a_corrected_value_is_found_by_the_words_before_it_on_the_next_document():
    before = read_document(letter(NEXT))
    assert {name: value(before, name) for name in RIGHT} != RIGHT
    learned = learn(letter(FIRST), options={
        "values": {"invoice_number": FIRST["number"], "due_date": "2026-04-17"},
    })  # fmt: skip
    after = read_document(letter(NEXT), options={"hints": learned})
    assert {name: value(after, name) for name in RIGHT} == RIGHT
    found = after["fields"]["invoice_number"]
    assert "a person corrected it" in found["reason"]
    assert found["page"] == 1
    assert len(found["box"]) == 4
    assert value(after, "gross") == value(before, "gross")


def test_hints_travel_as_json_and_say_nothing_of_the_value_itself():
    learned = learn(letter(FIRST), options={"values": {"invoice_number": FIRST["number"]}})
    assert json.loads(json.dumps(learned)) == learned
    assert FIRST["number"] not in json.dumps(learned)
    [hint] = learned["invoice_number"]
    assert hint["left"] == "belegkennung dieser sendung"
    assert hint["shape"] == "A-9/9"


def test_a_value_that_stands_nowhere_teaches_nothing():
    values = {
        "invoice_number": "NOT-THERE-1",
        "due_date": "2031-01-01",
        "gross": "1.23",
        "iban": "",
    }
    assert learn(letter(FIRST), options={"values": values | {"unheard_of": "x"}}) == {}


def test_hints_of_another_layout_change_nothing():
    strange = {"left": "vorgang", "above": "", "shape": "9", "words": 1, "page": 3, "x0": 0.9,
               "x1": 0.95, "y": 0.9}  # fmt: skip
    given = {name: [strange] for name in hints.FIELDS if name not in hints.CONSTANT}
    assert read_document(letter(NEXT), options={"hints": given}) == read_document(letter(NEXT))


def test_a_supplier_keeps_the_name_that_a_person_gave_it():
    learned = learn(letter(FIRST), options={"values": {"supplier_name": "Velmora Papier"}})
    assert value(read_document(letter(NEXT), options={"hints": learned}), "supplier_name") == (
        "Velmora Papier"
    )


def test_of_two_documents_hints_both_count_the_newer_first_and_no_more_than_are_kept():
    one, two = {"left": "a"}, {"left": "b"}
    assert hints.merged({"gross": [one]}, {"gross": [two], "net": [one]}) == {
        "gross": [two, one],
        "net": [one],
    }
    assert hints.merged({"gross": [one]}, {"gross": [one]}) == {"gross": [one]}
    many = [{"left": str(number)} for number in range(20)]
    assert hints.merged({"gross": many}, {"gross": [one]})["gross"] == [one, *many[:5]]


@pytest.mark.parametrize("data", [b"", b"no document", b"%PDF-1.4 broken"])
def test_what_is_no_document_teaches_nothing_either(data):
    with pytest.raises(Unreadable):
        learn(data, options={"values": {"gross": "1.00"}})


def test_of_an_e_invoice_there_is_nothing_to_learn():
    with pytest.raises(Unreadable, match="EMPTY"):
        learn(b"<Invoice/>", options={"values": {"gross": "1.00"}})


@given(st.text(max_size=60), st.integers(1, 4))
def test_any_text_has_spans_within_it(text, words):
    for found, _, start, end in hints._texts(text, 0, words):
        assert 0 <= start < end <= len(text)
        assert any(mark.isdigit() for mark in found)


def test_suppliers_with_words_of_their_own_are_read_better_by_their_second_document():
    first, *later = series.run(12, "tuning", has_coined_labels=True)
    at_first = first["right"] / first["wanted"]
    for count in later:
        assert count["right"] / count["wanted"] > max(at_first + 0.05, 0.85)
