"""What the database itself guards."""

import asyncpg

from libs.pg import audit_isolation, uuid7
from services.billing import store
from services.billing.tests.conftest import new_organization


async def test_the_schema_keeps_organizations_apart(billing):
    connection = await asyncpg.connect(billing.runtime.env["ADMIN_DATABASE_URL"])
    try:
        found = await audit_isolation(connection, "billing", allowed_indexes=["events_position"])
    finally:
        await connection.close()
    assert found == []


async def test_a_subscription_is_begun_once(billing):
    client = await new_organization(billing)
    async with billing.runtime.db.tenant(client.organization_id) as tx:
        assert await store.insert_subscription(tx, client.organization_id, "team") is None
        assert (await store.get_subscription(tx)).plan_code == "free"


async def test_a_webhook_is_taken_once(billing):
    event_id = uuid7()
    async with billing.runtime.db.unscoped() as tx:
        assert await store.insert_stripe_event(tx, event_id)
        assert not await store.insert_stripe_event(tx, event_id)
