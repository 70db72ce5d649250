"""What persons' corrections and approvals teach, and what may pass without a person."""

import asyncio

import grpc
import pytest
from auditron.agent.v1 import agent_pb2
from auditron.agent.v1.agent_pb2 import AutomationSettings, FieldCoverage
from auditron.invoice.v1 import invoice_pb2
from auditron.invoice.v1.invoice_pb2 import FieldReading, Invoice
from fpdf import FPDF
from google.protobuf.field_mask_pb2 import FieldMask
from hypothesis import given
from hypothesis import strategies as st

from libs.pg import uuid7
from libs.testkit import eventually
from services.agent import rules, store
from services.agent.rules import automation, outcomes
from services.agent.rules.automation import Checked, Evidence
from services.agent.tests.conftest import EXAMPLES, Company

POWER = next(EXAMPLES.glob("03-*.xml")).read_bytes()
NUMBER = b"552019844"
TEXT_LAYER = invoice_pb2.READING_SOURCE_TEXT_LAYER
E_INVOICE = invoice_pb2.READING_SOURCE_E_INVOICE
PERSON = invoice_pb2.READING_SOURCE_PERSON
APPROVED, IN_REVIEW = invoice_pb2.INVOICE_STATE_APPROVED, invoice_pb2.INVOICE_STATE_IN_REVIEW


def checks(count: int, wrong: int = 0, confidence: float = 0.97) -> tuple[Checked, ...]:
    return (Checked(confidence, count, wrong),)


def bill(number: str, dossier: str, day: str, net: int, name: str = "Rowan & Pike Ltd") -> bytes:
    """A bill whose number stands beside words that nobody would take for its label."""
    page = FPDF()
    page.add_page()
    page.set_font("Helvetica", size=11)
    for text in (
        name, "4 Mill Lane, Dublin", "VAT ID IE6388047V", "", "Harbour Lane Trading GmbH",
        "Kai 3, 20457 Hamburg", "", f"Invoice no. {number}", f"Quire mark {dossier}",
        f"Date {day}", "", f"Net EUR {net}.00", f"VAT 23 % EUR {net * 23 // 100}.00",
        f"Total EUR {net + net * 23 // 100}.00",
    ):  # fmt: skip
        page.cell(0, 8, text, new_x="LMARGIN", new_y="NEXT")
    return bytes(page.output())


# Bounds.


@pytest.mark.parametrize(
    ("wrong", "count", "low", "high"),
    [(0, 0, 0, 1), (0, 299, 0, 0.00997), (1, 10, 0.00512, 0.39416), (10, 10, 0.74113, 1)],
)
def test_bounds_are_those_of_clopper_and_pearson(wrong, count, low, high):
    assert automation.error_bounds(wrong, count) == pytest.approx((low, high), abs=1e-4)


@given(st.integers(0, 400), st.data())
def test_the_share_that_was_wrong_lies_between_its_bounds(count, data):
    wrong = data.draw(st.integers(0, count))
    low, high = automation.error_bounds(wrong, count)
    assert 0 <= low <= high <= 1
    assert not count or low <= wrong / count <= high
    assert automation.error_bounds(wrong, count + 1)[1] <= high


@pytest.mark.parametrize(
    ("own", "every", "least"),
    [
        ((), (), None),
        (checks(298), (), None),
        (checks(299), (), 0.5),
        ((), checks(299), 0.5),
        (checks(20, 3), checks(400), None),  # this supplier is worse than the others
        ((), checks(400) + checks(50, 10, 0.6), 0.7),
        ((), checks(400) + checks(50, 10, 0.96), None),
        ((), checks(400, 0, 0.99) + checks(50, 10, 0.96), 0.98),
    ],
)
def test_a_field_is_automatic_where_checks_show_few_enough_errors(own, every, least):
    assert automation.automatic_from(Evidence(own, every), 0.01) == least


# What a person sees.


def read(field: str, sure: float = 0.97, source: int = TEXT_LAYER) -> FieldReading:
    return FieldReading(field=field, confidence=sure, source=source)


