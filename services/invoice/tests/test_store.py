from typing import Any

import asyncpg
import pytest

from libs.pg import audit_isolation, uuid7
from libs.pg.database import _gated
from services.invoice import store
from services.invoice.store import invoices
from services.invoice.tests.conftest import World

ROWS = 4_000
LIBS_INDEXES = ["events_position"]


@pytest.fixture(scope="module")
async def crowd(world: World) -> list[str]:
    """Two organizations with some thousand invoices each, among others with fewer."""
    organizations = [uuid7() for _ in range(12)]
    made = await world.create(world.person())
    con = await world.admin()
    await con.execute("set search_path = invoice, pg_catalog")
    columns = await con.fetchval(
        """
        select string_agg(column_name, ', ') from information_schema.columns
        where table_schema = 'invoice' and table_name = 'invoices' and column_name <> all (
          '{organization_id, invoice_id, state, name_key, tax_key, search}')
        """
    )
    for number, organization_id in enumerate(organizations):
        await con.execute(
            f"""
            insert into invoices
              (organization_id, invoice_id, state, name_key, tax_key, search, {columns})
            select $1, gen_random_uuid(), case when n % 100 = 0 then 2 else 4 end, 'n' || n,
              't' || n, array_to_tsvector(array[$2 || 'gmbh', $2 || 'nr' || n]), {columns}
            from invoices, generate_series(1, $3::int) n where invoice_id = $4
            """,
            organization_id, organization_id[-12:], ROWS if number < 2 else 50, made.invoice_id,
        )  # fmt: skip
    await con.execute("analyze invoices")
    await con.close()
    return organizations


async def explained(con: Any, sql: str, *arguments: Any) -> str:
    lines = await con.fetch(f"explain (costs off) {sql}", *arguments)
    return "\n".join(line[0] for line in lines)


async def test_the_schema_keeps_organizations_and_services_apart(world: World) -> None:
    con = await world.admin()
    assert await audit_isolation(con, "invoice", allowed_indexes=LIBS_INDEXES) == []
    await con.close()


async def test_the_hot_reads_go_by_an_index(world: World, crowd: list[str]) -> None:
    async with world.harness.runtime.db._app.acquire() as con:
        whole = f"select {invoices.WHOLE} from invoices where invoice_id = $1"
        plan = await explained(con, _gated(whole, 2), uuid7(), crowd[0])
        assert "Index Scan using invoices_pkey" in plan
        assert "Seq Scan" not in plan
        listed = invoices._page("invoice_id < $1", 2)
        plan = await explained(con, _gated(listed, 3), uuid7(), 50, crowd[0])
        assert "Index Scan Backward using invoices_pkey" in plan
        assert "Sort" not in plan
        listed = invoices._page("state = any ($1::int[])", 2)
        plan = await explained(con, _gated(listed, 3), [2], 50, crowd[0])
        assert "invoices_state" in plan
        assert "state = ANY" in next(line for line in plan.splitlines() if "Index Cond" in line)


async def test_duplicates_are_looked_for_by_an_index(world: World, crowd: list[str]) -> None:
    sql = """select invoice_id from invoices where (name_key = $1 or tax_key = $2)
      and invoice_id <> $3 and state = any ($4::int[]) limit 1"""
    async with world.harness.runtime.db.tenant(crowd[0]) as tx:
        plan = await explained(tx, sql, "n7", "t8", uuid7(), [2, 4])
        found = store.Found((), "n7", "t8")
        assert await store.find_duplicate(tx, uuid7(), found, [4])
        assert await store.find_duplicate(tx, uuid7(), found, [6]) is None
    assert "Bitmap Index Scan on invoices_name_key" in plan
    assert "Bitmap Index Scan on invoices_tax_key" in plan


async def test_a_search_goes_by_its_index(world: World, crowd: list[str]) -> None:
    con = await world.admin()
    body = await con.fetchval("select prosrc from pg_proc where proname = 'find_invoices'")
    await con.execute("set search_path = invoice; set role invoice_owner")
    await con.execute(f"set auditron.organization_id = '{crowd[0]}'")
    await con.execute("set plan_cache_mode = force_generic_plan")
    await con.execute(f"prepare search (text, uuid, int[], int, date, date, int) as {body}")
    for word in ("nr7", "gmbh"):
        query = f"''{crowd[0][-12:]}{word}'':*"
        call = f"execute search ('{query}', null, null, null, null, null, 51)"
        plan = await explained(con, call)
        assert "Bitmap Index Scan on invoices_search" in plan
        assert "Index Cond: (search @@ ($1)::tsquery)" in plan
    await con.close()


async def test_a_search_finds_what_its_words_say_in_its_own_organization(
    world: World, crowd: list[str]
) -> None:
    db = world.harness.runtime.db
    for organization_id in crowd[:2]:
        found, more = await store.list_invoices(db, organization_id, words=["nr77"], size=50)
        assert (len(found), more) == (11, False)  # 77, and 770 to 779
        found, more = await store.list_invoices(db, organization_id, words=["gmbh"], size=50)
        assert (len(found), more) == (50, True)
        narrowed = await store.list_invoices(
            db, organization_id, words=["gmbh"], states=[2], size=50
        )
        assert len(narrowed[0]) == 40
    found, _ = await store.list_invoices(db, crowd[5], words=["nr77"], size=50)
    assert found == []


async def test_a_search_without_an_organization_finds_nothing(
    world: World, crowd: list[str]
) -> None:
    sql = "select * from find_invoices($1, null, null, null, null, null, 10)"
    query = f"'{crowd[0][-12:]}gmbh':*"
    db = world.harness.runtime.db
    async with db.unscoped() as tx:
        assert await tx.fetch(sql, query) == []
    async with db.tenant(crowd[1]) as tx:
        assert await tx.fetch(sql, query) == []


async def test_the_other_login_sees_no_invoice(world: World, crowd: list[str]) -> None:
    for table in ("invoices", "documents", "payments", "entitlements", "approval_policies"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with world.harness.runtime.db.system() as tx:
                await tx.fetch(f"select * from {table}")
