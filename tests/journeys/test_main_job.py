"""From sign-up to the reports, through REST alone, on the examples."""

import asyncio
import io
from decimal import Decimal

import openpyxl
import pypdfium2

from tests.journeys.conftest import EXAMPLES

ENDED = ("JOB_STATE_SUCCEEDED", "JOB_STATE_FAILED", "JOB_STATE_CANCELLED")
# What each document says: number, gross, where it is read from, and who wrote it.
SAID = {
    "01-paper-text.pdf": ("PN-2026-0417", "487.51", "TEXT_LAYER", "Papierwerk Nord GmbH"),
    "02-hosting-facturx.pdf": ("F2026/0931", "470.40", "E_INVOICE", "Nimbus Hosting SARL"),
    "03-power-ubl.xml": ("552019844", "753.91", "E_INVOICE", "Elbstrom Energie AG"),
    "04-power-ubl.xml": ("552020391", "177.31", "E_INVOICE", "Elbstrom Energie AG"),
    "05-freight-cii.xml": ("2026-0088-A", "482.79", "E_INVOICE", "Delta Freight B.V."),
    "06-freight-credit-note-ubl.xml": ("CN-2026-0012", "142.78", "E_INVOICE", "Delta Freight B.V."),
    "07-cleaning-scan.pdf": ("R-10472", "895.48", "OCR", "Blankform Gebaeudereinigung"),
    "08-receipt.jpg": (None, "17.10", "OCR", "CORNER CAFE ALTONA"),
    "09-sale-text.pdf": ("HL-2026-0203", "804.00", "TEXT_LAYER", "Harbour Lane Trading GmbH"),
}
YEAR = {"start_date": "2026-01-01", "end_date": "2026-12-31"}


async def test_documents_become_books(sign_up):
    person = await sign_up()
    invoices = await uploaded(person)
    for name, invoice in invoices.items():
        number, gross, source, supplier = SAID[name]
        assert Decimal(invoice["gross"]["amount"]) == Decimal(gross), name
        assert number is None or invoice["invoice_number"] == number, name
        assert invoice["supplier"]["display_name"] == supplier, name
        sources = {reading.get("source") for reading in invoice["readings"]}
        assert f"READING_SOURCE_{source}" in sources, name
    for invoice in invoices.values():
        path = f"/v1/invoices/{invoice['invoice_id']}:approve"
        approved = await person.post(path, {"etag": invoice["etag"]})
        assert approved["state"] == "INVOICE_STATE_APPROVED"
    await pay(person)
    paid = await person.until(
        "/v1/invoices",
        lambda page: sum(one["state"] == "INVOICE_STATE_PAID" for one in page["invoices"]) == 8,
    )
    left = [one for one in paid["invoices"] if one["state"] != "INVOICE_STATE_PAID"]
    assert [one["gross"]["amount"] for one in left] == ["17.10"]
    await check_books(person)


async def test_each_field_says_how_it_was_read_and_what_a_person_corrected(sign_up):
    person = await sign_up()
    answer = await send(person, "01-paper-text.pdf")
    path = f"/v1/invoices/{answer.json()['invoice_id']}"
    invoice = await person.until(path, lambda found: found["state"] == "INVOICE_STATE_IN_REVIEW")
    gross = reading_of(invoice, "gross")
    assert (gross["value"], gross["source"], gross["page"]) == (
        "487.51", "READING_SOURCE_TEXT_LAYER", 1,
    )  # fmt: skip
    left, top, right, bottom = gross["box"]
    assert 0 < left < right < 1
    assert 0 < top < bottom < 1
    assert 0.5 < gross["confidence"] <= 1
    assert gross["reason"]
    assert any(reading.get("candidates") for reading in invoice["readings"])

    change = {"etag": invoice["etag"], "supplier": {**invoice["supplier"], "iban": ""}}
    change["supplier"]["display_name"] = "Somebody Else Ltd"
    answer = await person.call("PATCH", path, json=change)
    assert answer.status_code == 200, answer.text
    corrected = reading_of(await person.get(path), "supplier.display_name")
    read = reading_of(invoice, "supplier.display_name")
    assert corrected["source"] == "READING_SOURCE_PERSON"
    assert corrected["value"] == "Somebody Else Ltd"
    assert corrected["original"] == read


