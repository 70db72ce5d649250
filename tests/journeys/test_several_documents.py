"""A file with several documents, through REST alone, to as many invoices."""

import io

import pypdfium2
from fpdf import FPDF

from tests.journeys.conftest import EXAMPLES

ENDED = ("JOB_STATE_SUCCEEDED", "JOB_STATE_FAILED", "JOB_STATE_CANCELLED")
THREE = ("01-paper-text.pdf", "09-sale-text.pdf", "02-hosting-facturx.pdf")
NUMBERS = ["PN-2026-0417", "HL-2026-0203", "F2026/0931"]


def merged(*names):
    """The pages of examples in one file."""
    made, out = pypdfium2.PdfDocument.new(), io.BytesIO()
    for name in names:
        made.import_pages(pypdfium2.PdfDocument((EXAMPLES / name).read_bytes()))
    made.save(out)
    return out.getvalue()


def scanned(data):
    """A file of pictures of its pages, which takes a while to read."""
    made = FPDF()
    for page in pypdfium2.PdfDocument(data):
        made.add_page()
        made.image(page.render(scale=150 / 72).to_pil(), 0, 0, made.w, made.h)
    return bytes(made.output())


async def upload(person, data):
    answer = await person.call(
        "POST", "/v1/invoices:upload", params={"filename": "scan.pdf"}, content=data
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


async def read(person, count):
    """So many invoices, oldest first, once each is read."""
    page = await person.until(
        "/v1/invoices",
        lambda page: (
            [each["state"] for each in page.get("invoices", [])]
            == ["INVOICE_STATE_IN_REVIEW"] * count
        ),
    )
    return page["invoices"][::-1]


async def page_count(person, invoice):
    answer = await person.call("GET", f"/v1/invoices/{invoice['invoice_id']}/document")
    return len(pypdfium2.PdfDocument(answer.content))


async def test_a_file_with_three_invoices_becomes_three_invoices(sign_up):
    person, data = await sign_up(), merged(*THREE)
    whole = await upload(person, data)
    first, second, third = found = await read(person, 3)
    assert [each["invoice_number"] for each in found] == NUMBERS
    assert first["document"] == whole["document"]
    assert [await page_count(person, each) for each in found] == [3, 1, 1]
    for number, each in ((2, second), (3, third)):
        document = each["document"]
        assert document["source_invoice_id"] == first["invoice_id"]
        assert (document["first_page"], document["last_page"]) == (number, number)
        assert document["filename"] == f"scan (page {number}).pdf"
        assert f"cut from page {number} of a file with several" in each["warnings"][0]
    job = await person.get(f"/v1/jobs/{first['job_id']}")
    assert job["steps"][1]["log"] == [
        f"page 2 became invoice {second['invoice_id']}",
        f"page 3 became invoice {third['invoice_id']}",
    ]
    several = "the file has several documents (pages 1, 2, 3); this invoice is the first"
    assert several in first["warnings"]
    assert (await upload(person, data))["invoice_id"] == first["invoice_id"]
    answer = await person.call("POST", f"/v1/jobs/{first['job_id']}:retry", json={})
    assert answer.json()["reason"] == "JOB_SUCCEEDED"
    for each in found:
        await person.until(f"/v1/jobs/{each['job_id']}", lambda job: job["state"] in ENDED)
    assert len((await person.get("/v1/invoices"))["invoices"]) == 3


async def test_a_job_that_was_cancelled_and_run_again_makes_none_more(sign_up):
    person = await sign_up()
    whole = await upload(person, scanned(merged(*THREE[:2])))
    path = f"/v1/jobs/{whole['job_id']}"
    await person.until(path, lambda job: bool(job.get("steps")))
    await person.post(f"{path}:cancel")
    await person.post(f"{path}:retry")
    job = await person.until(path, lambda job: job["state"] in ENDED)
    assert job["state"] == "JOB_STATE_SUCCEEDED", job
    found = await read(person, 2)
    assert [each["invoice_number"] for each in found] == NUMBERS[:2]


async def test_whoever_parts_a_file_before_can_say_so(sign_up):
    person, stranger = await sign_up(), await sign_up()
    whole = await upload(person, (EXAMPLES / "01-paper-text.pdf").read_bytes())
    pages = {"source_invoice_id": whole["invoice_id"], "first_page": "1", "last_page": "1"}
    part = (EXAMPLES / "09-sale-text.pdf").read_bytes()
    for somebody, status in ((stranger, 404), (person, 200)):
        answer = await somebody.call("POST", "/v1/invoices:upload", params=pages, content=part)
        assert answer.status_code == status, answer.text
    assert answer.json()["document"]["source_invoice_id"] == whole["invoice_id"]
