"""Brings a schema to the state that its migration files describe, and makes its roles."""

import asyncio
import base64
import hashlib
import hmac
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]

_OWN = Path(__file__).parent / "schema"
_FILE = re.compile(r"\d{4}_[a-z0-9_]+\.sql")
_SCHEMA = re.compile(r"[a-z][a-z0-9]{0,30}")
_LOCK = 0x41554449  # any number, the same for all: migrations of one database go one after another
_LOCK_TIMEOUT = "5s"  # of a statement: while it waits for a lock, all others wait behind it
_TRIES = 10


class MigrationError(Exception):
    """The files contradict what was applied before, or each other."""


@dataclass(frozen=True)
class Migration:
    """One file; `source` is the package it comes from, for numbers begin anew in each."""

    source: str
    name: str
    sql: str

    @property
    def label(self) -> str:
        """How messages name it, "invoice/0001_init.sql"."""
        return f"{self.source}/{self.name}"

    @property
    def checksum(self) -> str:
        """SHA-256 of the text, hexadecimal."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


async def migrate(
    admin_url: str,
    schema: str,
    folder: Path,
    *,
    app_password: str,
    system_password: str,
    extra: Sequence[Path] = (),
) -> list[str]:
    """Apply what is missing, each file in a transaction of its own; return the names applied.

    Makes or changes the roles `<schema>_owner` (no login), `<schema>_app` and `<schema>_system`.
    Files run as the owner with the schema as search path: this lib's, those of the `extra` folders
    in their order, then the service's. The package of a folder `x/schema` is `x`. The admin is a
    superuser, or has CREATEROLE and CREATE on the database. Raises MigrationError.
    """
    assert _SCHEMA.fullmatch(schema), schema
    folders = dict.fromkeys(path.resolve() for path in (_OWN, *extra, folder))
    migrations = [found for path in folders for found in _read(path)]
    settings = {"search_path": "pg_catalog"}
    con = await asyncpg.connect(admin_url, timeout=10, server_settings=settings)
    try:
        await con.execute(f"select pg_advisory_lock({_LOCK})")
        await _make_roles(con, schema, {"app": app_password, "system": system_password})
        await _make_schema(con, schema)
        missing = await _missing(con, schema, migrations)
        for migration in missing:
            await _apply(con, schema, migration)
    finally:
        await con.close()
    return [migration.label for migration in missing]


def _read(folder: Path) -> list[Migration]:
    paths = sorted(folder.glob("*.sql"))
    for path in paths:
        if not _FILE.fullmatch(path.name):
            raise MigrationError(f"{path.name} is not named as 0001_what_it_does.sql")
    numbers = [path.name[:4] for path in paths]
    if len(set(numbers)) != len(numbers):
        raise MigrationError(f"two files in {folder.parent.name} have the same number")
    return [Migration(folder.parent.name, path.name, path.read_text()) for path in paths]


async def _make_roles(con: Any, schema: str, passwords: dict[str, str]) -> None:
    """Make the roles that are missing and set the passwords.

    Roles belong to all databases of a server, where others may be changing them just now: then
    PostgreSQL refuses, and it is tried again.
    """
    statements = [
        _create_role(f"{schema}_owner", "nologin"),
        *(_create_role(f"{schema}_{kind}", "login") for kind in passwords),
        *(
            f"alter role {schema}_{kind} password '{_scram(password)}'"
            for kind, password in passwords.items()
        ),
    ]
    for statement in statements:
        for attempt in range(1, _TRIES + 1):
            try:
                await con.execute(statement)
                break
            except asyncpg.InternalServerError:  # "tuple concurrently updated"
                if attempt == _TRIES:
                    raise
                await asyncio.sleep(0.02 * attempt)
    if not await con.fetchval("select rolsuper from pg_roles where rolname = current_user"):
        await con.execute(f"grant {schema}_owner to current_user")


def _create_role(role: str, login: str) -> str:
    return f"""
        do $$ begin
          if to_regrole('{role}') is null then create role {role} {login} noinherit; end if;
        exception when duplicate_object or unique_violation then null;
        end $$
    """


def _scram(password: str) -> str:
    """Return what PostgreSQL stores of a password, so that the password is not sent or logged."""
    assert password.isascii(), "passwords are ASCII"
    assert password, "a role has a password"
    salt, rounds = os.urandom(16), 4096
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, rounds)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    parts = (salt, stored, hmac.digest(salted, b"Server Key", "sha256"))
    encoded_salt, encoded_stored, encoded_server = (base64.b64encode(p).decode() for p in parts)
    return f"SCRAM-SHA-256${rounds}:{encoded_salt}${encoded_stored}:{encoded_server}"


async def _make_schema(con: Any, schema: str) -> None:
    database = await con.fetchval("select quote_ident(current_database())")
    async with con.transaction():
        await con.execute(f"""
            revoke temporary on database {database} from public;
            grant connect on database {database} to {schema}_app, {schema}_system;
            create schema if not exists {schema} authorization {schema}_owner;
            set local role {schema}_owner;
            grant usage on schema {schema} to {schema}_app, {schema}_system;
            create table if not exists {schema}.migrations (
              source text not null,
              name text not null,
              checksum text not null,
              apply_time timestamptz not null default now(),
              primary key (source, name)
            )
        """)


async def _missing(con: Any, schema: str, migrations: list[Migration]) -> list[Migration]:
    """Return what is not applied yet; what the database has beyond our files is left alone."""
    async with con.transaction(readonly=True):
        await con.execute(f"set local role {schema}_owner")
        rows = await con.fetch(f"select source, name, checksum from {schema}.migrations")  # noqa: S608
    applied = {(row["source"], row["name"]): row["checksum"] for row in rows}
    last = {source: max(name for s, name in applied if s == source) for source, _ in applied}
    missing = []
    for migration in migrations:
        checksum = applied.get((migration.source, migration.name))
        if checksum is None and migration.name < last.get(migration.source, ""):
            raise MigrationError(
                f"{migration.label} comes before what is applied already; number it anew"
            )
        if checksum is None:
            missing.append(migration)
        elif checksum != migration.checksum:
            raise MigrationError(
                f"{migration.label} was changed after it was applied; add a new file"
            )
    return missing


async def _apply(con: Any, schema: str, migration: Migration) -> None:
    async with con.transaction():
        await con.execute(
            f"set local role {schema}_owner; set local search_path = {schema};"
            f" set local lock_timeout = '{_LOCK_TIMEOUT}'"
        )
        await con.execute(migration.sql)
        if not con.is_in_transaction():
            raise MigrationError(f"{migration.label} ends its transaction, which is ours to end")
        await con.execute(
            f"insert into {schema}.migrations (source, name, checksum) values ($1, $2, $3)",  # noqa: S608
            migration.source,
            migration.name,
            migration.checksum,
        )
