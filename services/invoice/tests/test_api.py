import asyncio
from typing import Any

import grpc
import pytest
from auditron.invoice.v1 import invoice_pb2
from auditron.invoice.v1.invoice_pb2 import (
    CreateInvoiceRequest,
    GetInvoiceRequest,
    Invoice,
    InvoiceLine,
    ListInvoicesRequest,
    ListInvoicesResponse,
    Party,
    UpdateInvoiceRequest,
)
from google.protobuf.field_mask_pb2 import FieldMask
from google.type.date_pb2 import Date

from libs.pg import uuid7
from libs.testkit import Client
from services.invoice.tests.conftest import World, complete, eur, refusal

IN_REVIEW = invoice_pb2.INVOICE_STATE_IN_REVIEW
RECEIVABLE = invoice_pb2.DIRECTION_RECEIVABLE


async def page(client: Client, **wanted: Any) -> ListInvoicesResponse:
    return await client.ListInvoices(ListInvoicesRequest(**wanted))


async def update(client: Client, mask: list[str] | None = None, **fields: Any) -> Invoice:
    request = UpdateInvoiceRequest(
        invoice=Invoice(**fields), update_mask=FieldMask(paths=mask) if mask else None
    )
    return await client.UpdateInvoice(request)


async def test_an_invoice_made_by_hand_waits_for_review(world: World) -> None:
    person = world.person()
    made = await world.create(person, account_code="6800")
    assert (made.state, made.etag, made.paid) == (IN_REVIEW, "1", eur("0.00"))
    assert made.direction == invoice_pb2.DIRECTION_PAYABLE
    assert made.document_type == invoice_pb2.DOCUMENT_TYPE_INVOICE
    assert made.creator.startswith("user:")
    assert not made.warnings
    assert not made.HasField("document")
    assert await world.get(person, made.invoice_id) == made
    [(name, version, fact)] = await world.events(person.organization_id)
    assert (name, version, fact.invoice) == ("InvoiceReceived", 1, made)


async def test_what_the_server_sets_is_not_taken_from_the_caller(world: World) -> None:
    wanted = complete(
        state=invoice_pb2.INVOICE_STATE_PAID, paid=eur("119.00"), job_id=uuid7(), creator="user:x",
        warnings=["w"], decisions=[invoice_pb2.Decision(actor="x")], reading_failure="x",
        invoice_id=uuid7(), document=invoice_pb2.Document(filename="x"), etag="77",
    )  # fmt: skip
    made = await world.person().CreateInvoice(CreateInvoiceRequest(invoice=wanted))
    assert (made.state, made.paid, made.etag, made.job_id) == (IN_REVIEW, eur("0.00"), "1", "")
    assert made.creator != "user:x"
    assert made.invoice_id != wanted.invoice_id
    assert not [*made.warnings, *made.decisions, *made.reading_failure]
    assert not made.HasField("document")


async def test_a_wrong_field_is_refused_and_nothing_is_stored(world: World) -> None:
    person = world.person()
    wrong = complete(gross=eur("abc"))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await person.CreateInvoice(CreateInvoiceRequest(invoice=wrong))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert b"invoice.gross" in dict(caught.value.trailing_metadata())["grpc-status-details-bin"]
    assert await world.count("invoices", person.organization_id) == 0


async def test_a_request_id_makes_one_invoice(world: World) -> None:
    person, request_id = world.person(), uuid7()
    request = CreateInvoiceRequest(invoice=complete(), request_id=request_id)
    first, again = await asyncio.gather(*[person.CreateInvoice(request) for _ in range(2)])
    assert first == again == await person.CreateInvoice(request)
    assert await world.count("invoices", person.organization_id) == 1
    other = CreateInvoiceRequest(invoice=complete(), request_id=request_id)
    assert await refusal(person.CreateInvoice(other)) == "REQUEST_ID_REUSED"
    other.request_id = "no uuid"
    assert await refusal(person.CreateInvoice(other)) == "INVALID_ARGUMENT"


@pytest.mark.parametrize("invoice_id", ["", "x", "'; select 1", uuid7()])
async def test_what_is_not_there_is_not_found(world: World, invoice_id: str) -> None:
    person = world.person()
    calls = [
        person.GetInvoice(GetInvoiceRequest(invoice_id=invoice_id)),
        update(person, invoice_id=invoice_id, order_reference="x"),
        person.ApproveInvoice(invoice_pb2.ApproveInvoiceRequest(invoice_id=invoice_id)),
        person.RejectInvoice(invoice_pb2.RejectInvoiceRequest(invoice_id=invoice_id, reason="x")),
        person.ReopenInvoice(invoice_pb2.ReopenInvoiceRequest(invoice_id=invoice_id, reason="x")),
    ]
    for call in calls:
        assert await refusal(call) == "INVOICE_NOT_FOUND"


