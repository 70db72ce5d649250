"""A file with several documents on its way to as many invoices."""

import asyncio
import io
import subprocess
import sys
from pathlib import Path

import asyncpg
import numpy as np
import pypdfium2
import pytest
from auditron.agent.v1 import agent_pb2
from auditron.agent.v1.agent_pb2 import RetryJobRequest
from auditron.invoice.v1 import invoice_pb2
from fpdf import FPDF
from PIL import Image

from libs.pg import uuid7
from libs.testkit import eventually
from services.agent import rules
from services.agent.reading import Unreadable, read_document
from services.agent.reading.cutting import cut
from services.agent.reading.reader import PAGES_READ
from services.agent.tests.conftest import EXAMPLES, SAID, THREE, merged

ROOT = Path(__file__).resolve().parents[3]
SUCCEEDED, FAILED = agent_pb2.JOB_STATE_SUCCEEDED, agent_pb2.JOB_STATE_FAILED
RECEIVABLE = invoice_pb2.DIRECTION_RECEIVABLE


def texts(data: bytes) -> list[str]:
    pdf = pypdfium2.PdfDocument(data)
    return [page.get_textpage().get_text_range() for page in pdf]


def pages(first: int, last: int) -> dict[str, int]:
    return {"first_page": first, "last_page": last}


def tiff(*frames: Image.Image, **how: object) -> bytes:
    out = io.BytesIO()
    frames[0].save(out, "TIFF", save_all=True, append_images=frames[1:], **how)
    return out.getvalue()


# Pages cut out.


def test_cut_pages_say_what_they_said_and_the_rest_is_gone():
    data = merged(*THREE)
    made = cut(data, "", pages(2, 3))
    assert made["last_page"] == 3
    assert texts(bytes(made["data"])) == texts(data)[1:]
    assert b"PN-2026-0417" not in made["data"]
    to_the_end = cut(io.BytesIO(data), "application/pdf", pages(2, 0))
    assert to_the_end == made


def test_an_e_invoice_in_a_file_is_not_taken_along():
    [file] = EXAMPLES.glob("02-*.pdf")
    assert read_document(file.read_bytes())["syntax"]
    assert not read_document(bytes(cut(file.read_bytes(), "", pages(1, 1))["data"]))["syntax"]


def test_the_same_pages_are_the_same_bytes_in_another_process_and_second(tmp_path):
    [scan] = EXAMPLES.glob("07-*.pdf")
    files = {"text.pdf": merged(*THREE), "scan.pdf": scan.read_bytes()}
    files["scan.tif"] = tiff(*(Image.effect_noise((300, 400), sigma) for sigma in (9, 50, 99)))
    program = (
        "import hashlib, pathlib, sys, time; time.sleep(1.1);"
        "from services.agent.reading.cutting import cut;"
        "data = pathlib.Path(sys.argv[1]).read_bytes();"
        "made = cut(data, '', {'first_page': 1, 'last_page': 0});"
        "print(made['data'].hex())"
    )
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
        told = subprocess.run(
            [sys.executable, "-c", program, str(tmp_path / name)],
            cwd=ROOT, check=True, capture_output=True, text=True,
        )  # fmt: skip
        made = cut(data, "", pages(1, 0))["data"]
        assert bytes.fromhex(told.stdout) == made, name
    text = files["text.pdf"]
    assert cut(text, "", pages(1, 1))["data"] != cut(text, "", pages(2, 2))["data"]


@pytest.mark.parametrize(
    ("mode", "packed"),
    [("1", "group4"), ("1", None), ("L", "jpeg"), ("RGB", "tiff_lzw"), ("P", None), ("I;16", None)],
)
def test_pictures_are_cut_out_without_loss(mode, packed):
    rows = np.add.outer(np.arange(300), np.arange(200)) % 251
    frames = [Image.fromarray(((rows * n) % 251).astype(np.uint8)) for n in range(1, 5)]
    data = tiff(*(each.convert(mode) for each in frames), compression=packed, dpi=(200, 200))
    made = cut(data, "image/tiff", pages(2, 3))
    after, before = (Image.open(io.BytesIO(each)) for each in (made["data"], data))
    assert (after.n_frames, after.info["dpi"]) == (2, (200, 200))
    for index in range(2):
        after.seek(index)
        before.seek(index + 1)
        assert after.mode == before.mode
        assert np.array_equal(np.asarray(after), np.asarray(before))
    assert cut(data, "image/tiff", pages(4, 0))["last_page"] == 4


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")  # of Pillow, before it gives up
@pytest.mark.parametrize("data", [b"%PDF-1.7 cut off", b"II*\0cut off", b"<a/>"])
def test_what_cannot_be_cut_is_unreadable(data):
    with pytest.raises(Unreadable):
        cut(data, "", pages(1, 2))
    with pytest.raises(Unreadable):
        cut(tiff(Image.new("L", (9, 9))), "", pages(2, 2))
    with pytest.raises(Unreadable):
        cut(merged("01-*.pdf"), "", pages(2, 2))


