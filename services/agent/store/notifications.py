"""Webhooks, mail addresses, and what was sent to them."""

from dataclasses import dataclass

from auditron.agent.v1 import agent_pb2
from auditron.agent.v1.agent_pb2 import NotificationSettings, Webhook
from google.protobuf.json_format import MessageToJson

from libs import jobs
from libs.pg import Database, Tx, uuid7
from libs.pg.rows import columns_of, to_message, values

from .. import errors

DELIVER = "deliver"
ATTEMPTS = 10  # the last comes after up to 17 minutes
OUTCOME_LENGTH_MAX = 500
_WEBHOOK = ", ".join(columns_of(Webhook, "secret"))
_DELIVERY = ", ".join(columns_of(agent_pb2.Delivery))
_WRITTEN = columns_of(NotificationSettings)
_SETTINGS = ", ".join(_WRITTEN)


@dataclass(frozen=True)
class Delivery:
    """A delivery with what is sent, and for a webhook where to; '' if the webhook is gone."""

    message: agent_pb2.Delivery
    body: str
    url: str


async def insert_webhook(tx: Tx, organization_id: str, url: str) -> Webhook:
    """Add a webhook."""
    row = await tx.fetchrow(
        f"""
        insert into webhooks (organization_id, webhook_id, url) values ($1, $2, $3)
        returning {_WEBHOOK}
        """,
        organization_id, uuid7(), url,
    )  # fmt: skip
    return to_message(row, Webhook)


async def lock_webhooks(tx: Tx, organization_id: str) -> int:
    """How many webhooks there are; nobody else adds one until the transaction ends."""
    await tx.execute("select pg_advisory_xact_lock(hashtext('webhooks ' || $1))", organization_id)
    return int(await tx.fetchval("select count(*) from webhooks"))


async def list_webhooks(db: Database, organization_id: str) -> list[Webhook]:
    """Webhooks, oldest first."""
    rows = await db.read(organization_id, f"select {_WEBHOOK} from webhooks order by webhook_id")
    return [to_message(row, Webhook) for row in rows]


async def delete_webhook(tx: Tx, webhook_id: str) -> None:
    """Remove a webhook. Raises WebhookNotFound."""
    found = await tx.fetchval(
        "delete from webhooks where webhook_id = $1 returning true", webhook_id
    )
    if not found:
        raise errors.WebhookNotFound("There is no such webhook.")


async def get_settings(db: Database, organization_id: str) -> NotificationSettings:
    """Who is told by mail; nobody, as long as nobody has said so."""
    rows = await db.read(organization_id, f"select {_SETTINGS} from notification_settings")
    return to_message(rows[0], NotificationSettings) if rows else NotificationSettings()


async def lock_settings(tx: Tx, organization_id: str) -> NotificationSettings:
    """Who is told by mail, kept from changing until the transaction ends."""
    await tx.execute(
        "insert into notification_settings (organization_id) values ($1) on conflict do nothing",
        organization_id,
    )
    row = await tx.fetchrow(f"select {_SETTINGS} from notification_settings for update")
    return to_message(row, NotificationSettings)


async def update_settings(tx: Tx, settings: NotificationSettings) -> NotificationSettings:
    """Replace who is told by mail; the settings were locked before."""
    assigned = ", ".join(f"{name} = ${number}" for number, name in enumerate(_WRITTEN, 1))
    row = await tx.fetchrow(
        f"update notification_settings set {assigned} returning {_SETTINGS}",
        *values(settings, *_WRITTEN),
    )
    return to_message(row, NotificationSettings)


async def insert_deliveries(tx: Tx, organization_id: str, job: agent_pb2.Job) -> None:
    """Have everyone told who wants to know of the job's end."""
    failed = job.state == agent_pb2.JOB_STATE_FAILED
    rows = await tx.fetch(
        """
        select 'webhook:' || webhook_id as recipient from webhooks
        union all
        select 'mail:' || email from notification_settings, unnest(emails) as email
        where $1 or not failures_only
        """,
        failed,
    )
    body = MessageToJson(job, preserving_proto_field_name=True, indent=None)
    for row in rows:
        delivery_id = uuid7()
        await tx.execute(
            """
            insert into deliveries (organization_id, delivery_id, recipient, job_id, state, body)
            values ($1, $2, $3, $4, $5, $6)
            """,
            organization_id, delivery_id, row["recipient"], job.job_id,
            agent_pb2.DELIVERY_STATE_QUEUED, body,
        )  # fmt: skip
        await _enqueue(tx, organization_id, delivery_id)


async def list_deliveries(
    db: Database, organization_id: str, before: str | None, limit: int
) -> list[agent_pb2.Delivery]:
    """Deliveries, newest first."""
    rows = await db.read(
        organization_id,
        f"""
        select {_DELIVERY} from deliveries where $1::uuid is null or delivery_id < $1
        order by delivery_id desc limit $2
        """,
        before,
        limit,
    )
    return [to_message(row, agent_pb2.Delivery) for row in rows]


async def get_delivery(db: Database, organization_id: str, delivery_id: str) -> Delivery:
    """A delivery as it is to be sent. Raises DeliveryNotFound."""
    rows = await db.read(
        organization_id,
        f"""
        select {_DELIVERY}, body, coalesce(
          (select url from webhooks where 'webhook:' || webhook_id = recipient), '') as url
        from deliveries where delivery_id = $1
        """,
        delivery_id,
    )
    if not rows:
        raise errors.DeliveryNotFound("There is no such delivery.")
    row = rows[0]
    return Delivery(to_message(row, agent_pb2.Delivery), row["body"], row["url"])


async def lock_delivery(tx: Tx, delivery_id: str) -> agent_pb2.Delivery:
    """A delivery, kept from changing until the transaction ends. Raises DeliveryNotFound."""
    row = await tx.fetchrow(
        f"select {_DELIVERY} from deliveries where delivery_id = $1 for update", delivery_id
    )
    if row is None:
        raise errors.DeliveryNotFound("There is no such delivery.")
    return to_message(row, agent_pb2.Delivery)


async def update_delivery(
    tx: Tx, delivery_id: str, state: int, attempt: int, outcome: str
) -> agent_pb2.Delivery:
    """Note how an attempt ended; a delivery that was sent stays so."""
    row = await tx.fetchrow(
        f"""
        update deliveries set state = $2, attempt = $3, outcome = $4, update_time = now()
        where delivery_id = $1 and state <> $5 returning {_DELIVERY}
        """,
        delivery_id, state, attempt, outcome[:OUTCOME_LENGTH_MAX],
        agent_pb2.DELIVERY_STATE_SENT,
    )  # fmt: skip
    return to_message(row, agent_pb2.Delivery) if row else await lock_delivery(tx, delivery_id)


async def retry_delivery(tx: Tx, organization_id: str, delivery_id: str) -> agent_pb2.Delivery:
    """Have a locked delivery sent again; its attempts are counted anew."""
    state = agent_pb2.DELIVERY_STATE_QUEUED
    after = await update_delivery(tx, delivery_id, state, 0, "")
    await _enqueue(tx, organization_id, delivery_id)
    return after


async def _enqueue(tx: Tx, organization_id: str, delivery_id: str) -> None:
    await jobs.enqueue(
        tx, DELIVER, agent_pb2.RetryDeliveryRequest(delivery_id=delivery_id),
        organization_id=organization_id, max_attempts=ATTEMPTS,
    )  # fmt: skip
