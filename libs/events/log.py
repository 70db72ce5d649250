"""The service's own log: facts appended to it, and pages of it for those who follow."""

from auditron.event.v1.event_pb2 import Event, ListEventsRequest, ListEventsResponse
from auditron.event.v1.event_pb2_grpc import EventLogServiceServicer
from google.protobuf import any_pb2
from google.protobuf.message import Message

from libs import telemetry
from libs.pg import Database, Tx, rows, uuid7
from libs.rpc.errors import InvalidArgument

PARTITIONS = 16
PAYLOAD_BYTES_MAX = 1 << 20
PAGE_SIZE, PAGE_SIZE_MAX = 500, 1_000
PAGE_BYTES_MAX = 3_000_000  # of payloads; what lies around them stays below a message's 4 MB

_APPEND = """
with event as (
  insert into events (event_id, organization_id, aggregate_type, aggregate_id, aggregate_version,
    actor, traceparent, request_id, payload)
  values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
)
select pg_notify(current_schema() || '.events', '') from relay where asleep
"""
_HEAD = """
select position, (
  select coalesce(string_agg(generation_id || '@' || positions[$1 + 1], ',' order by number), '')
  from generations
) as generation_id
from heads where partition = $1
"""
_PAGE = """
select * from (
  select *, sum(octet_length(payload)) over (order by position) as bytes_so_far
  from events where partition = $1 and position > $2 order by position limit $3
) page
where bytes_so_far <= $4 or position = $2 + 1
order by position
"""


async def append(
    tx: Tx,
    *,
    organization_id: str,
    aggregate_type: str,
    aggregate_id: str,
    aggregate_version: int,
    payload: Message,
    actor: str,
) -> str:
    """State a fact in the transaction that makes it true, and return its event_id.

    The payload, at most 1 MiB, holds the whole resource after the change. The row of the aggregate
    must be locked or new in this transaction, so that its versions are appended in their order.
    """
    packed = any_pb2.Any()
    packed.Pack(payload)
    body = packed.SerializeToString()
    assert len(body) <= PAYLOAD_BYTES_MAX, f"{payload.DESCRIPTOR.full_name} has {len(body)} bytes"
    event_id = uuid7()
    await tx.execute(
        _APPEND,
        event_id,
        organization_id,
        aggregate_type,
        aggregate_id,
        aggregate_version,
        actor,
        telemetry.traceparent(),
        telemetry.current().request_id,
        body,
    )
    return event_id


async def page(tx: Tx, partition: int, after_position: int, size: int) -> list[Event]:
    """Return the next events of a partition, at most 3 MB of payloads but at least one event."""
    found = await tx.fetch(_PAGE, partition, after_position, size, PAGE_BYTES_MAX)
    return [rows.to_message(row, Event) for row in found]


class EventLog(EventLogServiceServicer):
    """Serves this service's facts to those who follow them."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def ListEvents(  # noqa: N802
        self, request: ListEventsRequest, _context: object
    ) -> ListEventsResponse:
        """Return the events of one partition after a position, oldest first."""
        if not 0 <= request.partition < PARTITIONS:
            raise InvalidArgument("There is no such partition.")
        if request.page_size < 0 or request.after_position < 0:
            raise InvalidArgument("Neither page_size nor after_position may be negative.")
        size = min(request.page_size or PAGE_SIZE, PAGE_SIZE_MAX)
        async with self._db.system() as tx:
            head = await tx.fetchrow(_HEAD, request.partition)
            assert head is not None, "the migration made a head for every partition"
            events = []
            if head["position"] > request.after_position:
                events = await page(tx, request.partition, request.after_position, size)
        return ListEventsResponse(
            events=events, head_position=head["position"], generation_id=head["generation_id"]
        )
