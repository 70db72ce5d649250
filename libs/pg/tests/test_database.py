import asyncio
import gc
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import REGISTRY

from libs.embedded import Embedded
from libs.pg import (
    CommitUncertain,
    Database,
    DatabaseUnavailable,
    PgSettings,
    migrate,
    role_url,
    savepoint,
    use_organization,
    uuid7,
)
from libs.pg.database import _gated
from libs.telemetry import remote_span
from libs.telemetry.settings import TelemetrySettings
from libs.telemetry.traces import install_traces

OURS, THEIRS = uuid7(), uuid7()
INSERT = """
    insert into invoices (organization_id, invoice_id, number, total, currency_code)
    values ($1, $2, $3, $4, 'EUR')
"""
ALL = "select * from invoices"


async def insert(tx: Any, organization_id: str, number: str) -> str:
    invoice_id = uuid7()
    await tx.execute(INSERT, organization_id, invoice_id, number, Decimal("12.30"))
    await tx.execute(
        "insert into lines values ($1, $2, 1, 12), ($1, $2, 2, 0.3)", organization_id, invoice_id
    )
    return invoice_id


@pytest.fixture(scope="module", autouse=True)
async def invoices(db: Database, admin_url: str) -> None:
    """300 invoices of ours and as many of theirs, with two lines each."""
    for organization_id in (OURS, THEIRS):
        async with db.tenant(organization_id) as tx:
            for number in range(300):
                await insert(tx, organization_id, f"N{number}")
    con = await asyncpg.connect(admin_url)
    await con.execute("analyze")
    await con.close()


@pytest.fixture
def loop_errors() -> Iterator[list[dict[str, Any]]]:
    """What the event loop was told of errors that nobody caught."""
    found: list[dict[str, Any]] = []
    loop = asyncio.get_event_loop()
    loop.set_exception_handler(lambda _, context: found.append(context))
    yield found
    loop.set_exception_handler(None)


async def test_a_tenant_sees_its_own_rows_alone(db: Database) -> None:
    async with db.tenant(OURS) as tx:
        rows = await tx.fetch(ALL)
    assert len(rows) == 300
    assert {str(row["organization_id"]) for row in rows} == {OURS}


