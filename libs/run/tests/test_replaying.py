"""Facts handled again on an operator's word, by a real service over real stores."""

import asyncpg
import pytest
from auditron.auth.v1 import auth_events_pb2, auth_pb2
from auditron.event.v1.event_pb2 import Event

from libs.pg import uuid7
from libs.run.replaying import NotFollowed, replay
from libs.testkit import Stores

ROOT_SETTINGS = {"BILLING_ADDRESS": "127.0.0.1:9", "AUTH_ADDRESS": "127.0.0.1:9"}


async def test_a_log_and_its_dead_letters_are_handled_again(stores: Stores) -> None:
    env = await stores.service_env("billing") | ROOT_SETTINGS | {"INVOICE_ADDRESS": "127.0.0.1:9"}
    organization_id = uuid7()
    organization = auth_pb2.Organization(organization_id=organization_id, display_name="A")
    event = Event(
        event_id=uuid7(), organization_id=organization_id, aggregate_type="organization",
        aggregate_id=organization_id, aggregate_version=1, actor="user:1",
    )  # fmt: skip
    event.payload.Pack(auth_events_pb2.OrganizationCreated(organization=organization))
    broken = Event(event_id=uuid7(), organization_id=organization_id)
    broken.payload.type_url = event.payload.type_url
    broken.payload.value = b"\xff"
    con = await asyncpg.connect(env["ADMIN_DATABASE_URL"])
    try:
        await con.executemany(
            """
            insert into billing.dead_letters
              (organization_id, producer, consumer, event_id, event, tries, error)
            values ($1, 'auth', 'main', $2, $3, 5, 'down')
            """,
            [(organization_id, e.event_id, e.SerializeToString()) for e in (event, broken)],
        )
        assert await replay("billing", "auth", dead_letters=True, env=env) == (1, 1)
        assert await replay("billing", "auth", dead_letters=True, env=env) == (0, 1)
        sql = "select count(*) from billing.subscriptions where organization_id = $1"
        assert await con.fetchval(sql, organization_id) == 1
        await con.execute("insert into billing.cursors values ('auth', 'main', 3, 70, 'x@0')")
        assert await replay("billing", "auth", dead_letters=False, env=env) == (0, 0)
        assert await con.fetchval("select max(position) from billing.cursors") == 0
    finally:
        await con.close()


async def test_a_log_that_a_service_does_not_follow_is_named(stores: Stores) -> None:
    env = await stores.service_env("billing") | ROOT_SETTINGS | {"INVOICE_ADDRESS": "127.0.0.1:9"}
    with pytest.raises(NotFollowed, match="billing does not follow recon; it follows auth"):
        await replay("billing", "recon", dead_letters=False, env=env)