# What is cut, and how it is told.


def parted(*spans: tuple[int, int], page_count: int = 9) -> dict[str, object]:
    return {"documents": [pages(*span) for span in spans], "page_count": page_count}


def test_every_document_but_the_first_is_cut_out_and_the_last_with_what_was_not_looked_at():
    assert rules.further({"page_count": 3}) == []
    assert rules.further(parted()) == []
    assert rules.further(parted((3, 3))) == []
    assert rules.further(parted((1, 2), (3, 3), (5, 9))) == [(3, 3), (5, 9)]
    whole = parted((1, 2), (3, 3), (40, 50), page_count=PAGES_READ)
    assert rules.further(whole) == [(3, 3), (40, 0)]
    assert rules.further(parted((1, 9), (1, 9))) == []  # never the file that it is in


def test_a_cut_file_has_the_name_of_the_whole_and_its_pages():
    assert rules.cut_filename("scan.pdf", (3, 4)) == "scan (pages 3-4).pdf"
    assert rules.cut_filename("März 2.scan.TIFF", (5, 5)) == "März 2.scan (page 5).TIFF"
    assert rules.cut_filename("document", (1, 200)) == "document (pages 1-200)"
    assert rules.cut_filename(".pdf", (2, 2)) == ".pdf (page 2)"
    for long in ("x" * 200, f"{'x' * 196}.pdf", f"x.{'y' * 198}"):
        name = rules.cut_filename(long, (3, 4))
        assert len(name) <= 200
        assert " (pages 3-4)" in name


def test_a_request_id_is_of_one_job_and_its_pages():
    job_id = uuid7()
    known = rules.cut_request_id(job_id, (3, 4))
    assert known == rules.cut_request_id(job_id, (3, 4))
    others = {rules.cut_request_id(job_id, (3, 5)), rules.cut_request_id(uuid7(), (3, 4))}
    assert known not in others


def test_what_became_of_pages_is_told_in_few_sentences():
    full, broken = "The plan is used up. (DOCUMENT_LIMIT_REACHED)", "Page 7 is damaged. (X)"
    fates = [
        rules.Fate(3, 4, invoice_id="i1"), rules.Fate(5, 5, why_not=full),
        rules.Fate(6, 6, invoice_id="i2", known=True), rules.Fate(7, 7, why_not=broken),
        rules.Fate(8, 9, why_not=full),
    ]  # fmt: skip
    assert list(map(str, fates)) == [
        "pages 3-4 became invoice i1",
        f"page 5: no invoice yet. {full}",
        "page 6: known already, as invoice i2",
        f"page 7: no invoice yet. {broken}",
        f"pages 8-9: no invoice yet. {full}",
    ]
    assert rules.fate_warnings(fates) == [
        f"no invoice yet for pages 5, 8-9: {full}",
        f"no invoice yet for page 7: {broken}",
        "what was cut from it has invoices of its own: pages 3-4, 6",
    ]


def test_documents_that_say_nothing_are_told_of():
    answer = {"fields": {}, "lines": [], "warnings": ["MULTIPLE_DOCUMENTS:1-2,3-3,4-6,7-7"]}
    several = "the file has several documents (pages 1-2, 3, 4-6, 7); this invoice is the first"
    assert rules.to_reading(answer, "EUR").notes == [several]
    answer |= parted((1, 2), (4, 6))
    unread = "nothing that reads like an invoice stands on pages 3, 7 of the file"
    assert rules.to_reading(answer, "EUR").notes == [several, unread]


# Jobs.


async def invoices(acme) -> list[invoice_pb2.Invoice]:
    """Every invoice, oldest first."""
    listed = await acme.invoices.ListInvoices(invoice_pb2.ListInvoicesRequest(page_size=100))
    return list(reversed(listed.invoices))


async def all_read(acme) -> list[invoice_pb2.Invoice]:
    """Every invoice, once each is read."""
    received = invoice_pb2.INVOICE_STATE_RECEIVED
    return await eventually(
        lambda: invoices(acme), lambda found: all(each.state != received for each in found), 60
    )


def steps(job: agent_pb2.Job) -> dict[str, agent_pb2.JobStep]:
    return {step.name: step for step in job.steps}