@pytest.mark.parametrize(
    "statement",
    [
        "update invoices set organization_id = '{theirs}' where number = 'N1'",
        "insert into invoices values ('{theirs}', '{theirs}', 'X', 1, 'EUR')",
    ],
)
async def test_a_tenant_cannot_write_for_another(db: Database, statement: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
        async with db.tenant(OURS) as tx:
            await tx.execute(statement.format(theirs=THEIRS))


async def test_a_tenant_cannot_change_or_delete_anothers_rows(db: Database) -> None:
    async with db.tenant(OURS) as tx:
        where = f"where organization_id = '{THEIRS}'"
        assert await tx.execute(f"update invoices set total = 0 {where}") == "UPDATE 0"
        assert await tx.execute(f"delete from lines {where}") == "DELETE 0"


async def test_a_tenant_cannot_refer_to_anothers_row(db: Database) -> None:
    (theirs,) = await db.read(THEIRS, "select invoice_id from invoices limit 1")
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        async with db.tenant(OURS) as tx:
            await tx.execute("insert into lines values ($1, $2, 9, 1)", OURS, theirs["invoice_id"])


async def test_without_an_organization_nothing_is_seen_or_written(db: Database) -> None:
    async with db.unscoped() as tx:
        assert await tx.fetch(ALL) == []
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with db.unscoped() as tx:
            await insert(tx, OURS, "unscoped")


async def test_an_organization_set_for_the_whole_session_counts_for_nothing(
    settings: PgSettings,
) -> None:
    db = await Database.open(PgSettings(settings.url, settings.system_url, pool_size=1), "trial")
    async with db.unscoped() as tx:
        await tx.execute("select set_config('auditron.organization_id', $1, false)", THEIRS)
    async with db.unscoped() as tx:
        assert await tx.fetch(ALL) == []
    assert len(await db.read(OURS, f"{ALL} where organization_id = $1", OURS)) == 300
    assert await db.read(OURS, f"{ALL} where organization_id = $1", THEIRS) == []
    await db.close()


async def test_a_look_up_finds_an_id_before_the_organization_is_known(db: Database) -> None:
    api_key_id = uuid7()
    async with db.tenant(OURS) as tx:
        await tx.execute("insert into api_keys values ($1, $2, 'h')", OURS, api_key_id)
    async with db.unscoped() as tx:
        row = await tx.fetchrow("select * from api_key_organization('h')")
        assert await tx.fetch("select * from api_keys") == []
    assert row is not None
    assert [str(value) for value in row] == [OURS, api_key_id]


async def test_the_system_role_sees_the_tasks_of_all_and_nothing_else(db: Database) -> None:
    for organization_id in (OURS, THEIRS):
        async with db.tenant(organization_id) as tx:
            await tx.execute("insert into tasks values ($1, $2)", organization_id, uuid7())
    async with db.system() as tx:
        assert await tx.fetchval("select count(distinct organization_id) from tasks") == 2
        assert await tx.execute("update tasks set owner = 'w'") == "UPDATE 2"
    for statement in (ALL, "delete from tasks", "update tasks set task_id = task_id"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with db.system() as tx:
                await tx.execute(statement)


async def test_a_transaction_commits_at_its_end_and_rolls_back_what_raises(db: Database) -> None:
    async def write(number: str, error: Exception | None) -> None:
        async with db.tenant(organization_id) as tx:
            await insert(tx, organization_id, number)
            if error:
                raise error

    organization_id = uuid7()
    with pytest.raises(KeyError, match="stop"):
        await write("rolled back", KeyError("stop"))
    await write("committed", None)
    rows = await db.read(organization_id, ALL)
    assert [row["number"] for row in rows] == ["committed"]


async def test_an_error_that_was_swallowed_is_told_at_the_commit(db: Database) -> None:
    async def swallow() -> None:
        async with db.tenant(OURS) as tx:
            with suppress(asyncpg.UniqueViolationError):
                await insert(tx, OURS, "N1")

    with pytest.raises(RuntimeError, match="nothing was committed"):
        await swallow()


async def test_a_savepoint_undoes_its_part_alone(db: Database) -> None:
    async def part(tx: Any) -> None:
        async with savepoint(tx):
            await use_organization(tx, THEIRS)
            async with savepoint(tx):
                await insert(tx, THEIRS, "undone")
            await insert(tx, THEIRS, "N1")

    organization_id = uuid7()
    async with db.tenant(organization_id) as tx:
        kept = await insert(tx, organization_id, "kept")
        with pytest.raises(asyncpg.UniqueViolationError):
            await part(tx)
        assert [str(row["invoice_id"]) for row in await tx.fetch(ALL)] == [kept]
    assert len(await db.read(organization_id, ALL)) == 1
    assert len(await db.read(THEIRS, ALL)) == 300


async def test_one_transaction_may_serve_several_organizations_in_turn(db: Database) -> None:
    async with db.unscoped() as tx:
        for organization_id in (OURS, THEIRS):
            await use_organization(tx, organization_id)
            organizations = await tx.fetch("select distinct organization_id::text from invoices")
            assert [row[0] for row in organizations] == [organization_id]


@pytest.mark.parametrize("bad", ["", "x", f"{OURS}'; select '", "1 or 1=1"])
async def test_an_organization_that_is_no_uuid_is_refused(db: Database, bad: str) -> None:
    with pytest.raises(ValueError, match="UUID"):
        await db.read(bad, ALL)
    with pytest.raises(ValueError, match="UUID"):
        async with db.tenant(bad):
            raise AssertionError
    async with db.unscoped() as tx:
        with pytest.raises(ValueError, match="UUID"):
            await use_organization(tx, bad)


READS = [
    "select number from invoices",
    "select number from invoices where number = 'N7'",
    "select number from invoices order by number desc limit 5 offset 2",
    "select count(*) from invoices",
    "select currency_code, sum(total) from invoices group by 1 having count(*) > 1",
    "select distinct number from lines join invoices using (organization_id, invoice_id)",
    "select i.number, l.amount from lines l join invoices i using (invoice_id)",
    "select number, amount from invoices i left join lines l on l.invoice_id = i.invoice_id",
    "select number, amount from invoices i full join lines l on l.invoice_id = i.invoice_id",
    "select number from invoices union all select amount::text from lines",
    "select number from invoices intersect select 'N3'",
    "with i as materialized (select * from invoices) select number from i",
    (
        "with recursive r(n) as (select 1 union all select n + 1 from r where n < 3) "
        "select n, number from r, invoices"
    ),
    "select number, row_number() over (order by number) as n from invoices",
    (
        "select number, (select sum(amount) from lines l where l.invoice_id = i.invoice_id) as s "
        "from invoices i"
    ),
    "select (select count(*) from lines) as n",
    "select number from invoices where exists (select from lines where amount > 11)",
    (
        "select number from invoices "
        "where invoice_id not in (select invoice_id from lines where amount > 99)"
    ),
    (
        "select number, a from invoices i, lateral ("
        "  select amount a from lines l where l.invoice_id = i.invoice_id order by 1 limit 1) l"
    ),
    "select max(number), min(number) from invoices",
    "select 1 as one -- a comment at the end",
    "select number from invoices where (select count(*) from lines) > 7",
    (
        "select number from invoices "
        "where exists (select from lines) and (select max(amount) > 9 from lines)"
    ),
    "select number from invoices order by 1 limit (select count(*) from lines where amount > 1)",
    "select n from generate_series(1, (select count(*) from lines)) n",
    "values ((select count(*) from lines))",
    (
        "select case when exists (select from lines) then number end as c from invoices "
        "where not exists (select from tasks where owner = 'nobody')"
    ),
    "select number from invoices where total > all (select amount / 100 from lines)",
    "select n from (values (1), (2)) v (n) where exists (select from lines) offset 1",
]


@pytest.mark.parametrize("sql", READS)
@pytest.mark.parametrize("scans", ["on", "off"])
async def test_a_read_of_any_shape_sees_what_a_tenants_transaction_sees(
    db: Database, sql: str, scans: str
) -> None:
    for organization_id in (OURS, THEIRS):
        async with db.tenant(organization_id) as tx:
            expected = await tx.fetch(sql)
        async with db._app.acquire() as con:
            for kind in ("seqscan", "hashjoin", "mergejoin"):
                await con.execute(f"set enable_{kind} = {scans}")
            found = await con.fetch(_gated(sql, 1), organization_id)
            nothing = await con.fetch(_gated(sql, 1), "")
            await con.execute("reset all")
        assert expected
        assert sorted(map(tuple, found), key=str) == sorted(map(tuple, expected), key=str)
        assert sorted(map(tuple, await db.read(organization_id, sql)), key=str) == sorted(
            map(tuple, expected), key=str
        )
        if "invoices" in sql and "count(*)" not in sql and "max(" not in sql:
            assert nothing == []


async def test_a_read_keeps_the_order_of_its_select(db: Database) -> None:
    rows = await db.read(OURS, "select number from invoices order by number desc")
    assert [row[0] for row in rows] == sorted((row[0] for row in rows), reverse=True)


async def test_a_read_takes_arguments_and_cannot_write(db: Database) -> None:
    rows = await db.read(OURS, f"{ALL} where number = any($1) and total > $2", ["N1", "N2"], 1)
    assert {row["number"] for row in rows} == {"N1", "N2"}
    with pytest.raises(asyncpg.PostgresSyntaxError):
        await db.read(OURS, "delete from invoices returning 1")
    with pytest.raises(asyncpg.FeatureNotSupportedError):
        await db.read(OURS, "with gone as (delete from invoices returning 1) select * from gone")


async def test_a_read_leaves_no_organization_behind(settings: PgSettings) -> None:
    db = await Database.open(PgSettings(settings.url, settings.system_url, pool_size=1), "trial")
    await db.read(OURS, ALL)
    async with db._app.acquire() as con:
        assert await con.fetch(ALL) == []
        assert await con.fetchval("select current_setting('auditron.organization_id')") == ""
    await db.close()


async def test_reads_at_the_same_time_do_not_mix(db: Database) -> None:
    async def read(organization_id: str) -> set[str]:
        rows = await db.read(organization_id, "select organization_id::text as o from invoices")
        return {row["o"] for row in rows}

    wanted = [OURS, THEIRS] * 50
    assert await asyncio.gather(*map(read, wanted)) == [{one} for one in wanted]


@pytest.mark.parametrize(
    ("rest", "index", "condition"),
    [
        ("where invoice_id = $1", "invoices_pkey", "invoice_id = "),
        (
            "where number > 'N2' and invoice_id <> $1 order by number limit 5",
            "number_key",
            "> 'N2'",
        ),
        (
            "where (number, invoice_id) > ('N2', $1::uuid) order by number, invoice_id limit 5",
            "number_key",
            ">= 'N2'",
        ),
    ],
)
async def test_a_read_checks_its_gate_once_above_an_index_scan(
    db: Database, rest: str, index: str, condition: str
) -> None:
    async with db._app.acquire() as con:
        sql = _gated(f"{ALL} {rest}", 2)
        lines = await con.fetch(f"explain (costs off) {sql}", uuid7(), OURS)
    plan = "\n".join(line[0] for line in lines)
    assert plan.startswith("Result\n  One-Time Filter: ")
    found = next(line for line in plan.splitlines() if "Index Cond" in line)
    assert index in plan
    assert "organization_id = " in found
    assert condition in found
    assert "Seq Scan" not in plan


async def test_a_read_is_planned_as_if_there_were_rows(db: Database) -> None:
    async with db._app.acquire() as con:
        lines = await con.fetch(f"explain (format json) {_gated(ALL, 1)}", OURS)
    assert '"Plan Rows": 300' in "".join(line[0] for line in lines)


async def test_the_connections_have_their_settings(db: Database) -> None:
    wanted = {
        "search_path": "trial, pg_catalog",
        "statement_timeout": "10s",
        "idle_in_transaction_session_timeout": "10s",
        "jit": "off",
        "TimeZone": "UTC",
    }
    for transaction in (db.unscoped, db.system):
        async with transaction() as tx:
            for name, value in wanted.items():
                assert await tx.fetchval(f"show {name}") == value


async def test_a_statement_that_takes_too_long_is_ended(settings: PgSettings) -> None:
    quick = PgSettings(settings.url, settings.system_url, statement_timeout_s=0.05)
    db = await Database.open(quick, "trial")
    with pytest.raises(asyncpg.QueryCanceledError, match="statement timeout"):
        await db.read(OURS, "select pg_sleep(5)")
    assert len(await db.read(OURS, "select 1")) == 1
    await db.close()


async def test_a_full_pool_makes_callers_wait_only_so_long(settings: PgSettings) -> None:
    db = await Database.open(
        PgSettings(settings.url, settings.system_url, pool_size=1, acquire_timeout_s=0.05), "trial"
    )
    async with db.tenant(OURS):
        with pytest.raises(DatabaseUnavailable, match="no connection came free"):
            await db.read(OURS, ALL)
    assert await db.read(OURS, ALL)
    await db.close()


async def test_a_cancelled_transaction_frees_its_connection(
    settings: PgSettings, loop_errors: list[dict[str, Any]]
) -> None:
    db = await Database.open(PgSettings(settings.url, settings.system_url, pool_size=1), "trial")

    async def work() -> None:
        async with db.tenant(OURS) as tx:
            await insert(tx, OURS, "cancelled")
            await tx.execute("select pg_sleep(5)")

    for _ in range(3):
        task = asyncio.create_task(work())
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert await db.read(OURS, "select 1 from invoices where number = 'cancelled'") == []
    reading = asyncio.create_task(db.read(OURS, "select pg_sleep(5)"))
    await asyncio.sleep(0.05)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert len(await db.read(OURS, ALL)) == 300
    assert loop_errors == []
    await db.close()


async def test_a_changed_table_does_not_break_reads_that_were_prepared(
    db: Database, admin: asyncpg.Connection
) -> None:
    async def tenant_read() -> int:
        async with db.tenant(OURS) as tx:
            return len(await tx.fetch("select * from cursors"))

    for _ in range(4):
        await db.read(OURS, "select * from cursors")
        await tenant_read()
    await admin.execute("alter table cursors add column note text")
    await db.read(OURS, "select * from cursors")
    for _ in range(4):  # in a transaction it fails once on each connection that had prepared it
        try:
            await tenant_read()
        except DatabaseUnavailable:
            continue
    assert await tenant_read() == 0


async def test_times_are_measured_by_schema_and_kind(db: Database) -> None:
    def counts() -> list[float]:
        name = "auditron_db_query_seconds_count"
        return [
            REGISTRY.get_sample_value(name, {"schema": "trial", "kind": kind}) or 0
            for kind in ("read", "transaction")
        ]

    before = counts()
    await db.read(OURS, ALL)
    async with db.tenant(OURS):
        pass
    assert counts() == [before[0] + 1, before[1] + 1]


@pytest.fixture(scope="module")
def spans() -> InMemorySpanExporter:
    install_traces("test", "api", TelemetrySettings())
    provider = trace.get_tracer_provider()
    assert isinstance(provider, TracerProvider)
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return exporter


async def test_queries_of_a_sampled_request_have_spans_without_their_arguments(
    db: Database, spans: InMemorySpanExporter
) -> None:
    spans.clear()
    with remote_span("request", f"00-{1:032x}-{2:016x}-01"):
        await db.read(OURS, f"{ALL} where number = $1", "N1")
        with pytest.raises(asyncpg.DivisionByZeroError):
            async with db.tenant(OURS) as tx:
                await tx.fetch("select 1 / $1::int", 0)
        await asyncio.sleep(0)
    found = {span.name: span for span in spans.get_finished_spans()}
    read, request = found["select trial"], found["request"]
    queries = [span for span in spans.get_finished_spans() if span.name == "select trial"]
    assert len(queries) == 2
    assert all(span.parent and span.context.trace_id == 1 for span in queries)
    assert request.start_time <= read.start_time <= read.end_time <= request.end_time + 10**8
    assert {span.attributes.get("error.type") for span in queries} == {None, "DivisionByZeroError"}
    assert OURS not in str([span.attributes for span in queries])


async def test_queries_of_a_request_that_is_not_sampled_have_none(
    db: Database, spans: InMemorySpanExporter
) -> None:
    spans.clear()
    with remote_span("request", ""):
        await db.read(OURS, ALL)
        await asyncio.sleep(0)
    await db.read(OURS, ALL)
    assert spans.get_finished_spans() == ()


@pytest.fixture
async def own_server(tmp_path: Path) -> AsyncIterator[Embedded]:
    others = {"REDIS_URL": "redis://none", "S3_ENDPOINT_URL": "http://none"}
    embedded = Embedded(tmp_path / "own", environ=others)
    await embedded.start()
    yield embedded
    await embedded.erase()


async def test_the_pool_heals_after_the_server_was_stopped_at_once(own_server: Embedded) -> None:
    admin_url = own_server.env()["ADMIN_DATABASE_URL"]
    schema = Path(__file__).parent / "trial" / "schema"
    await migrate(admin_url, "trial", schema, app_password="a", system_password="s")
    db = await Database.open(
        PgSettings(role_url(admin_url, "trial_app", "a"), role_url(admin_url, "trial_system", "s")),
        "trial",
    )
    async with db.tenant(OURS) as tx:
        await insert(tx, OURS, "before")
    async with asyncio.TaskGroup() as tasks:  # so that several connections are open
        for _ in range(8):
            tasks.create_task(db.read(OURS, "select pg_sleep(0.02)"))
    for stop in ("immediate", "kill"):
        with pytest.raises(DatabaseUnavailable):
            await write_while_it_stops(db, own_server, stop)
        with pytest.raises(DatabaseUnavailable):
            await db.read(OURS, ALL)
        with pytest.raises(DatabaseUnavailable):
            async with db.system():
                raise AssertionError
        await own_server.postgres.start()
        outcomes = await asyncio.gather(*(db.read(OURS, ALL) for _ in range(30)))
        assert [len(rows) for rows in outcomes] == [1] * 30
        async with db.system() as tx:
            assert await tx.fetchval("select 1") == 1
    await db.close()


@pytest.mark.parametrize("step", ["read", "statement", "commit"])
async def test_a_server_that_says_nothing_is_a_lost_one(settings: PgSettings, step: str) -> None:
    quick = PgSettings(settings.url, settings.system_url, pool_size=1, statement_timeout_s=0.01)
    db = await Database.open(quick, "trial")
    async with db.tenant(OURS) as tx:
        backend = await tx.fetchval("select pg_backend_pid()")

    async def work() -> None:
        if step == "read":
            os.kill(backend, signal.SIGSTOP)
            await db.read(OURS, ALL)
        async with db.tenant(OURS) as tx:
            os.kill(backend, signal.SIGSTOP)
            if step == "statement":
                await tx.fetch(ALL)

    try:
        with pytest.raises(CommitUncertain if step == "commit" else DatabaseUnavailable):
            await work()
    finally:
        os.kill(backend, signal.SIGCONT)
    assert await db.read(OURS, "select 1")
    await db.close()


async def test_who_gives_up_a_silent_server_leaves_no_failure_behind(
    settings: PgSettings, loop_errors: list[dict[str, Any]]
) -> None:
    # A connection whose query was cancelled is given back when the server has said so, or so late.
    given_up_s = 0.2
    quick = PgSettings(settings.url, settings.system_url, pool_size=1, acquire_timeout_s=given_up_s)
    db = await Database.open(quick, "trial")
    async with db.tenant(OURS) as tx:
        backend = await tx.fetchval("select pg_backend_pid()")
    os.kill(backend, signal.SIGSTOP)
    try:
        reading = asyncio.create_task(db.read(OURS, ALL))
        await asyncio.sleep(0.1)
        reading.cancel()
        await asyncio.sleep(0.1)
        reading.cancel()
        await asyncio.wait([reading])
        await asyncio.sleep(2 * given_up_s)
        gc.collect()
    finally:
        os.kill(backend, signal.SIGCONT)
    assert loop_errors == []
    await db.close()


async def write_while_it_stops(db: Database, server: Embedded, how: str) -> None:
    async with db.tenant(OURS) as tx:
        await insert(tx, OURS, f"during {how}")
        await stop_server(server, how)
        await tx.fetch(ALL)


async def stop_server(server: Embedded, how: str) -> None:
    if how == "immediate":
        pid = server.postgres.pid
        assert pid is not None
        os.kill(pid, signal.SIGQUIT)
        await server.postgres.stop()
    else:
        await server.postgres.kill()


@pytest.mark.parametrize("noticed", [False, True])
async def test_a_connection_lost_before_the_commit_has_written_nothing(
    db: Database, admin: asyncpg.Connection, noticed: bool
) -> None:
    async def write() -> None:
        async with db.tenant(OURS) as tx:
            await insert(tx, OURS, number)
            pid = await tx.fetchval("select pg_backend_pid()")
            await admin.fetchval("select pg_terminate_backend($1)", pid)
            if noticed:
                await asyncio.sleep(0.1)

    number = f"lost {noticed}"
    with pytest.raises(DatabaseUnavailable if noticed else (DatabaseUnavailable, CommitUncertain)):
        await write()
    assert await db.read(OURS, "select 1 from invoices where number = $1", number) == []


async def test_a_connection_lost_while_committing_leaves_the_outcome_open(
    db: Database, admin: asyncpg.Connection
) -> None:
    await admin.execute("""
        create function dawdle() returns trigger language plpgsql as
          $$ begin perform pg_sleep(5); return null; end $$;
        create constraint trigger slow after insert on tasks
          deferrable initially deferred for each row execute function dawdle()
    """)

    async def write() -> None:
        async with db.tenant(OURS) as tx:
            await tx.execute("insert into tasks values ($1, $2)", OURS, uuid7())
            pids.append(await tx.fetchval("select pg_backend_pid()"))

    pids: list[int] = []
    writing = asyncio.create_task(write())
    try:
        for _ in range(200):
            await asyncio.sleep(0.01)
            if await admin.fetchval(
                "select wait_event = 'PgSleep' from pg_stat_activity where pid = any($1)", pids
            ):
                break
        await admin.execute(f"select pg_terminate_backend({pids[0]})")
        with pytest.raises(CommitUncertain):
            await writing
    finally:
        await admin.execute("drop trigger slow on tasks; drop function dawdle")
    assert len(await db.read(OURS, ALL)) == 300


async def test_a_server_that_is_not_there_is_told_at_opening() -> None:
    nowhere = "postgresql://a:b@127.0.0.1:1/x"
    with pytest.raises(DatabaseUnavailable):
        await Database.open(PgSettings(nowhere, nowhere), "trial")


def test_secrets_are_not_printed() -> None:
    assert "hidden" not in repr(
        PgSettings("postgresql://a:hidden@h/d", "postgresql://a:hidden@h/d")
    )


def test_another_roles_url_leads_to_the_same_database() -> None:
    admin = "postgresql://root:p%40w@db.example:5433/main?sslmode=require"
    wanted = "postgresql://trial_app:a%2Fb%40@db.example:5433/main?sslmode=require"
    assert role_url(admin, "trial_app", "a/b@") == wanted
