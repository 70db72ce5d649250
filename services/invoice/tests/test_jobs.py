from typing import Any

import pytest
from auditron.billing.v1.billing_events_pb2 import EntitlementsChanged
from auditron.billing.v1.billing_pb2 import Entitlements, Subscription
from auditron.event.v1.event_pb2 import Event
from auditron.invoice.v1 import invoice_pb2
from auditron.invoice.v1.invoice_pb2 import Invoice
from auditron.recon.v1.recon_events_pb2 import MatchConfirmed, MatchUndone
from auditron.recon.v1.recon_pb2 import Allocation, Match

from libs.events import set_cursor
from libs.pg import uuid7
from libs.testkit import Client, eventually
from services.invoice import jobs, store
from services.invoice.tests import samples
from services.invoice.tests.conftest import World, eur, refusal

APPROVED = invoice_pb2.INVOICE_STATE_APPROVED
PARTLY_PAID = invoice_pb2.INVOICE_STATE_PARTLY_PAID
PAID = invoice_pb2.INVOICE_STATE_PAID


def match(match_id: str, *pairs: tuple[Invoice, str]) -> Match:
    allocations = [
        Allocation(transaction_id=uuid7(), invoice_id=invoice.invoice_id, amount=eur(amount))
        for invoice, amount in pairs
    ]
    return Match(match_id=match_id, allocations=allocations)


async def handle(world: World, person: Client, version: int, fact: Any) -> None:
    handler: Any = {**jobs.HANDLERS["recon"], **jobs.HANDLERS["billing"]}[type(fact)]
    event = Event(
        organization_id=person.organization_id, aggregate_version=version, actor="user:someone"
    )
    async with world.harness.runtime.db.tenant(person.organization_id) as tx:
        await handler(tx, event, fact)


async def standing(world: World, person: Client, invoice: Invoice) -> tuple[int, str]:
    now = await world.get(person, invoice.invoice_id)
    return now.state, now.paid.amount


async def test_payments_lead_to_paid_and_back_when_a_match_is_undone(world: World) -> None:
    person = world.person()
    bill = await world.approved(person)
    first, second = (match(uuid7(), (bill, amount)) for amount in ("19.00", "100.00"))
    await handle(world, person, 1, MatchConfirmed(match=first))
    assert await standing(world, person, bill) == (PARTLY_PAID, "19.00")
    await handle(world, person, 1, MatchConfirmed(match=second))
    assert await standing(world, person, bill) == (PAID, "119.00")
    await handle(world, person, 2, MatchUndone(match=first))
    assert await standing(world, person, bill) == (PARTLY_PAID, "100.00")
    await handle(world, person, 2, MatchUndone(match=second))
    assert await standing(world, person, bill) == (APPROVED, "0.00")
    facts = await world.events(person.organization_id)
    paid = [fact.invoice.state for name, _, fact in facts if name == "InvoicePaid"]
    assert paid == [PARTLY_PAID, PAID, PARTLY_PAID, APPROVED]
    assert [version for _, version, _ in facts] == [1, 2, 3, 4, 5, 6]
    assert facts[-1][2].invoice == await world.get(person, bill.invoice_id)


async def test_events_that_come_again_or_late_change_nothing(world: World) -> None:
    person = world.person()
    bill = await world.approved(person)
    paying = match(uuid7(), (bill, "119.00"))
    for _ in range(2):
        await handle(world, person, 1, MatchConfirmed(match=paying))
    await handle(world, person, 2, MatchUndone(match=paying))
    await handle(world, person, 1, MatchConfirmed(match=paying))
    assert await standing(world, person, bill) == (APPROVED, "0.00")
    assert len(await world.events(person.organization_id)) == 4


async def test_one_match_may_pay_several_invoices_and_set_off_a_credit_note(world: World) -> None:
    person = world.person()
    bill, credit = [
        await world.approved(person, document_type=kind)
        for kind in (invoice_pb2.DOCUMENT_TYPE_INVOICE, invoice_pb2.DOCUMENT_TYPE_CREDIT_NOTE)
    ]
    both = match(uuid7(), (bill, "100.00"), (bill, "19.00"), (credit, "-20.00"))
    await handle(world, person, 1, MatchConfirmed(match=both))
    assert await standing(world, person, bill) == (PAID, "119.00")
    assert await standing(world, person, credit) == (PARTLY_PAID, "20.00")


