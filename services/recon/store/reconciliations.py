"""Runs of the matching engine, and whose turn it is."""

# SQL is composed of constants only

from datetime import timedelta

from auditron.recon.v1 import recon_pb2
from auditron.recon.v1.recon_pb2 import Reconciliation

from libs.pg import Database, Tx, uuid7
from libs.pg.rows import columns_of, to_message

from .. import errors

RECONCILIATION = ", ".join(columns_of(Reconciliation))
RUNNING = recon_pb2.RECONCILIATION_STATE_RUNNING


async def upsert_reconciliation(tx: Tx, organization_id: str) -> tuple[Reconciliation, bool]:
    """The run that waits, and whether it is new.

    One that waited already is kept from beginning before this transaction has ended.
    """
    row = await tx.fetchrow(
        f"""
        insert into reconciliations as r (organization_id, reconciliation_id, state)
        values ($1, $2, $3)
        on conflict (organization_id) where begin_time is null and state = 1
        do update set state = r.state
        returning {RECONCILIATION}, r.xmax = 0 as is_new
        """,
        organization_id, uuid7(), RUNNING,
    )  # fmt: skip
    assert row is not None, "an upsert returns its row"
    return to_message(row, Reconciliation), row["is_new"]


async def get_reconciliation(
    db: Database, organization_id: str, reconciliation_id: str
) -> Reconciliation:
    """A run. Raises ReconciliationNotFound."""
    found = await db.read(
        organization_id,
        f"select {RECONCILIATION} from reconciliations where reconciliation_id = $1",
        reconciliation_id,
    )
    if not found:
        raise errors.ReconciliationNotFound("There is no such reconciliation.")
    return to_message(found[0], Reconciliation)


async def take_turn(tx: Tx, organization_id: str, reconciliation_id: str, lease: timedelta) -> bool:
    """Let the run be its organization's only one for so long; False while another one is."""
    return bool(
        await tx.fetchval(
            """
            insert into reconciling as r (organization_id, reconciliation_id, until)
            values ($1, $2, now() + $3)
            on conflict (organization_id) do update set reconciliation_id = $2, until = now() + $3
            where r.reconciliation_id = $2 or r.until < now()
            returning true
            """,
            organization_id,
            reconciliation_id,
            lease,
        )
    )


async def delete_turn(tx: Tx, reconciliation_id: str) -> None:
    """Let others have their turn."""
    await tx.execute("delete from reconciling where reconciliation_id = $1", reconciliation_id)


async def begin_reconciliation(tx: Tx, reconciliation_id: str) -> bool:
    """Note that a run has begun, now or before; False if it is over."""
    return bool(
        await tx.fetchval(
            """
            update reconciliations set begin_time = coalesce(begin_time, now())
            where reconciliation_id = $1 and state = $2 returning true
            """,
            reconciliation_id,
            RUNNING,
        )
    )


async def finish_reconciliation(
    tx: Tx, reconciliation_id: str, state: int, failure: str = ""
) -> Reconciliation | None:
    """End a run and count what it has left; None if it is over."""
    row = await tx.fetchrow(
        f"""
        update reconciliations set state = $2, failure = $3,
          begin_time = coalesce(begin_time, now()),
          confirmed_count = (select count(*) from matches
            where reconciliation_id = $1 and state = $7 and actor = 'service:recon'),
          proposed_count = (select count(*) from matches
            where reconciliation_id = $1 and state = $5),
          open_count = (select count(*) from transactions where state = $6)
        where reconciliation_id = $1 and state = $4 returning {RECONCILIATION}
        """,
        reconciliation_id, state, failure, RUNNING, recon_pb2.MATCH_STATE_PROPOSED,
        recon_pb2.TRANSACTION_STATE_OPEN, recon_pb2.MATCH_STATE_CONFIRMED,
    )  # fmt: skip
    return to_message(row, Reconciliation) if row else None
