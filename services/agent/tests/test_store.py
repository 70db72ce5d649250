"""What the database itself guards, and that a repeated or late write changes nothing."""

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

import asyncpg
import pytest
from auditron.agent.v1 import agent_pb2

from libs.pg import audit_isolation, uuid7
from services.agent import store

KNOWN = store.KnownInvoice(
    invoice_id="", version=3, direction=1, name_key="nimbus", tax_key="fr1", number_key="77",
    issue_date=date(2026, 9, 1), gross=Decimal("119.00"), gross_currency_code="EUR",
    iban="de1", account_code="6837", account_confirmed=True, approved=True, rejected=False,
    update_time=datetime(2026, 9, 2, tzinfo=UTC),
)  # fmt: skip
NOBODY = replace(KNOWN, invoice_id=uuid7(), number_key="1", gross=None)


async def test_the_schema_keeps_organizations_apart(agent):
    connection = await asyncpg.connect(agent.runtime.env["ADMIN_DATABASE_URL"])
    try:
        assert await audit_isolation(connection, "agent", allowed_indexes=["events_position"]) == []
    finally:
        await connection.close()


async def test_the_system_role_sees_neither_jobs_nor_what_is_kept_of_invoices(agent):
    for table in ("jobs", "step_results", "webhooks", "known_invoices", "notification_settings"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with agent.runtime.db.system() as tx:
                await tx.fetch(f"select * from {table}")


async def test_a_job_is_queued_once_however_often_it_is_inserted(agent):
    organization_id = uuid7()
    job = agent_pb2.Job(job_id=uuid7(), invoice_id=uuid7(), actor="user:1")
    for _ in range(3):
        async with agent.runtime.db.tenant(organization_id) as tx:
            await store.insert_job(tx, organization_id, job, "application/pdf", 0)
            tasks = await tx.fetchval("select count(*) from tasks where kind = 'run_job'")
            facts = await tx.fetchval("select count(*) from events")
            assert (tasks, facts >= 1) == (1, True)


async def past(agent, organization_id: str, now: store.KnownInvoice = NOBODY) -> store.Past:
    return await store.get_past(agent.runtime.db, organization_id, now)


async def keep(agent, organization_id: str, *known: store.KnownInvoice) -> None:
    async with agent.runtime.db.tenant(organization_id) as tx:
        for each in known:
            await store.upsert_known_invoice(tx, organization_id, each)


async def test_an_older_version_of_an_invoice_changes_nothing(agent):
    organization_id, known = uuid7(), replace(KNOWN, invoice_id=uuid7())
    older = replace(known, version=2, account_code="1")
    same = replace(known, account_code="2")
    newer = replace(known, version=4, account_code="3")
    await keep(agent, organization_id, known, older, same)
    assert (await past(agent, organization_id)).account_code == "6837"
    await keep(agent, organization_id, newer, known, older)
    assert (await past(agent, organization_id)).account_code == "3"


async def test_a_party_is_known_by_its_name_or_by_its_tax_id_within_its_organization(agent):
    organization_id, known = uuid7(), replace(KNOWN, invoice_id=uuid7())
    await keep(agent, organization_id, known)
    by_name = replace(NOBODY, tax_key="")
    by_tax = replace(NOBODY, name_key="other")
    unlike = replace(NOBODY, name_key="other", tax_key="other")
    nameless = replace(NOBODY, name_key="", tax_key="")
    other_way = replace(NOBODY, direction=2)
    assert (await past(agent, organization_id, by_name)).ibans == ("de1",)
    assert (await past(agent, organization_id, by_tax)).ibans == ("de1",)
    for now in (unlike, nameless, other_way):
        assert await past(agent, organization_id, now) == store.Past()
    assert await past(agent, uuid7()) == store.Past()


async def test_only_what_a_person_booked_and_approved_is_remembered(agent):
    organization_id = uuid7()
    guessed = replace(
        KNOWN, invoice_id=uuid7(), account_confirmed=False, approved=False, account_code="1"
    )
    rejected = replace(KNOWN, invoice_id=uuid7(), rejected=True, account_code="2", iban="de2")
    await keep(agent, organization_id, guessed, rejected)
    assert (await past(agent, organization_id)) == store.Past()
    first = replace(KNOWN, invoice_id=uuid7(), account_code="3")
    later = replace(first, invoice_id=uuid7(), account_code="4", update_time=datetime.now(UTC))
    await keep(agent, organization_id, later, first)
    assert (await past(agent, organization_id)).account_code == "4"


async def test_the_same_number_and_the_same_amount_under_another_number_are_noticed(agent):
    organization_id = uuid7()
    await keep(agent, organization_id, replace(KNOWN, invoice_id=uuid7()))
    same = await past(agent, organization_id, replace(KNOWN, invoice_id=uuid7()))
    assert (same.same_number, same.same_amount) == (True, False)
    renamed = replace(KNOWN, invoice_id=uuid7(), number_key="78")
    other = await past(agent, organization_id, renamed)
    assert (other.same_number, other.same_amount) == (False, True)


async def test_who_the_organization_is_follows_the_latest_version(agent):
    organization_id = uuid7()
    async with agent.runtime.db.tenant(organization_id) as tx:
        assert await store.get_organization(tx) == store.Organization()
        for version, name in ((2, "New"), (1, "Old"), (2, "Same")):
            organization = store.Organization(name, ("DE1",), "EUR")
            await store.upsert_organization(tx, organization_id, organization, version)
        assert (await store.get_organization(tx)).display_name == "New"