def test_an_e_invoice_is_trusted_until_checks_show_more_errors_than_allowed():
    exact = read("gross", 1, E_INVOICE)
    for own, passes in (((), True), (checks(1, 1), False), (checks(6, 1), True)):
        known = {("gross", False): Evidence(own)}
        assert automation.is_automatic(exact, known, 0.01) is passes


def reviewed(known: rules.Evidence, share: float, job_id: str = "1") -> rules.Review:
    party = invoice_pb2.Party(display_name="Rowan")
    invoice = Invoice(invoice_number="1", supplier=party, order_reference="7")
    invoice.issue_date.year, invoice.issue_date.month, invoice.issue_date.day = 2026, 9, 1
    invoice.gross.amount, invoice.gross.currency_code = "1.00", "EUR"
    fields = ("invoice_number", "supplier.display_name", "issue_date", "gross")
    evidence = dict.fromkeys(((field, True) for field in fields), known)
    settings = AutomationSettings(error_max=0.01, sample_share=share)
    readings = [read(field) for field in (*fields, "order_reference")]
    return rules.reviewed(invoice, readings, evidence, settings, job_id)


def test_what_has_no_evidence_is_for_a_person_and_the_rest_but_for_a_sample_is_not():
    nothing = reviewed(Evidence(), 0)
    assert "gross" in nothing.why
    assert {each.handling for each in nothing.outcomes} == {rules.SUGGESTED}
    enough = Evidence(every=checks(299))
    passing = reviewed(enough, 0)
    assert passing.why == ""
    handled = {each.field: each.handling for each in passing.outcomes}
    assert handled["gross"] == rules.AUTOMATIC
    assert handled["order_reference"] == rules.SUGGESTED  # which no book needs
    assert "chance" in reviewed(enough, 1).why
    drawn = [bool(reviewed(enough, 0.05, uuid7()).why) for _ in range(2_000)]
    assert 50 < sum(drawn) < 160


def test_a_needed_field_that_was_not_read_is_manual():
    settings = AutomationSettings(error_max=0.5, sample_share=0)
    review = rules.reviewed(Invoice(), [], {}, settings, "1")
    assert {each.handling for each in review.outcomes} == {rules.MANUAL}
    assert "invoice_number" in review.why


def test_only_what_a_person_changed_is_taught():
    party = invoice_pb2.Party(display_name="Rowan & Pike Ltd", iban="IE29 AIBK 9311 5212 3456 78")
    invoice = Invoice(supplier=party, invoice_number="B-2", order_reference="O-1")
    invoice.gross.amount, invoice.gross.currency_code = "12.50", "EUR"

    def typed(field: str, before: str) -> FieldReading:
        original = FieldReading(field=field, value=before, source=TEXT_LAYER)
        return FieldReading(field=field, source=PERSON, original=original)

    invoice.readings.extend(
        [
            typed("invoice_number", "A-1"),
            typed("gross", "12.5"),
            typed("gross.currency_code", "GBP"),
            typed("supplier.display_name", "Rowan Pike ltd"),
            FieldReading(field="supplier", source=PERSON),
            FieldReading(field="order_reference", value="O-1", source=TEXT_LAYER),
        ]
    )
    found = outcomes.corrected(invoice)
    assert found == {
        "invoice_number": "B-2", "currency_code": "EUR", "iban": party.iban,
    }  # fmt: skip


def test_the_organizations_own_tax_id_is_no_suppliers():
    party = invoice_pb2.Party(display_name="Rowan Ltd", tax_ids=["DE 811907980", "IE6388047V"])
    assert outcomes.supplier_keys(party, ["DE811907980"]) == ("rowan", "ie6388047v", "")
    assert outcomes.supplier_keys(party, ["DE811907980", "IE6388047V"]) == ("rowan", "", "")


# From a correction to the next document.


async def correct(acme: Company, invoice: Invoice, *paths: str, **fields: object) -> Invoice:
    changed = Invoice(invoice_id=invoice.invoice_id, **fields)
    request = invoice_pb2.UpdateInvoiceRequest(
        invoice=changed, update_mask=FieldMask(paths=[*paths, *fields])
    )
    return await acme.invoices.UpdateInvoice(request)


async def arrived(acme: Company, data: bytes, filename: str) -> tuple[agent_pb2.Job, Invoice]:
    uploaded = await acme.upload(data, filename)
    job = await acme.ended(uploaded.job_id)
    return job, await acme.invoice(uploaded.invoice_id)


