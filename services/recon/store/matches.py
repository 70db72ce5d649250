"""Transactions, and the matches that hold them."""

# SQL is composed of constants only

from collections.abc import Collection, Sequence
from datetime import date

from auditron.recon.v1 import recon_pb2
from auditron.recon.v1.recon_pb2 import Match, Transaction

from libs.pg import Database, Record, Tx
from libs.pg.rows import columns_of, places, to_message, values

from .. import errors

TRANSACTION = ", ".join(columns_of(Transaction, one_currency=True))
MATCH = ", ".join((*columns_of(Match, "etag", one_currency=True), "version::text as etag"))
WRITTEN = columns_of(Match, "create_time", "update_time", "etag", one_currency=True)
OPEN = recon_pb2.TRANSACTION_STATE_OPEN
PROPOSED = recon_pb2.TRANSACTION_STATE_PROPOSED
MATCHED = recon_pb2.TRANSACTION_STATE_MATCHED


async def list_transactions(
    db: Database,
    organization_id: str,
    bank_account_id: str | None,
    state: int,
    before: tuple[date, str] | None,
    limit: int,
) -> list[Transaction]:
    """Transactions of one bank account or all, in one state or all (0), latest booking first."""
    conditions, arguments = ["true"], list[object]()
    for condition, value in (
        ("bank_account_id = ${}", [bank_account_id] if bank_account_id else []),
        ("state = ${}", [state] if state else []),
        ("(booking_date, transaction_id) < (${}, ${}::uuid)", list(before or [])),
    ):
        if value:
            numbers = range(len(arguments) + 2, len(arguments) + 2 + len(value))
            conditions.append(condition.format(*numbers))
            arguments += value
    rows = await db.read(
        organization_id,
        f"""
        select {TRANSACTION} from transactions where {" and ".join(conditions)}
        order by booking_date desc, transaction_id desc limit $1
        """,
        limit, *arguments,
    )  # fmt: skip
    return [to_message(row, Transaction) for row in rows]


async def list_unmatched(tx: Tx, limit: int) -> list[Record]:
    """Transactions that no confirmed match holds, the latest first; those of 0 are left out."""
    return await tx.fetch(
        f"""
        select {TRANSACTION} from transactions where state in ({OPEN}, {PROPOSED}) and amount <> 0
        order by booking_date desc, transaction_id desc limit $1
        """,
        limit,
    )


async def list_holders(tx: Tx, transaction_ids: Collection[str]) -> list[str]:
    """The proposals that hold any of the transactions."""
    rows = await tx.fetch(
        """
        select distinct match_id from transactions
        where transaction_id = any($1) and state = $2
        """,
        list(transaction_ids), PROPOSED,
    )  # fmt: skip
    return [str(row["match_id"]) for row in rows]


async def lock_transactions(
    tx: Tx, transaction_ids: Collection[str], match_ids: Collection[str] = ()
) -> dict[str, Transaction]:
    """These transactions and those that the matches hold, locked in the order of their ids."""
    rows = await tx.fetch(
        f"""
        select {TRANSACTION} from transactions
        where transaction_id in (
          select unnest($1::uuid[])
          union
          select transaction_id from transactions where match_id = any($2)
        )
        order by transaction_id for update
        """,
        sorted(set(transaction_ids)), sorted(set(match_ids)),
    )  # fmt: skip
    return {str(row["transaction_id"]): to_message(row, Transaction) for row in rows}


async def hold_transactions(
    tx: Tx, match_id: str, transaction_ids: Collection[str], state: int
) -> int:
    """Give transactions to a match, unless a confirmed one holds them; how many it got."""
    status = await tx.execute(
        """
        update transactions set match_id = $1, state = $2
        where transaction_id = any($3) and (state <> $4 or match_id = $1)
        """,
        match_id, state, sorted(set(transaction_ids)), MATCHED,
    )  # fmt: skip
    return int(status.split()[1])


async def release_transactions(tx: Tx, match_id: str) -> None:
    """Take from a match what it holds."""
    await tx.execute(
        "update transactions set match_id = null, state = $2 where match_id = $1", match_id, OPEN
    )


