import asyncio
from typing import Any

import grpc
import pytest
from auditron.invoice.v1 import invoice_pb2
from auditron.invoice.v1.invoice_pb2 import (
    ApprovalPolicy,
    ApproveInvoiceRequest,
    Invoice,
    Party,
    RejectInvoiceRequest,
    ReopenInvoiceRequest,
    UpdateApprovalPolicyRequest,
    UpdateInvoiceRequest,
)
from google.protobuf.field_mask_pb2 import FieldMask

from libs.pg import uuid7
from libs.testkit import Client
from services.invoice.tests.conftest import World, complete, eur, refusal

APPROVED = invoice_pb2.INVOICE_STATE_APPROVED
REJECTED = invoice_pb2.INVOICE_STATE_REJECTED
IN_REVIEW = invoice_pb2.INVOICE_STATE_IN_REVIEW


async def approve(client: Client, invoice: Invoice, **more: str) -> Invoice:
    return await client.ApproveInvoice(ApproveInvoiceRequest(invoice_id=invoice.invoice_id, **more))


async def reject(client: Client, invoice: Invoice, **more: str) -> Invoice:
    more = {"reason": "wrong"} | more
    return await client.RejectInvoice(RejectInvoiceRequest(invoice_id=invoice.invoice_id, **more))


async def reopen(client: Client, invoice: Invoice, **more: str) -> Invoice:
    more = {"reason": "again"} | more
    return await client.ReopenInvoice(ReopenInvoiceRequest(invoice_id=invoice.invoice_id, **more))


async def set_policy(client: Client, mask: list[str] | None = None, **fields: Any) -> Any:
    request = UpdateApprovalPolicyRequest(
        approval_policy=ApprovalPolicy(**fields),
        update_mask=FieldMask(paths=mask) if mask else None,
    )
    return await client.UpdateApprovalPolicy(request)


async def test_each_decision_is_kept_with_who_and_why(world: World) -> None:
    person = world.person()
    made = await world.create(person)
    rejected = await reject(person, made, reason="ordered nothing")
    reopened = await reopen(person, made, reason="it was us")
    approved = await approve(person, made)
    again = await reopen(person, made, reason="wrong account")
    states = [each.state for each in (rejected, reopened, approved, again)]
    assert states == [REJECTED, IN_REVIEW, APPROVED, IN_REVIEW]
    decisions = [(each.state, each.reason) for each in again.decisions]
    assert decisions == [
        (REJECTED, "ordered nothing"), (IN_REVIEW, "it was us"), (APPROVED, ""),
        (IN_REVIEW, "wrong account"),
    ]  # fmt: skip
    assert {each.actor for each in again.decisions} == {made.creator}
    assert all(each.HasField("occur_time") for each in again.decisions)
    facts = await world.events(person.organization_id)
    assert [(name, version) for name, version, _ in facts] == [
        ("InvoiceReceived", 1), ("InvoiceRejected", 2), ("InvoiceReopened", 3),
        ("InvoiceApproved", 4), ("InvoiceReopened", 5),
    ]  # fmt: skip
    assert facts[3][2].invoice == approved
    assert await world.get(person, made.invoice_id) == again


async def test_a_decision_is_refused_with_its_reason(world: World) -> None:
    person = world.person()
    made = await world.create(person)
    assert await refusal(reopen(person, made)) == "INVOICE_NOT_REOPENABLE"
    assert await refusal(approve(person, made, etag="7")) == "ETAG_MISMATCH"
    assert await refusal(reject(person, made, etag="7")) == "ETAG_MISMATCH"
    assert await refusal(reject(person, made, reason=" ")) == "INVALID_ARGUMENT"
    assert await refusal(reject(person, made, reason="x" * 2_001)) == "INVALID_ARGUMENT"
    await approve(person, made, etag=made.etag)
    assert await refusal(approve(person, made)) == "INVOICE_NOT_IN_REVIEW"
    assert await refusal(reject(person, made)) == "INVOICE_NOT_IN_REVIEW"
    incomplete = await world.create(person, supplier=None, gross=None)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await approve(person, incomplete)
    assert caught.value.details() == "Missing: supplier.display_name, gross."
    assert await refusal(approve(person, incomplete)) == "INVOICE_INCOMPLETE"
    unbalanced = await world.create(person, tax=eur("20.00"))
    assert await refusal(approve(person, unbalanced)) == "INVOICE_UNBALANCED"


async def test_a_decision_with_a_request_id_is_made_once(world: World) -> None:
    person = world.person()
    made = await world.create(person)
    request_id = uuid7()
    first = await approve(person, made, request_id=request_id)
    assert await approve(person, made, request_id=request_id) == first
    assert len(first.decisions) == 1
    assert len(await world.events(person.organization_id)) == 2
    other = await world.create(person)
    assert await refusal(approve(person, other, request_id=request_id)) == "REQUEST_ID_REUSED"