async def approve(acme: Company, invoice: Invoice) -> Invoice:
    request = invoice_pb2.ApproveInvoiceRequest(invoice_id=invoice.invoice_id)
    return await acme.invoices.ApproveInvoice(request)


async def coverage(acme: Company, **asked: object) -> list[FieldCoverage]:
    request = agent_pb2.ListCoverageRequest(**asked)
    return list((await acme.agent.ListCoverage(request)).coverage)


async def test_what_a_person_corrects_is_read_rightly_on_the_suppliers_next_document(
    services, acme
):
    _, first = await arrived(acme, bill("2026-77", "Q/4471", "04.09.2026", 100), "1.pdf")
    assert first.invoice_number == "2026-77"
    await correct(acme, first, invoice_number="Q/4471")
    db, keys = services["agent"].runtime.db, ("rowanpike", "ie6388047v", "")

    async def supplier(
        keys: tuple[str, str, str] = keys, organization_id: str = acme.organization_id
    ) -> tuple[str, object]:
        async with db.tenant(organization_id) as tx:
            return await store.get_supplier(tx, keys)

    await eventually(supplier, lambda found: bool(found[1]))
    job, second = await arrived(acme, bill("2026-91", "Q/5820", "05.10.2026", 300), "2.pdf")
    assert second.invoice_number == "Q/5820"
    [reading] = [each for each in second.readings if each.field == "invoice_number"]
    assert "corrected" in reading.reason
    assert "2026-91" in reading.candidates
    assert any("corrected on the supplier's earlier documents" in line for line in job.steps[0].log)
    # Nor is it another organization's or another supplier's.
    assert await supplier(organization_id=uuid7()) == (store.UNKNOWN, {})
    assert await supplier(("rowanpike", "de136695976", "")) == (store.UNKNOWN, {})


# What passes without a person.


async def trust(acme: Company, **settings: float) -> AutomationSettings:
    policy = invoice_pb2.ApprovalPolicy(auto_approve_confidence=0.25)
    await acme.invoices.UpdateApprovalPolicy(
        invoice_pb2.UpdateApprovalPolicyRequest(approval_policy=policy)
    )
    request = agent_pb2.UpdateAutomationSettingsRequest(
        automation_settings=AutomationSettings(**settings)
    )
    return await acme.agent.UpdateAutomationSettings(request)


async def test_automation_steps_back_by_itself_when_a_person_finds_errors(acme):
    assert await trust(acme, sample_share=0) == AutomationSettings(error_max=0.01, sample_share=0)
    _, passed = await arrived(acme, POWER, "1.xml")
    assert (passed.state, passed.decisions[0].actor) == (APPROVED, "policy")
    [row] = [each for each in await coverage(acme) if each.field == "invoice_number"]
    assert (row.supplier_id, row.automatic_count, row.checked_count) == ("", 1, 0)

    await trust(acme, sample_share=1)
    job, drawn = await arrived(acme, POWER.replace(NUMBER, b"552019845"), "2.xml")
    assert drawn.state == IN_REVIEW
    assert "drawn by chance" in job.steps[-1].log[-1]
    await correct(acme, drawn, invoice_number="552019846")
    await approve(acme, drawn)

    async def numbers() -> list[FieldCoverage]:
        found = [each for each in await coverage(acme) if each.field == "invoice_number"]
        return [each for each in found if each.checked_count]

    [row] = await eventually(numbers, bool)
    assert row.supplier_id
    assert row.supplier_name == drawn.supplier.display_name
    assert (row.wrong_count, row.automatic_checked_count, row.automatic_wrong_count) == (1, 1, 1)
    assert (row.accuracy, row.error_bound) == (0, 1)
    [gross] = [e for e in await coverage(acme, supplier_id=row.supplier_id) if e.field == "gross"]
    assert (gross.checked_count, gross.wrong_count, gross.accuracy) == (1, 0, 1)

    await trust(acme, sample_share=0)
    job, held = await arrived(acme, POWER.replace(NUMBER, b"552019847"), "3.xml")
    assert held.state == IN_REVIEW
    assert job.steps[-1].log[-1].endswith("not shown for invoice_number")