async def test_a_payment_that_meets_a_reopened_invoice_counts_at_its_approval(
    world: World,
) -> None:
    person = world.person()
    bill = await world.approved(person)
    reopen = invoice_pb2.ReopenInvoiceRequest(invoice_id=bill.invoice_id, reason="typo")
    await person.ReopenInvoice(reopen)
    await handle(world, person, 1, MatchConfirmed(match=match(uuid7(), (bill, "19.00"))))
    state = invoice_pb2.INVOICE_STATE_IN_REVIEW
    assert await standing(world, person, bill) == (state, "19.00")
    approve = invoice_pb2.ApproveInvoiceRequest(invoice_id=bill.invoice_id)
    assert (await person.ApproveInvoice(approve)).state == PARTLY_PAID
    assert await refusal(person.ReopenInvoice(reopen)) == "INVOICE_NOT_REOPENABLE"


async def test_a_payment_of_an_unknown_invoice_is_no_payment(world: World) -> None:
    person, stranger = world.person(), world.person()
    theirs = await world.approved(stranger)
    fact = MatchConfirmed(match=match(uuid7(), (theirs, "1.00")))
    with pytest.raises(Exception, match="no such invoice"):
        await handle(world, person, 1, fact)
    assert await standing(world, stranger, theirs) == (APPROVED, "0.00")


def entitled(most: int) -> EntitlementsChanged:
    return EntitlementsChanged(
        subscription=Subscription(entitlements=Entitlements(documents_per_month=most))
    )


async def test_the_latest_plan_counts_however_its_events_come(world: World) -> None:
    person, runtime = world.person(), world.harness.runtime
    for version, most in ((2, 0), (1, 1), (2, 1)):
        await handle(world, person, version, entitled(most))
    await world.upload(person, samples.pdf(uuid7()))
    other = invoice_pb2.Document(sha256="x")
    standing_ = await store.get_upload_standing(runtime.db, person.organization_id, other, 1)
    assert standing_ == (False, True)
    await handle(world, person, 3, entitled(1))
    standing_ = await store.get_upload_standing(runtime.db, person.organization_id, other, 50)
    assert standing_ == (False, False)


async def test_the_worker_follows_both_logs_and_a_replay_gives_the_same(world: World) -> None:
    person = world.person()
    bill = await world.approved(person)
    ended, standing_match = (match(uuid7(), (bill, amount)) for amount in ("100.00", "19.00"))
    organization_id = person.organization_id
    partition = int(organization_id[-1], 16)
    world.billing.state(organization_id, organization_id, 1, entitled(1))
    for version, kind in ((1, MatchConfirmed), (2, MatchUndone)):
        world.recon.state(organization_id, ended.match_id, version, kind(match=ended))
    fact = MatchConfirmed(match=standing_match)
    world.recon.state(organization_id, standing_match.match_id, 1, fact)

    async def ring() -> None:
        for producer in ("billing", "recon"):
            bell = world.harness.runtime.redis.publish(f"bell:{producer}", partition)
            await bell

    async def now() -> tuple[int, str]:
        return await standing(world, person, bill)

    db = world.harness.runtime.db
    await ring()
    wanted = (PARTLY_PAID, "19.00")
    await eventually(now, lambda found: found == wanted)
    await eventually(lambda: world.count("entitlements", organization_id))
    before = await world.get(person, bill.invoice_id)
    await set_cursor(db, "recon")

    async def position() -> int:
        await ring()  # until it is heard: the first bell only makes it look at its cursor anew
        async with db.unscoped() as tx:
            return await tx.fetchval(
                "select position from cursors where producer = 'recon' and partition = $1",
                partition,
            )

    await eventually(position, lambda found: found == 3)
    assert await world.get(person, bill.invoice_id) == before
