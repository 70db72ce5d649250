import asyncio
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest

from libs.pg import MigrationError, audit_isolation, migrate, role_url, uuid7

Folder = Callable[..., Path]
TABLE = "create table things (organization_id uuid); select protect('things');"


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Writes a folder of migrations from names and texts."""

    def write(package: str = "own", **files: str) -> Path:
        path = tmp_path / package / "schema"
        path.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (path / f"{name.removeprefix('m')}.sql").write_text(text)
        return path

    return write


async def run(admin_url: str, schema: str, path: Path, *extra: Path, app: str = "a") -> list[str]:
    return await migrate(
        admin_url, schema, path, app_password=app, system_password="s", extra=extra
    )


async def connect(admin_url: str, role: str, password: str = "a") -> asyncpg.Connection:
    return await asyncpg.connect(role_url(admin_url, role, password))


async def test_files_are_applied_once_and_in_order(admin_url: str, folder: Folder) -> None:
    lib = folder("lib", m0001_lib="create table lib_made ();")
    own = folder(m0001_a=TABLE, m0002_b="alter table things add b int;")
    assert await run(admin_url, "ordered", own, lib) == [
        "pg/0001_protect.sql",
        "pg/0002_requests.sql",
        "lib/0001_lib.sql",
        "own/0001_a.sql",
        "own/0002_b.sql",
    ]
    assert await run(admin_url, "ordered", own, lib) == []
    folder(m0003_c="alter table things add c int;")
    assert await run(admin_url, "ordered", own, lib) == ["own/0003_c.sql"]
    con = await asyncpg.connect(admin_url)
    assert await con.fetchval("select array_agg(b) || array_agg(c) from ordered.things") is None
    assert await audit_isolation(con, "ordered") == []
    await con.close()


async def test_a_file_that_was_changed_or_comes_too_late_is_refused(
    admin_url: str, folder: Folder
) -> None:
    own = folder(m0001_a=TABLE, m0003_c="select 1")
    await run(admin_url, "strict", own)
    folder(m0002_b="select 1")
    with pytest.raises(MigrationError, match=r"own/0002_b.sql comes before what is applied"):
        await run(admin_url, "strict", own)
    (own / "0002_b.sql").unlink()
    folder(m0003_c="select 2")
    with pytest.raises(MigrationError, match=r"own/0003_c.sql was changed"):
        await run(admin_url, "strict", own)


async def test_an_older_release_accepts_a_newer_schema(admin_url: str, folder: Folder) -> None:
    own = folder(m0001_a=TABLE, m0002_b="select 1")
    await run(admin_url, "older", own)
    (own / "0002_b.sql").unlink()
    assert await run(admin_url, "older", own) == []


async def test_names_that_have_no_number_or_the_same_are_refused(
    admin_url: str, folder: Folder
) -> None:
    with pytest.raises(MigrationError, match=r"init.sql is not named"):
        await run(admin_url, "named", folder("one", init="select 1"))
    with pytest.raises(MigrationError, match="same number"):
        await run(admin_url, "named", folder("two", m0001_a="select 1", m0001_b="select 1"))


async def test_a_file_that_fails_leaves_nothing_and_may_be_mended(
    admin_url: str, folder: Folder
) -> None:
    own = folder(m0001_a=TABLE, m0002_b="create table half (); select 1 / 0;")
    with pytest.raises(asyncpg.DivisionByZeroError):
        await run(admin_url, "mended", own)
    con = await asyncpg.connect(admin_url)
    assert await con.fetchval("select to_regclass('mended.half')") is None
    await con.close()
    folder(m0002_b="create table whole ();")
    assert await run(admin_url, "mended", own) == ["own/0002_b.sql"]


async def test_a_file_cannot_end_its_own_transaction(admin_url: str, folder: Folder) -> None:
    own = folder(m0001_a="create table early (); commit;")
    with pytest.raises(MigrationError, match=r"own/0001_a.sql ends its transaction"):
        await run(admin_url, "ended", own)


async def test_a_file_that_waits_too_long_for_a_lock_gives_up(
    admin_url: str, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = folder(m0001_a=TABLE)
    await run(admin_url, "locked", own)
    reader = await asyncpg.connect(admin_url)
    async with reader.transaction():
        await reader.fetch("select * from locked.things")
        monkeypatch.setattr("libs.pg.migrations._LOCK_TIMEOUT", "50ms")
        folder(m0002_b="alter table things add b int;")
        with pytest.raises(asyncpg.LockNotAvailableError):
            await run(admin_url, "locked", own)
    await reader.close()


async def test_several_may_migrate_at_the_same_time(admin_url: str, folder: Folder) -> None:
    own = folder(m0001_a=TABLE)
    other_url = f"{admin_url}_other"
    admin = await asyncpg.connect(admin_url)
    await admin.execute(f"create database {other_url.rpartition('/')[2]}")
    schemas = ["parallela", "parallelb"] * 4
    places = [(url, schema) for url in (admin_url, other_url) for schema in schemas]
    applied = await asyncio.gather(*(run(url, schema, own) for url, schema in places))
    assert sorted(map(len, applied)) == [0] * 12 + [3] * 4
    await admin.execute(f"drop database {other_url.rpartition('/')[2]} with (force)")
    await admin.close()


async def test_a_service_can_neither_read_anothers_schema_nor_make_anything(
    admin_url: str, folder: Folder
) -> None:
    own = folder(m0001_a=TABLE)
    await run(admin_url, "mine", own)
    await run(admin_url, "yours", own)
    for role, password in (("mine_app", "a"), ("mine_system", "s")):
        con = await connect(admin_url, role, password)
        for statement in (
            "select * from yours.things",
            "select * from mine.migrations",
            "create table mine.made ()",
            "create table public.made ()",
            "create temporary table made ()",
            "create schema made",
            "alter table mine.things disable row level security",
            "set role mine_owner",
            "set session authorization yours_app",
            "set search_path = mine; select protect('things')",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await con.execute(statement)
        await con.close()


async def test_a_password_is_replaced_and_never_sent_as_it_is(
    admin_url: str, folder: Folder
) -> None:
    own = folder(m0001_a=TABLE)
    await run(admin_url, "renewed", own, app="first")
    await run(admin_url, "renewed", own, app="second' --")
    await (await connect(admin_url, "renewed_app", "second' --")).close()
    with pytest.raises(asyncpg.InvalidPasswordError):
        await connect(admin_url, "renewed_app", "first")


async def test_an_admin_need_not_be_superuser(admin_url: str, folder: Folder) -> None:
    admin = await asyncpg.connect(admin_url)
    name = f"builder_{uuid7().replace('-', '')}"
    await admin.execute(f"create role {name} login createrole password 'b'")
    await admin.execute(f"create database {name} owner {name}")
    url = role_url(f"{admin_url.rpartition('/')[0]}/{name}", name, "b")
    schema = f"s{name[-12:]}"
    assert len(await run(url, schema, folder(m0001_a=TABLE))) == 3
    assert await run(url, schema, folder(m0001_a=TABLE)) == []
    con = await connect(url, f"{schema}_app")
    assert await con.fetch(f"select * from {schema}.things") == []
    await con.close()
    con = await asyncpg.connect(url)
    assert await audit_isolation(con, schema) == []
    await con.close()
    await admin.execute(f"drop database {name}")
    for role in (f"{schema}_owner", f"{schema}_app", f"{schema}_system", name):
        await admin.execute(f"drop role {role}")
    await admin.close()
