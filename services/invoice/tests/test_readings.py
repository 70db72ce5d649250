import asyncio
from typing import Any

import pytest
from auditron.invoice.v1 import invoice_pb2
from auditron.invoice.v1.invoice_pb2 import (
    ApprovalPolicy,
    FieldReading,
    Invoice,
    RecordReadingRequest,
    UpdateApprovalPolicyRequest,
    UpdateInvoiceRequest,
)

from libs.pg import uuid7
from services.invoice.tests import samples
from services.invoice.tests.conftest import World, complete, eur, refusal

IN_REVIEW = invoice_pb2.INVOICE_STATE_IN_REVIEW
APPROVED = invoice_pb2.INVOICE_STATE_APPROVED
NEEDED = ("invoice_number", "supplier.display_name", "issue_date", "net", "tax", "gross")


def result(received: Invoice, confidence: float = 0.97, **more: Any) -> RecordReadingRequest:
    number = more.pop("invoice_number", "N-1")
    source = invoice_pb2.READING_SOURCE_TEXT_LAYER
    readings = [
        FieldReading(
            field=name, value="x", confidence=confidence, source=source, page=1,
            box=[0.1, 0.2, 0.3, 0.4], reason="labelled", candidates=["y"],
        )
        for name in NEEDED
    ]  # fmt: skip
    fields = {
        "invoice_id": received.invoice_id, "job_id": received.job_id, "readings": readings,
        "invoice": complete(invoice_number=number, account_code="6800"),
    }  # fmt: skip
    return RecordReadingRequest(**(fields | more))


async def trust(world: World, organization_id: str, **policy: Any) -> None:
    wanted = ApprovalPolicy(**({"auto_approve_confidence": 0.9} | policy))
    person = world.person(organization_id)
    await person.UpdateApprovalPolicy(UpdateApprovalPolicyRequest(approval_policy=wanted))


async def received(world: World, person: Any, **header: Any) -> Invoice:
    return await world.upload(person, samples.pdf(uuid7()), **header)


async def test_a_reading_fills_the_invoice_for_review(world: World) -> None:
    person = world.person()
    before = await received(world, person)
    request = result(before, warnings=["the IBAN is new"])
    read = await world.agent(person.organization_id).RecordReading(request)
    assert (read.state, read.gross, read.account_code) == (IN_REVIEW, eur("119.00"), "6800")
    assert read.warnings == ["the IBAN is new"]
    assert sorted(each.field for each in read.readings) == sorted(NEEDED)
    assert read.readings[0].box == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert (read.document, read.job_id) == (before.document, before.job_id)
    assert await world.get(person, before.invoice_id) == read
    name, version, fact = (await world.events(person.organization_id))[-1]
    assert (name, version, fact.invoice) == ("InvoiceExtracted", 2, read)


async def test_a_repeated_reading_changes_nothing(world: World) -> None:
    person = world.person()
    agent = world.agent(person.organization_id)
    request = result(await received(world, person), warnings=["w"])
    read = await agent.RecordReading(request)
    assert await agent.RecordReading(request) == read
    change = Invoice(invoice_id=read.invoice_id, invoice_number="mine", due_date=None)
    changed = await person.UpdateInvoice(UpdateInvoiceRequest(invoice=change))
    assert await agent.RecordReading(request) == changed
    assert len(await world.events(person.organization_id)) == 3
    await person.ApproveInvoice(invoice_pb2.ApproveInvoiceRequest(invoice_id=read.invoice_id))
    assert (await agent.RecordReading(request)).state == APPROVED
    assert len(await world.events(person.organization_id)) == 4


async def test_a_second_reading_leaves_what_a_person_has_confirmed(world: World) -> None:
    person = world.person()
    agent = world.agent(person.organization_id)
    before = await received(world, person)
    await agent.RecordReading(result(before))
    change = Invoice(invoice_id=before.invoice_id, invoice_number="mine")
    await person.UpdateInvoice(UpdateInvoiceRequest(invoice=change))
    second = result(before, invoice_number="other")
    second.invoice.order_reference = "PO"
    read = await agent.RecordReading(second)
    assert (read.invoice_number, read.order_reference) == ("mine", "PO")