def reading_of(invoice, field):
    """How one field was read."""
    return next(reading for reading in invoice["readings"] if reading["field"] == field)


async def uploaded(person):
    """Every example, read to its end."""
    answers = await asyncio.gather(*(send(person, name) for name in SAID))
    read = {}
    for name, answer in zip(SAID, answers, strict=True):
        assert answer.status_code == 200, answer.text
        invoice = answer.json()
        job = await person.until(
            f"/v1/jobs/{invoice['job_id']}", lambda job: job["state"] in ENDED, within_s=120
        )
        assert job["state"] == "JOB_STATE_SUCCEEDED", job
        assert [step["name"] for step in job["steps"]] == [
            "extraction", "categorization", "compliance",
        ]  # fmt: skip
        read[name] = await person.get(f"/v1/invoices/{invoice['invoice_id']}")
    return read


async def send(person, name):
    direction = {"direction": "DIRECTION_RECEIVABLE"} if "sale" in name else {}
    return await person.send("/v1/invoices:upload", EXAMPLES / name, **direction)


async def pay(person):
    """Import the statement twice, as two formats, and confirm what is proposed."""
    account = await person.post("/v1/bank_accounts", {
        "display_name": "Main", "iban": "DE02120300000000202051", "currency_code": "EUR",
    })  # fmt: skip
    path = f"/v1/bank_accounts/{account['bank_account_id']}/statements:import"
    for name, new in (("statement.camt053.xml", 8), ("statement.csv", 0)):
        answer = await person.send(path, EXAMPLES / name)
        assert answer.status_code == 200, answer.text
        statement = await person.until(
            f"/v1/statements/{answer.json()['statement_id']}",
            lambda found: found["state"] != "STATEMENT_STATE_IMPORTING",
        )
        assert statement["state"] == "STATEMENT_STATE_IMPORTED", statement
        assert (statement["transaction_count"], statement.get("imported_count", 0)) == (8, new)
    run = await person.post("/v1/reconciliations")
    await person.until(
        f"/v1/reconciliations/{run['reconciliation_id']}",
        lambda found: found["state"] == "RECONCILIATION_STATE_DONE",
    )
    proposed = await person.get("/v1/matches", state="MATCH_STATE_PROPOSED")
    for match in proposed.get("matches", []):
        assert match["reasons"]
        await person.post(f"/v1/matches/{match['match_id']}:confirm")


async def check_books(person):
    """Every report ties, and every file opens."""
    balance = await person.until(
        "/v1/reports:query",
        lambda table: cell(table, "1800", -1) not in (None, Decimal(0)),
        kind="REPORT_KIND_TRIAL_BALANCE", **YEAR,
    )  # fmt: skip
    totals = [row for row in balance["rows"] if row["kind"] == "KIND_TOTAL"][-1]["amounts"]
    assert Decimal(totals[1]) == Decimal(totals[2])
    for kind in ("PROFIT_AND_LOSS", "BALANCE_SHEET", "PAYABLES_AGEING"):
        for form, opens in (("PDF", opens_as_pdf), ("XLSX", opens_as_workbook)):
            report = await person.post("/v1/reports", {
                "kind": f"REPORT_KIND_{kind}", "format": f"REPORT_FORMAT_{form}", **YEAR,
            })  # fmt: skip
            path = f"/v1/reports/{report['report_id']}"
            await person.until(path, lambda found: found["state"] == "REPORT_STATE_READY")
            file = await person.call("GET", f"{path}/file")
            opens(file.content)


def cell(table, code, column):
    """An account's figure."""
    found = [row for row in table["rows"] if row.get("account_code") == code]
    return Decimal(found[0]["amounts"][column] or "0") if found else None


def opens_as_pdf(data):
    text = pypdfium2.PdfDocument(data)[0].get_textpage().get_text_range()
    assert "Harbour Lane Trading GmbH" in text


def opens_as_workbook(data):
    sheet = openpyxl.load_workbook(io.BytesIO(data)).active
    assert sheet.max_row > 3