async def test_every_document_in_a_file_becomes_an_invoice(services, acme):
    data = merged(*THREE)
    whole = await acme.upload(data, "scan.pdf")
    job = await acme.ended(whole.job_id)
    assert job.state == SUCCEEDED, job.failure
    assert list(steps(job)) == ["extraction", "splitting", "categorization", "compliance"]
    found = await all_read(acme)
    assert [(each.invoice_number, each.gross.amount) for each in found] == SAID
    first, second, third = found
    assert first.document == whole.document
    assert await downloaded(acme, first) == data
    assert list(steps(job)["splitting"].log) == [
        f"page 2 became invoice {second.invoice_id}", f"page 3 became invoice {third.invoice_id}",
    ]  # fmt: skip
    assert "what was cut from it has invoices of its own: pages 2, 3" in first.warnings
    for number, each in enumerate((second, third), 2):
        document = each.document
        assert (document.source_invoice_id, document.first_page, document.last_page) == (
            first.invoice_id, number, number,
        )  # fmt: skip
        assert document.filename == f"scan (page {number}).pdf"
        assert texts(await downloaded(acme, each)) == [texts(data)[number - 1]]
        assert each.warnings[0].startswith(f"it was cut from page {number} of a file with several")
        assert each.creator == f"user:{acme.user_id}"
        own = await acme.ended(each.job_id)
        assert (own.state, own.actor) == (SUCCEEDED, job.actor)
        assert "splitting" not in steps(own)
        assert each.state == invoice_pb2.INVOICE_STATE_IN_REVIEW
    # Each found by itself who owes whom.
    assert [each.direction for each in found] == [1, 2, 1]
    await run_again(services, acme, job)
    assert [each.invoice_id for each in await all_read(acme)] == [
        first.invoice_id, second.invoice_id, third.invoice_id,
    ]  # fmt: skip


async def test_a_scan_behind_a_page_of_text_is_recognised_too(acme):
    whole = await acme.upload(merged("01-*.pdf", "07-*.pdf"), "two.pdf")
    job = await acme.ended(whole.job_id)
    said = "the document has pages that are pictures, so its pages were recognised"
    assert said in steps(job)["extraction"].log
    first, second = await all_read(acme)
    assert (first.invoice_number, first.gross.amount) == SAID[0]
    assert second.document.source_invoice_id == first.invoice_id
    assert second.gross.amount


def test_pages_that_were_left_aside_are_told_of():
    warnings = ["UNRECOGNISED_PAGE:3", "UNREAD_PAGES:61-80"]
    assert rules.to_reading({"fields": {}, "lines": [], "warnings": warnings}, "EUR").notes == [
        "page 3 is a picture that was not recognised",
        "pages 61-80 were not looked at: the file has more than are read",
    ]


async def downloaded(acme, invoice: invoice_pb2.Invoice) -> bytes:
    request = invoice_pb2.DownloadDocumentRequest(invoice_id=invoice.invoice_id)
    return b"".join([part.data async for part in acme.invoices.DownloadDocument(request)])


async def run_again(services, acme, job: agent_pb2.Job) -> None:
    """Run a job again from its start, as one that failed at its very end."""
    async with services["agent"].runtime.db.tenant(acme.organization_id) as tx:
        await tx.execute("update jobs set state = $1 where job_id = $2", FAILED, job.job_id)
    await acme.agent.RetryJob(RetryJobRequest(job_id=job.job_id))
    again = await acme.ended(job.job_id)
    assert again.state == SUCCEEDED, again.failure
    assert steps(again)["splitting"].log == steps(job)["splitting"].log


async def test_what_the_sender_says_of_a_file_holds_for_each_document(acme):
    whole = await acme.upload(merged("01-*.pdf", "02-*.pdf"), "a.pdf", direction=RECEIVABLE)
    await acme.ended(whole.job_id)
    assert [each.direction for each in await all_read(acme)] == [RECEIVABLE, RECEIVABLE]


async def test_a_tiff_of_two_documents_becomes_two_invoices(acme):
    pdf = pypdfium2.PdfDocument(merged("01-*.pdf", "09-*.pdf"))
    first, second = (page.render(scale=150 / 72).to_pil().convert("1") for page in pdf)
    whole = await acme.upload(tiff(first, second, compression="group4"), "fax.tif")
    job = await acme.ended(whole.job_id, 90)
    assert job.state == SUCCEEDED, job.failure
    found = await all_read(acme)
    assert [(each.invoice_number, each.gross.amount) for each in found] == SAID[:2]
    assert found[1].document.filename == "fax (page 2).tif"
    picture = Image.open(io.BytesIO(await downloaded(acme, found[1])))
    assert (picture.n_frames, picture.tobytes()) == (1, second.tobytes())


