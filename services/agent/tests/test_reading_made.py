"""How well made documents are read whose layouts and labels the engine was not tuned to."""

import json
import random
from decimal import Decimal
from pathlib import Path
from typing import Any

import pypdfium2
import pytest
from stdnum import iban

from examples.generator import einvoices, evaluate, invent
from examples.generator.layouts import LAYOUTS
from examples.generator.making import KINDS, SPLITS, make, write
from examples.generator.score import HEADER, Tally, is_alike, score
from examples.generator.wording import languages, words_of
from services.agent.reading import read_document
from services.agent.reading.folder import read_file

SEED = 7


def tally_of(kind: str, count: int, folder: Path, *, page_only: bool = True) -> Tally:
    for index in range(count):
        write(folder, "unseen", kind, index, SEED)
    read = folder / "read"
    read.mkdir()
    for file in folder.glob(f"{kind}-????.???"):
        answer = read_file(file, page_only=page_only)
        (read / f"{file.stem}.json").write_text(json.dumps(answer))
    return score(folder, read)


def test_unseen_pages_with_a_text_layer_are_read_to_the_floor(tmp_path: Path) -> None:
    tally = tally_of("page", 24, tmp_path)
    assert tally.f1(*HEADER) >= 0.94
    assert tally.f1("lines") >= 0.94


def test_unseen_scans_are_read_to_the_floor(tmp_path: Path) -> None:
    tally = tally_of("scan", 6, tmp_path)
    assert tally.f1(*HEADER) >= 0.92
    assert tally.f1("lines") >= 0.64


def test_unseen_receipts_are_read_to_the_floor(tmp_path: Path) -> None:
    tally = tally_of("receipt", 6, tmp_path)
    assert tally.f1(*HEADER) >= 0.91


def test_made_e_invoices_are_read_exactly(tmp_path: Path) -> None:
    tally = tally_of("einvoice", 24, tmp_path, page_only=False)
    assert tally.wholly_right == tally.documents == 24


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_number_and_a_seed_make_the_same_document_again(kind: str) -> None:
    one, again = (make("tuning", kind, 3, SEED) for _ in range(2))
    assert one[0] == again[0]
    assert one[2] == again[2]
    if one[0] != ".pdf":
        assert one[1] == again[1]


def test_the_unseen_split_has_layouts_of_its_own_and_other_labels() -> None:
    tuning, unseen = ({layout.name for layout in LAYOUTS[split]} for split in SPLITS)
    assert not tuning & unseen
    assert len(tuning) >= 12
    for language in languages():
        words = words_of(language)
        assert words["tuning"].keys() == words["unseen"].keys(), language
        for key in ("number", "due_date", "net", "gross", "buyer_heading", "description"):
            assert not {*words["tuning"][key]} & {*words["unseen"][key]}, (language, key)


@pytest.mark.parametrize("split", SPLITS)
def test_what_is_expected_stands_on_the_page(split: str) -> None:
    for index in range(32):
        _, data, expected = make(split, "page", index, SEED)
        pages = pypdfium2.PdfDocument(data)
        text = " ".join(page.get_textpage().get_text_bounded() for page in pages)
        squeezed = "".join(text.split())
        for name in ("invoice_number", "iban", "supplier_name", "order_reference"):
            assert "".join(expected.get(name, "").split()) in squeezed, (index, name)
        for line in expected["lines"]:
            assert all(word in squeezed for word in line["description"].split())


@pytest.mark.parametrize("country", sorted(words_of("countries")))
def test_invented_bills_add_up_and_their_numbers_have_right_check_digits(country: str) -> None:
    chance = random.Random(country)
    for _ in range(20):
        made = invent.bill(country, chance)
        assert made.supplier.iban == "" or iban.is_valid(made.supplier.iban)
        total = made.line_sum - made.reduction + made.freight
        assert total == (made.gross if made.has_gross_prices else made.net)
        assert made.net + made.tax == made.gross == made.prepaid + made.amount_due
        assert all(base >= 0 and tax >= 0 for base, tax in made.taxes.values())


def test_a_made_e_invoice_has_its_allowances_and_charges() -> None:
    chance = random.Random(2)
    bills = (invent.bill("DE", chance) for _ in range(200))
    made = next(b for b in bills if b.rebate and b.freight and len(b.taxes) > 1)
    for document in (einvoices.ubl(made), einvoices.cii(made)):
        fields: dict[str, Any] = read_document(document)["fields"]
        assert Decimal(fields["net"]["value"]) == made.net
        assert Decimal(fields["gross"]["value"]) == made.gross


def test_the_scorer_counts_what_is_right_said_and_wanted() -> None:
    tally = Tally()
    want = {
        "invoice_number": "R-1",
        "gross": "10.00",
        "due_date": "2026-01-02",
        "lines": [{"description": "Steel shelf", "detail": "Colour: grey", "amount": "10.00"}],
    }
    got = {
        "invoice_number": "r1",
        "gross": "10",
        "net": "9",
        "lines": [{"description": "Steel shelf Colour: grey", "amount": "10.00"}],
    }
    assert tally.add(got, want) == ["due_date"]
    assert tally.f1("invoice_number", "gross", "lines") == 1
    assert tally.f1("due_date") == 0
    assert tally.f1("net") is None
    assert tally.wholly_right == 0
    assert not is_alike("Paint", want["lines"][0])


def test_a_folder_is_read_by_the_engines_command_and_becomes_a_row_of_each_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluate, "BUILD", tmp_path)
    monkeypatch.setitem(evaluate.COUNTS, "page", 2)
    result = evaluate.one(("tuning, text layer", "tuning", "page", True))
    assert result.tally.documents == 2
    page = evaluate.report([result], 1)
    assert page.count("| tuning, text layer |") == 2
    assert "(tuning) |" in page