async def test_another_organization_sees_and_changes_nothing(world: World) -> None:
    owner, stranger = world.person(), world.person()
    made = await world.create(owner, order_reference="geheim")
    answers = []
    for invoice_id in (made.invoice_id, uuid7()):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await world.get(stranger, invoice_id)
        answers.append((caught.value.code(), caught.value.details()))
    assert answers[0] == answers[1]
    call = update(stranger, invoice_id=made.invoice_id, order_reference="x")
    assert await refusal(call) == "INVOICE_NOT_FOUND"
    assert not (await page(stranger)).invoices
    assert not (await page(stranger, query="geheim")).invoices
    assert (await page(owner, query="geheim")).invoices == [made]
    agent = world.agent(stranger.organization_id)
    reading = invoice_pb2.RecordReadingRequest(invoice_id=made.invoice_id, job_id=uuid7())
    assert await refusal(agent.RecordReading(reading)) == "INVOICE_NOT_FOUND"


@pytest.mark.parametrize(
    ("method", "request_", "permission"),
    [
        ("CreateInvoice", CreateInvoiceRequest(), "invoices.write"),
        ("GetInvoice", GetInvoiceRequest(), "invoices.read"),
        ("ListInvoices", ListInvoicesRequest(), "invoices.read"),
        ("UpdateInvoice", UpdateInvoiceRequest(), "invoices.write"),
        ("ApproveInvoice", invoice_pb2.ApproveInvoiceRequest(), "invoices.approve"),
        ("RejectInvoice", invoice_pb2.RejectInvoiceRequest(), "invoices.approve"),
        ("ReopenInvoice", invoice_pb2.ReopenInvoiceRequest(), "invoices.approve"),
        ("RecordReading", invoice_pb2.RecordReadingRequest(), "service"),
        ("GetApprovalPolicy", invoice_pb2.GetApprovalPolicyRequest(), "invoices.read"),
        ("UpdateApprovalPolicy", invoice_pb2.UpdateApprovalPolicyRequest(),
         "approval_policy.update"),
    ],
)  # fmt: skip
async def test_every_call_needs_its_permission(
    world: World, method: str, request_: Any, permission: str
) -> None:
    every = {"invoices.read", "invoices.write", "invoices.approve", "approval_policy.update"}
    without = world.person(permissions=" ".join(every - {permission}))
    assert await refusal(getattr(without, method)(request_)) == "PERMISSION_DENIED"
    if permission != "service":
        having = world.person(permissions=permission)
        try:
            await getattr(having, method)(request_)
        except grpc.aio.AioRpcError as error:
            assert error.code() is not grpc.StatusCode.PERMISSION_DENIED  # noqa: PT017


async def test_pages_go_newest_first_and_meet_all_once(world: World) -> None:
    person = world.person()
    made = [(await world.create(person)).invoice_id for _ in range(7)]
    seen, token = [], ""
    while True:
        found = await page(person, page_size=3, page_token=token)
        seen += [each.invoice_id for each in found.invoices]
        token = found.next_page_token
        if not token:
            break
    assert seen == made[::-1]
    first = await page(person, page_size=3)
    await world.create(person)  # newer than the first page: it moves nothing
    second = await page(person, page_size=3, page_token=first.next_page_token)
    assert [each.invoice_id for each in second.invoices] == made[3:0:-1]
    assert not (await page(person, page_size=8)).next_page_token


async def test_a_page_token_is_for_its_own_list_alone(world: World) -> None:
    person = world.person()
    for _ in range(2):
        await world.create(person)
    token = (await page(person, page_size=1)).next_page_token
    wrong = ({"page_token": "x"}, {"page_token": token, "query": "a"}, {"page_token": token[:-4]})
    for wanted in wrong:
        assert await refusal(page(person, **wanted)) == "PAGE_TOKEN_INVALID"
    assert await refusal(page(person, page_size=-1)) == "INVALID_ARGUMENT"
    assert await refusal(page(person, states=[99])) == "INVALID_ARGUMENT"


async def test_a_list_is_narrowed_by_state_direction_date_and_words(world: World) -> None:
    person = world.person()
    march, april = (Date(year=2026, month=month, day=1) for month in (3, 4))
    bill = await world.create(person, issue_date=march, order_reference="PO-4711")
    customer = Party(display_name="Müller & Söhne AG", tax_ids=["ATU12345678"])
    sale = await world.create(person, issue_date=april, direction=RECEIVABLE, customer=customer)
    paid = await world.approved(person, lines=[InvoiceLine(description="Kabelbinder 200mm")])

    async def found(**wanted: Any) -> list[str]:
        return [each.invoice_id for each in (await page(person, **wanted)).invoices]

    every = [paid.invoice_id, sale.invoice_id, bill.invoice_id]
    assert await found(states=[3]) == every[:1]
    assert await found(states=[2, 3, 4]) == every
    assert await found(direction=RECEIVABLE) == [sale.invoice_id]
    assert await found(start_date=april) == [sale.invoice_id]
    assert await found(start_date=march, end_date=march) == [bill.invoice_id]
    assert await found(end_date=Date(year=2026, month=2, day=1)) == []
    assert await found(query="po 47") == [bill.invoice_id]
    assert await found(query="MULLER sohne") == [sale.invoice_id]
    assert await found(query="atu12345678") == [sale.invoice_id]
    assert await found(query="kabel") == [paid.invoice_id]
    assert await found(query=bill.invoice_number) == [bill.invoice_id]
    assert await found(query="muster") == every
    assert await found(query="muster", states=[3]) == [paid.invoice_id]
    assert await found(query="muster", direction=RECEIVABLE, end_date=march) == []
    assert await found(query="muster nichts") == []
    assert await found(query="!&|:*'\\ ()") == []
    first = await page(person, query="muster", page_size=2)
    rest = await page(person, query="muster", page_size=2, page_token=first.next_page_token)
    assert [each.invoice_id for each in [*first.invoices, *rest.invoices]] == every