async def test_what_a_page_says_passes_once_enough_was_checked(services, acme):
    await trust(acme, sample_share=0, error_max=0.2)
    db, organization_id = services["agent"].runtime.db, acme.organization_id
    made = bill("2026-77", "Q/4471", "04.09.2026", 100)
    _, held = await arrived(acme, made, "1.pdf")
    assert held.state == IN_REVIEW
    async with db.tenant(organization_id) as tx:
        for _ in range(20):
            seen = [rules.Outcome(f, "1", TEXT_LAYER, 0.99, "suggested") for f in rules.MEASURED]
            invoice_id = uuid7()
            await store.upsert_outcomes(tx, organization_id, invoice_id, store.UNKNOWN, seen)
            right = dict.fromkeys(rules.MEASURED, True)
            await store.check_outcomes(tx, invoice_id, uuid7(), right)
    _, passed = await arrived(acme, bill("2026-78", "Q/4472", "04.10.2026", 200), "2.pdf")
    assert [each.actor for each in passed.decisions] == ["policy"]


# The coverage and the settings, as they are asked for.


async def test_the_coverage_comes_in_pages_and_of_one_supplier(services, acme):
    db, organization_id = services["agent"].runtime.db, acme.organization_id
    async with db.tenant(organization_id) as tx:
        suppliers = []
        for name in ("one", "two"):
            found, _ = await store.lock_supplier(tx, organization_id, (name, "", ""), name)
            suppliers.append(found)
            seen = [rules.Outcome(f, "1", TEXT_LAYER, 0.9, "suggested") for f in ("gross", "net")]
            await store.upsert_outcomes(tx, organization_id, uuid7(), found, seen)
    request = agent_pb2.ListCoverageRequest(page_size=3)
    first = await acme.agent.ListCoverage(request)
    request.page_token = first.next_page_token
    second = await acme.agent.ListCoverage(request)
    rows = [(each.supplier_name, each.field) for each in (*first.coverage, *second.coverage)]
    assert rows == [("one", "gross"), ("one", "net"), ("two", "gross"), ("two", "net")]
    assert [second.next_page_token, len(await coverage(acme, supplier_id=suppliers[1]))] == ["", 2]
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await coverage(acme, supplier_id="one")
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("paths", "wrong"),
    [
        ([], {"error_max": 0.51}),
        ([], {"error_max": float("nan")}),
        ([], {"sample_share": 1.1}),
        (["error_max"], {}),
        (["nothing"], {}),
    ],
)
async def test_settings_that_make_no_sense_are_refused(acme, paths, wrong):
    request = agent_pb2.UpdateAutomationSettingsRequest(
        automation_settings=AutomationSettings(**wrong), update_mask=FieldMask(paths=paths)
    )
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await acme.agent.UpdateAutomationSettings(request)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    settings = await acme.agent.GetAutomationSettings(agent_pb2.GetAutomationSettingsRequest())
    assert settings == AutomationSettings(error_max=0.01, sample_share=0.05)


async def test_a_supplier_is_one_by_whatever_of_its_keys_it_is_found(services):
    db, organization_id = services["agent"].runtime.db, uuid7()

    async def locked(*keys: str) -> str:
        async with db.tenant(organization_id) as tx:
            return (await store.lock_supplier(tx, organization_id, keys, keys[0]))[0]

    assert await locked("", "", "") == store.UNKNOWN
    first = await locked("rowan", "", "")
    assert await locked("rowan", "ie1", "") == first
    assert await locked("other", "ie1", "bank") == first
    assert await locked("", "", "bank") == first
    through_the_same_bank = await locked("third", "", "bank")
    assert through_the_same_bank != first
    assert await locked("third", "de9", "bank") == through_the_same_bank
    assert await locked("third", "de8", "bank") not in (first, through_the_same_bank)
    async with db.tenant(organization_id) as tx:
        misread = await store.get_supplier(tx, ("thirty", "", "bank"))
    assert misread[0] != store.UNKNOWN
    at_once = await asyncio.gather(*(locked("new", "fr1", "") for _ in range(4)))
    assert len({*at_once}) == 1