@pytest.mark.parametrize(
    "twin",
    [
        {},
        {"supplier": Party(display_name="muster")},
        {"supplier": Party(display_name="Andere", tax_ids=["x", "DE 123456789"])},
    ],
)
async def test_a_duplicate_of_an_approved_invoice_is_not_approved(
    world: World, twin: dict[str, Any]
) -> None:
    person, number = world.person(), f"r {uuid7()}"
    first = await world.approved(person, invoice_number=number)
    second = await world.create(person, **({"invoice_number": number.upper()} | twin))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await approve(person, second)
    details = dict(caught.value.trailing_metadata())["grpc-status-details-bin"]
    assert b"INVOICE_DUPLICATE" in details
    assert first.invoice_id.encode() in details
    await reopen(person, first)
    await reject(person, first)
    assert (await approve(person, second)).state == APPROVED
    await reopen(person, first)
    assert await refusal(approve(person, first)) == "INVOICE_DUPLICATE"


async def test_of_duplicates_approved_at_the_same_time_one_is(world: World) -> None:
    person, number = world.person(), uuid7()
    made = [await world.create(person, invoice_number=number) for _ in range(5)]
    answers = await asyncio.gather(
        *(approve(person, each) for each in made), return_exceptions=True
    )
    faults = [each for each in answers if isinstance(each, grpc.aio.AioRpcError)]
    assert len(faults) == 4
    assert {each.code() for each in faults} == {grpc.StatusCode.FAILED_PRECONDITION}
    facts = [name for name, _, _ in await world.events(person.organization_id)]
    assert facts.count("InvoiceApproved") == 1


async def test_of_approvals_at_the_same_time_one_counts(world: World) -> None:
    person = world.person()
    made = await world.create(person)
    answers = await asyncio.gather(
        *(approve(person, made) for _ in range(6)), return_exceptions=True
    )
    assert sum(isinstance(each, Invoice) for each in answers) == 1
    assert len((await world.get(person, made.invoice_id)).decisions) == 1


async def test_what_is_approved_is_what_was_last_written(world: World) -> None:
    """An update and an approval at once: the approved fields are those of the event."""
    person = world.person()
    for number in range(8):
        made = await world.create(person)
        change = Invoice(invoice_id=made.invoice_id, order_reference=f"n{number}")
        answers = await asyncio.gather(
            approve(person, made),
            person.UpdateInvoice(UpdateInvoiceRequest(invoice=change)),
            return_exceptions=True,
        )
        assert isinstance(answers[0], Invoice)
        now = await world.get(person, made.invoice_id)
        assert now == answers[0]
        updated = isinstance(answers[1], Invoice)
        assert now.order_reference == (f"n{number}" if updated else "")
        if not updated:
            assert answers[1].code() is grpc.StatusCode.FAILED_PRECONDITION


async def test_a_second_person_approves_where_the_policy_says_so(world: World) -> None:
    person = world.person()
    other = world.person(person.organization_id)
    await set_policy(person, second_person_required=True)
    made = await world.create(person)
    assert await refusal(approve(person, made)) == "SECOND_PERSON_NEEDED"
    change = Invoice(invoice_id=made.invoice_id, order_reference="x")
    await other.UpdateInvoice(UpdateInvoiceRequest(invoice=change))
    assert await refusal(approve(other, made)) == "SECOND_PERSON_NEEDED"
    assert (await approve(person, made)).state == APPROVED


async def test_a_policy_asks_for_a_person_until_it_is_set(world: World) -> None:
    person = world.person()

    async def get() -> Any:
        return await person.GetApprovalPolicy(invoice_pb2.GetApprovalPolicyRequest())

    assert await get() == ApprovalPolicy(etag="0")
    limit = eur("500.00")
    first = await set_policy(person, auto_approve_confidence=0.9, auto_approve_limit=limit)
    assert first == ApprovalPolicy(auto_approve_confidence=0.9, auto_approve_limit=limit, etag="1")
    second = await set_policy(person, second_person_required=True, etag="1")
    assert (second.auto_approve_confidence, second.second_person_required) == (0.9, True)
    third = await set_policy(person, ["auto_approve_limit", "second_person_required"])
    assert third == ApprovalPolicy(auto_approve_confidence=0.9, etag="3")
    assert await get() == third
    assert (
        await world.person().GetApprovalPolicy(invoice_pb2.GetApprovalPolicyRequest())
    ).etag == "0"


async def test_a_policy_is_refused_with_its_reason(world: World) -> None:
    person = world.person()
    assert await refusal(set_policy(person, etag="1")) == "ETAG_MISMATCH"
    for wrong in (
        {"auto_approve_confidence": 1.1},
        {"auto_approve_confidence": float("nan")},
        {"auto_approve_limit": eur("1", "XXQ")},
        {"mask": ["etag.x"]},
    ):
        assert await refusal(set_policy(person, **wrong)) == "INVALID_ARGUMENT"
    answers = await asyncio.gather(
        *(set_policy(person, etag="0", auto_approve_confidence=0.5) for _ in range(4)),
        return_exceptions=True,
    )
    assert sum(isinstance(each, ApprovalPolicy) for each in answers) == 1


async def test_an_approved_invoice_that_is_unpaid_can_be_reopened_and_changed(
    world: World,
) -> None:
    person = world.person()
    approved = await world.approved(person)
    await reopen(person, approved)
    change = Invoice(invoice_id=approved.invoice_id, gross=eur("120"), net=eur("101"))
    changed = await person.UpdateInvoice(UpdateInvoiceRequest(invoice=change))
    assert changed.gross == eur("120.00")
    assert changed.paid == eur("0.00")
    assert complete().gross != changed.gross
    assert (await approve(person, approved)).state == APPROVED
