"""What the database itself guards."""

import asyncpg
import pytest

from libs.pg import audit_isolation, uuid7
from services.auth import rules, store


async def test_the_schema_keeps_organizations_apart(auth):
    connection = await asyncpg.connect(auth.runtime.env["ADMIN_DATABASE_URL"])
    try:
        problems = await audit_isolation(connection, "auth", allowed_indexes=["events_position"])
        # A person belongs to many organizations, so the row is guarded by the person instead.
        assert problems == ["users: policy person opens it to others"]
    finally:
        await connection.close()


async def test_a_person_is_seen_in_a_transaction_of_its_own_alone(auth):
    one, other = uuid7(), uuid7()
    async with auth.runtime.db.tenant(one) as tx:
        await store.insert_user(tx, one, f"{one}@example.com", "hash", "One")
        assert (await store.get_user(tx, one)).display_name == "One"
    async with auth.runtime.db.tenant(other) as tx:
        assert await tx.fetchval("select count(*) from users") == 0
    async with auth.runtime.db.unscoped() as tx:
        assert await tx.fetchval("select count(*) from users") == 0
        assert await store.find_user(tx, f"{one}@EXAMPLE.com") == one


async def test_audit_entries_cannot_be_changed_or_deleted(auth):
    organization_id = uuid7()
    async with auth.runtime.db.tenant(organization_id) as tx:
        await store.insert_audit_entry(tx, organization_id, "x", "a", "s", "", "")
    for statement in ("delete from audit_entries", "update audit_entries set action = 'y'"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with auth.runtime.db.tenant(organization_id) as tx:
                await tx.execute(statement)


async def test_the_system_role_sees_neither_users_nor_sessions(auth):
    for table in ("users", "sessions", "members", "signing_keys"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with auth.runtime.db.system() as tx:
                await tx.fetch(f"select * from {table}")


async def test_a_wait_grows_with_failures_and_ends_with_success(auth):
    keys = rules.attempt_keys(uuid7(), "192.0.2.1")

    async with auth.runtime.db.unscoped() as tx:
        tried = [
            await store.insert_attempt(tx, keys.here, rules.FREE_ATTEMPTS, rules.DELAY_MAX)
            for _ in range(8)
        ]
        assert tried == [False] * 6 + [None] * 2
        assert 0 < await store.get_attempt_wait(tx, keys.here) <= 1
        await store.forgive_attempts(tx, keys)
        assert await store.insert_attempt(tx, keys.here, 5, rules.DELAY_MAX) is True


async def test_a_hash_is_replaced_only_while_it_is_the_one_that_was_read(auth):
    user_id = uuid7()
    async with auth.runtime.db.tenant(user_id) as tx:
        await store.insert_user(tx, user_id, f"{user_id}@example.com", "new", "One")
        await store.update_password(tx, user_id, "renewed", instead_of="old")
        assert await store.get_password_hash(tx, user_id) == "new"
        await store.update_password(tx, user_id, "renewed", instead_of="new")
        assert await store.get_password_hash(tx, user_id) == "renewed"