async def test_pages_without_an_invoice_are_told_and_the_first_is_read_all_the_same(services, acme):
    async with services["invoice"].runtime.db.tenant(acme.organization_id) as tx:
        await tx.execute("insert into entitlements values ($1, 2, 1)", acme.organization_id)
    whole = await acme.upload(merged(*THREE), "scan.pdf")
    job = await acme.ended(whole.job_id)
    assert job.state == SUCCEEDED, job.failure
    first, second = await all_read(acme)
    assert (first.invoice_number, first.gross.amount) == SAID[0]
    why = "The plan's documents of this month are used up. (DOCUMENT_LIMIT_REACHED)"
    assert list(steps(job)["splitting"].log) == [
        f"page 2 became invoice {second.invoice_id}", f"page 3: no invoice yet. {why}",
    ]  # fmt: skip
    assert f"no invoice yet for page 3: {why}" in first.warnings
    assert "what was cut from it has invoices of its own: page 2" in first.warnings


async def test_a_document_that_was_uploaded_by_itself_stays_one_invoice(acme):
    data = merged(*THREE)
    alone = await acme.upload(bytes(cut(data, "", pages(2, 2))["data"]), "sale.pdf")
    whole = await acme.upload(data, "scan.pdf")
    job = await acme.ended(whole.job_id)
    found = await all_read(acme)
    assert len(found) == 3
    said = f"page 2: known already, as invoice {alone.invoice_id}"
    assert said in steps(job)["splitting"].log
    assert not (await acme.invoice(alone.invoice_id)).document.source_invoice_id


OUTAGE = """
create function invoice.outage() returns trigger language plpgsql as $$ begin
  raise sqlstate '57P03' using message = 'the database is going away';
end $$;
create trigger outage before insert on invoice.documents for each row
  when (new.last_page = 3) execute function invoice.outage()
"""
END_OUTAGE = "drop trigger outage on invoice.documents; drop function invoice.outage()"


async def test_a_job_waits_for_invoice_and_goes_on_where_it_was(services, acme):
    connection = await asyncpg.connect(services["invoice"].runtime.env["ADMIN_DATABASE_URL"])
    await connection.execute(OUTAGE)
    try:
        whole = await acme.upload(merged(*THREE), "scan.pdf")
        waiting = await eventually(
            lambda: acme.job(whole.job_id),
            lambda job: bool(job) and "splitting" in steps(job) and steps(job)["splitting"].failure,
            30,
        )
        assert steps(waiting)["splitting"].failure == "Invoice answered UNAVAILABLE."
    finally:
        await connection.execute(END_OUTAGE)
        await connection.close()
    job = await acme.ended(whole.job_id)
    assert job.state == SUCCEEDED, job.failure
    assert (steps(job)["extraction"].attempt, steps(job)["splitting"].attempt > 1) == (1, True)
    found = await all_read(acme)
    assert [each.invoice_number for each in found] == [number for number, _ in SAID]


async def test_pages_that_end_the_process_that_cuts_them_do_not_end_the_job(acme, monkeypatch):
    monkeypatch.setattr("services.agent.jobs.extraction.CUT", "libs.sandbox.tests.hostile:segfault")
    whole = await acme.upload(merged("01-*.pdf", "09-*.pdf"), "scan.pdf")
    job = await acme.ended(whole.job_id, 60)
    assert job.state == SUCCEEDED, job.failure
    [first] = await all_read(acme)
    assert (first.invoice_number, first.gross.amount) == SAID[0]
    why = "The process that cuts them out died, or took too long."
    assert f"no invoice yet for page 2: {why}" in first.warnings


async def test_what_is_behind_the_pages_that_are_looked_at_is_read_from_a_file_of_its_own(acme):
    made = pypdfium2.PdfDocument.new()
    [one], [two], [three] = (EXAMPLES.glob(name) for name in THREE)
    for part in (one.read_bytes(), two.read_bytes(), filler(PAGES_READ - 2), three.read_bytes()):
        made.import_pages(pypdfium2.PdfDocument(part))
    out = io.BytesIO()
    made.save(out)
    whole = await acme.upload(out.getvalue(), "batch.pdf")
    await acme.ended(whole.job_id, 60)
    await eventually(lambda: invoices(acme), lambda found: len(found) == 3, 60)
    first, second, third = await all_read(acme)
    found = [(each.invoice_number, each.gross.amount) for each in (first, second, third)]
    assert found == SAID
    last = PAGES_READ + 1
    assert (second.document.first_page, second.document.last_page) == (2, last)
    assert third.document.source_invoice_id == second.invoice_id
    assert third.document.filename == f"batch (pages 2-{last}) (page {last - 1}).pdf"
    await asyncio.gather(*(acme.ended(each.job_id) for each in (first, second, third)))
    assert len(await invoices(acme)) == 3


def filler(count: int) -> bytes:
    """Pages of text that is no document of its own, each another."""
    made = FPDF()
    made.set_font("Helvetica", size=11)
    for page in range(count):
        made.add_page()
        for row in range(6):
            made.cell(0, 8, f"Clause {page} {chr(97 + row)} of the terms of sale is agreed upon.")
            made.ln()
    return bytes(made.output())