async def test_a_page_of_large_invoices_ends_before_the_answer_is_too_large(world: World) -> None:
    person = world.person()
    lines = [InvoiceLine(description="x" * 2_000)] * 190
    for _ in range(9):
        await world.create(person, lines=lines)
    seen, token = 0, ""
    while True:
        found = await page(person, page_token=token)
        assert found.ByteSize() < 3_100_000
        seen, token = seen + len(found.invoices), found.next_page_token
        if not token:
            break
    assert seen == 9


async def test_a_list_has_no_readings(world: World) -> None:
    person = world.person()
    made = await world.create(person)
    changed = await update(person, invoice_id=made.invoice_id, order_reference="x")
    assert changed.readings
    [listed] = (await page(person)).invoices
    del changed.readings[:]
    assert listed == changed


async def test_an_update_changes_what_it_names_and_notes_who(world: World) -> None:
    person = world.person()
    made = await world.create(person, order_reference="old")
    changed = await update(
        person, ["order_reference", "due_date", "net", "tax"],
        invoice_id=made.invoice_id, net=eur("90"), invoice_number="not named",
    )  # fmt: skip
    assert (changed.order_reference, changed.net) == ("", eur("90.00"))
    assert not changed.HasField("tax")
    assert changed.invoice_number == made.invoice_number
    assert changed.warnings == ["net and tax do not add up to gross"]
    assert {each.field for each in changed.readings} == {
        "order_reference",
        "due_date",
        "net",
        "tax",
    }
    assert changed.etag == "2"
    assert await world.get(person, made.invoice_id) == changed
    name, version, fact = (await world.events(person.organization_id))[-1]
    assert (name, version, fact.invoice) == ("InvoiceUpdated", 2, changed)
    mended = await update(person, invoice_id=made.invoice_id, net=eur("100"), tax=eur("19"))
    assert not mended.warnings


async def test_an_update_of_nothing_changes_nothing(world: World) -> None:
    person = world.person()
    made = await world.create(person)
    assert await update(person, invoice_id=made.invoice_id, etag=made.etag) == made
    assert len(await world.events(person.organization_id)) == 1


async def test_an_update_is_refused_with_its_reason(world: World) -> None:
    person = world.person()
    made = await world.create(person)
    changed = {"invoice_id": made.invoice_id, "order_reference": "x"}
    assert await refusal(update(person, **changed, etag="9")) == "ETAG_MISMATCH"
    assert await refusal(update(person, ["state"], **changed)) == "INVALID_ARGUMENT"
    wrong = update(person, invoice_id=made.invoice_id, gross=eur("1", "USD"))
    assert await refusal(wrong) == "INVALID_ARGUMENT"
    await person.ApproveInvoice(invoice_pb2.ApproveInvoiceRequest(invoice_id=made.invoice_id))
    assert await refusal(update(person, **changed)) == "INVOICE_NOT_IN_REVIEW"


async def test_of_updates_with_the_same_etag_one_counts(world: World) -> None:
    person = world.person()
    made = await world.create(person)
    answers = await asyncio.gather(
        *(
            update(person, invoice_id=made.invoice_id, etag="1", order_reference=str(n))
            for n in range(6)
        ),
        return_exceptions=True,
    )
    lost = [each for each in answers if isinstance(each, grpc.aio.AioRpcError)]
    assert len(lost) == 5
    assert {each.code() for each in lost} == {grpc.StatusCode.ABORTED}
    assert (await world.get(person, made.invoice_id)).etag == "2"


async def test_two_of_the_same_counterparty_and_number_are_warned_of(world: World) -> None:
    person, number = world.person(), uuid7()
    first = await world.create(person, invoice_number=number)
    assert not first.warnings
    by_name = Party(display_name="MUSTER Gmbh")
    second = await world.create(person, invoice_number=f"{number} ", supplier=by_name)
    assert second.warnings == ["another invoice has the same counterparty and number"]
    by_tax_id = Party(display_name="Andere AG", tax_ids=["de 123456789"])
    third = await world.create(person, invoice_number=number, supplier=by_tax_id)
    assert third.warnings == second.warnings
    mended = await update(person, invoice_id=third.invoice_id, invoice_number=f"{number}-2")
    assert not mended.warnings
    elsewhere = await world.create(world.person(), invoice_number=number)
    assert not elsewhere.warnings