async def test_a_direction_that_the_sender_named_stays(world: World) -> None:
    person = world.person()
    agent = world.agent(person.organization_id)
    payable, receivable = invoice_pb2.DIRECTION_PAYABLE, invoice_pb2.DIRECTION_RECEIVABLE
    named = await received(world, person, direction=payable)
    unnamed = await received(world, person)
    assert unnamed.direction == payable
    for before, after in ((named, payable), (unnamed, receivable)):
        request = result(before)
        request.invoice.direction = receivable
        assert (await agent.RecordReading(request)).direction == after


async def test_a_failed_reading_is_visible_and_a_later_one_mends_it(world: World) -> None:
    person = world.person()
    agent = world.agent(person.organization_id)
    before = await received(world, person)
    failure = RecordReadingRequest(
        invoice_id=before.invoice_id, job_id=before.job_id, failure="The pages are blank."
    )
    failed = await agent.RecordReading(failure)
    assert (failed.state, failed.reading_failure) == (IN_REVIEW, "The pages are blank.")
    assert "gross is missing" in failed.warnings
    assert await agent.RecordReading(failure) == failed
    read = await agent.RecordReading(result(before))
    assert (read.reading_failure, list(read.warnings)) == ("", [])
    assert await agent.RecordReading(failure) == read


async def test_a_reading_of_another_job_or_of_no_document_is_refused(world: World) -> None:
    person = world.person()
    agent = world.agent(person.organization_id)
    before = await received(world, person)
    assert await refusal(agent.RecordReading(result(before, job_id=uuid7()))) == "INVOICE_NOT_FOUND"
    by_hand = await world.create(person)
    assert await refusal(agent.RecordReading(result(by_hand))) == "INVOICE_NOT_FOUND"
    wrong = result(before)
    wrong.invoice.gross.amount = "1.234"
    assert await refusal(agent.RecordReading(wrong)) == "INVALID_ARGUMENT"
    assert await world.get(person, before.invoice_id) == before


async def test_a_sure_reading_is_approved_by_the_policy(world: World) -> None:
    person = world.person()
    await trust(world, person.organization_id, auto_approve_limit=eur("119.00"))
    agent = world.agent(person.organization_id)
    request = result(await received(world, person))
    approved = await agent.RecordReading(request)
    assert approved.state == APPROVED
    [decision] = approved.decisions
    assert (decision.state, decision.actor) == (APPROVED, "policy")
    names = [(name, version) for name, version, _ in await world.events(person.organization_id)]
    assert names[1:] == [("InvoiceExtracted", 2), ("InvoiceApproved", 3)]
    assert await agent.RecordReading(request) == approved


@pytest.mark.parametrize(
    ("policy", "more"),
    [
        ({}, {"confidence": 0.89}),
        ({"auto_approve_limit": eur("118.99")}, {}),
        ({"auto_approve_limit": eur("500.00", "USD")}, {}),
        ({}, {"warnings": ["blurred"]}),
        ({}, {"needs_review": True}),
        ({}, {"invoice_number": ""}),
        ({"auto_approve_confidence": 0}, {}),
    ],
)
async def test_what_the_policy_does_not_trust_waits_for_a_person(
    world: World, policy: dict[str, Any], more: dict[str, Any]
) -> None:
    person = world.person()
    await trust(world, person.organization_id, **policy)
    request = result(await received(world, person), **more)
    read = await world.agent(person.organization_id).RecordReading(request)
    assert (read.state, list(read.decisions)) == (IN_REVIEW, [])


async def test_what_a_person_has_reopened_is_not_approved_by_the_policy_again(
    world: World,
) -> None:
    person = world.person()
    await trust(world, person.organization_id)
    agent = world.agent(person.organization_id)
    before = await received(world, person)
    await agent.RecordReading(result(before))
    reopen = invoice_pb2.ReopenInvoiceRequest(invoice_id=before.invoice_id, reason="no")
    await person.ReopenInvoice(reopen)
    again = result(before)
    again.invoice.order_reference = "new"
    assert (await agent.RecordReading(again)).state == IN_REVIEW


async def test_of_twins_read_at_the_same_time_the_policy_approves_one(world: World) -> None:
    person = world.person()
    await trust(world, person.organization_id)
    agent = world.agent(person.organization_id)
    for number in range(5):
        twins = [await received(world, person) for _ in range(2)]
        answers = await asyncio.gather(
            *(agent.RecordReading(result(each, invoice_number=f"T{number}")) for each in twins)
        )
        assert sorted(each.state for each in answers) == [IN_REVIEW, APPROVED]
