"""Facts that could not be posted, and what they wait for."""

from collections.abc import Sequence

from auditron.event.v1.event_pb2 import Event
from auditron.reporting.v1.reporting_pb2 import PostingRejection
from google.protobuf.wrappers_pb2 import StringValue

from libs.jobs import enqueue
from libs.pg import Database, Record, Tx
from libs.pg.rows import columns_of, to_message

POST_WAITING = "post_waiting"
# What was rejected must be posted in the end; with the pauses between them these take hours.
POST_ATTEMPTS = 100
_REJECTION = ", ".join(columns_of(PostingRejection))


async def upsert_rejection(
    tx: Tx, event: Event, rejection: PostingRejection, needs: Sequence[str]
) -> tuple[PostingRejection, bool]:
    """Let a fact wait, in the place that it has already; say also whether the reason is new."""
    row = await tx.fetchrow(
        f"""
        with before as (
          select reason from posting_rejections where source_type = $2 and source_id = $3
        )
        insert into posting_rejections
          (organization_id, source_type, source_id, source_version, reason, message, event)
        values ($1, $2, $3, $4, $5, $6, $7)
        on conflict (organization_id, source_type, source_id) do update
        set source_version = $4, reason = $5, message = $6, event = $7
        returning sequence, {_REJECTION}, (select reason from before) as reason_before
        """,
        event.organization_id, rejection.source_type, rejection.source_id, event.aggregate_version,
        rejection.reason, rejection.message, event.SerializeToString(),
    )  # fmt: skip
    assert row is not None, "it was written"
    await tx.execute(
        """
        with gone as (
          delete from posting_needs where sequence = $2 and need <> all($3::text[])
        )
        insert into posting_needs (organization_id, need, sequence)
        select $1, unnest($3::text[]), $2 on conflict do nothing
        """,
        event.organization_id, row["sequence"], needs,
    )  # fmt: skip
    return to_message(row, PostingRejection), row["reason_before"] != rejection.reason


async def delete_rejection(
    tx: Tx, source_type: str, source_id: str, before_version: int
) -> list[str]:
    """Let a fact wait no longer if it is older than the version; return what it waited for."""
    rows = await tx.fetch(
        """
        with gone as (
          delete from posting_rejections
          where source_type = $1 and source_id = $2 and source_version < $3 returning sequence
        )
        select need from gone join posting_needs using (sequence) order by need
        """,
        source_type, source_id, before_version,
    )  # fmt: skip
    return [row["need"] for row in rows]


async def list_waiting(tx: Tx, need: str, after: int = 0, limit: int | None = None) -> list[Record]:
    """Sequence and event of the facts that wait for this, in the order in which they came."""
    return await tx.fetch(
        """
        select sequence, event from posting_needs join posting_rejections using (sequence)
        where need = $1 and sequence > $2 order by sequence limit $3
        """,
        need, after, limit,
    )  # fmt: skip


async def insert_posting(tx: Tx, organization_id: str, need: str, actor: str) -> None:
    """Have what waits for this posted, some at a time: the task."""
    await enqueue(
        tx,
        POST_WAITING,
        StringValue(value=need),
        organization_id=organization_id,
        max_attempts=POST_ATTEMPTS,
        actor=actor,
    )


async def list_rejections(
    db: Database, organization_id: str, before: int | None, limit: int
) -> list[tuple[int, PostingRejection]]:
    """What waits, with its sequence, newest first, before that of a sequence."""
    rows = await db.read(
        organization_id,
        f"""
        select sequence, {_REJECTION} from posting_rejections
        where $1::bigint is null or sequence < $1 order by sequence desc limit $2
        """,
        before, limit,
    )  # fmt: skip
    return [(row["sequence"], to_message(row, PostingRejection)) for row in rows]