async def insert_match(
    tx: Tx, organization_id: str, match: Match, reconciliation_id: str | None
) -> Match:
    """Add a match and its allocations."""
    row = await tx.fetchrow(
        f"""
        insert into matches (organization_id, reconciliation_id, {", ".join(WRITTEN)})
        values ($1, $2, {places(WRITTEN, 3)}) returning {MATCH}
        """,
        organization_id, reconciliation_id, *values(match, *WRITTEN),
    )  # fmt: skip
    parts = [values(each, "transaction_id", "invoice_id", "amount") for each in match.allocations]
    await tx.execute(
        """
        insert into allocations
          (organization_id, match_id, transaction_id, invoice_id, amount)
        select $1, $2, * from unnest($3::uuid[], $4::uuid[], $5::numeric[])
        """,
        organization_id, match.match_id, *zip(*parts, strict=True),
    )  # fmt: skip
    return to_message(row, Match)


async def update_match(tx: Tx, match_id: str, state: int, actor: str) -> Match:
    """Change the state of a match that is locked."""
    row = await tx.fetchrow(
        f"""
        update matches set state = $2, actor = $3, update_time = now(), version = version + 1
        where match_id = $1 returning {MATCH}
        """,
        match_id, state, actor,
    )  # fmt: skip
    return to_message(row, Match)


async def update_found_again(tx: Tx, match_ids: Sequence[str], reconciliation_id: str) -> None:
    """Note that a run has found proposals again."""
    await tx.execute(
        "update matches set reconciliation_id = $2 where match_id = any($1)",
        match_ids, reconciliation_id,
    )  # fmt: skip


async def get_match(db: Database, organization_id: str, match_id: str) -> Match:
    """A match. Raises MatchNotFound."""
    found = await db.read(
        organization_id, f"select {MATCH} from matches where match_id = $1", match_id
    )
    if not found:
        raise errors.MatchNotFound("There is no such match.")
    return to_message(found[0], Match)


async def list_matches(
    db: Database, organization_id: str, state: int, before_id: str | None, limit: int
) -> list[Match]:
    """Matches in one state or all (0), newest first."""
    chosen = "and state = $3" if state else ""
    rows = await db.read(
        organization_id,
        f"""
        select {MATCH} from matches where ($1::uuid is null or match_id < $1) {chosen}
        order by match_id desc limit $2
        """,
        before_id, limit, *([state] if state else []),
    )  # fmt: skip
    return [to_message(row, Match) for row in rows]


async def lock_matches(tx: Tx, match_ids: Collection[str]) -> dict[str, Match]:
    """Matches, locked in the order of their ids."""
    rows = await tx.fetch(
        f"select {MATCH} from matches where match_id = any($1) order by match_id for update",
        sorted(set(match_ids)),
    )
    return {str(row["match_id"]): to_message(row, Match) for row in rows}


async def list_stale(
    tx: Tx, reconciliation_id: str, after_id: str | None, limit: int
) -> list[tuple[str, list[str]]]:
    """Proposals that a run has not found, with their transactions, by id."""
    rows = await tx.fetch(
        """
        select match_id, array_agg(distinct transaction_id) as transaction_ids
        from matches m join allocations using (organization_id, match_id)
        where state = $1 and reconciliation_id is distinct from $2
          and ($3::uuid is null or match_id > $3)
        group by match_id order by match_id limit $4
        """,
        recon_pb2.MATCH_STATE_PROPOSED, reconciliation_id, after_id, limit,
    )  # fmt: skip
    return [(str(row["match_id"]), [str(t) for t in row["transaction_ids"]]) for row in rows]


async def has_rivals(tx: Tx, match_id: str) -> bool:
    """Whether other proposals want the same transactions or invoices."""
    return bool(
        await tx.fetchval(
            """
            select exists (
              select from allocations own
              join allocations other on other.match_id <> own.match_id
                and (other.invoice_id = own.invoice_id
                  or other.transaction_id = own.transaction_id)
              join matches m on m.match_id = other.match_id and m.state = $2
              where own.match_id = $1)
            """,
            match_id,
            recon_pb2.MATCH_STATE_PROPOSED,
        )
    )


async def holds_any(tx: Tx, match_id: str) -> bool:
    """Whether a match holds a transaction."""
    return bool(
        await tx.fetchval("select exists (select from transactions where match_id = $1)", match_id)
    )
