"""The three servers together: what they keep, survive, refuse and leave behind."""

import asyncio
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg  # type: ignore[import-untyped]
import boto3
import pytest
import redis.asyncio
from mypy_boto3_s3 import S3Client

from libs.embedded import Embedded, EmbeddedError, Server
from libs.embedded.postgres import is_reachable, runs_as

PROGRAM = Path(__file__).with_name("use_everything.py")
ROOT = Path(__file__).parents[3]


async def put(env: dict[str, str], value: str) -> None:
    """Stores the value in each of the three."""
    connection = await asyncpg.connect(env["ADMIN_DATABASE_URL"])
    await connection.execute("create table if not exists kept (value text)")
    await connection.execute("delete from kept")
    await connection.execute("insert into kept values ($1)", value)
    await connection.close()
    async with redis.asyncio.Redis.from_url(env["REDIS_URL"], decode_responses=True) as client:
        await client.set("kept", value)
    await asyncio.to_thread(put_object, env, value)


async def get(env: dict[str, str]) -> tuple[str, str, str]:
    """Reads the value back from each of the three."""
    connection = await asyncpg.connect(env["ADMIN_DATABASE_URL"])
    row = await connection.fetchval("select value from kept")
    await connection.close()
    async with redis.asyncio.Redis.from_url(env["REDIS_URL"], decode_responses=True) as client:
        cached = str(await client.get("kept"))
    return row, cached, await asyncio.to_thread(get_object, env)


def s3(env: dict[str, str]) -> S3Client:
    return boto3.client(
        "s3",
        endpoint_url=env["S3_ENDPOINT_URL"],
        aws_access_key_id=env["S3_ACCESS_KEY"],
        aws_secret_access_key=env["S3_SECRET_KEY"],
        region_name=env["S3_REGION"],
    )


def put_object(env: dict[str, str], value: str) -> None:
    client = s3(env)
    if not client.list_buckets()["Buckets"]:
        client.create_bucket(Bucket=env["S3_BUCKET"])
    client.put_object(Bucket=env["S3_BUCKET"], Key="kept/value", Body=value.encode())
    client.close()


def get_object(env: dict[str, str]) -> str:
    client = s3(env)
    body = client.get_object(Bucket=env["S3_BUCKET"], Key="kept/value")["Body"].read()
    client.close()
    return body.decode()


async def test_a_restart_keeps_the_data_the_secrets_and_the_addresses(folder: Path) -> None:
    async with Embedded(folder, environ={}) as embedded:
        env = embedded.env()
        await put(env, "first run")
    begin = time.monotonic()
    async with Embedded(folder, environ={}) as embedded:
        assert time.monotonic() - begin < 1
        assert embedded.env() == env
        assert await get(env) == ("first run",) * 3


@pytest.mark.parametrize("name", ["postgres", "redis", "s3"])
async def test_each_server_can_be_killed_and_started_again(embedded: Embedded, name: str) -> None:
    await put(embedded.env(), "committed")
    server: Server = getattr(embedded, name)
    for _ in range(2):
        await server.kill()
        assert server.pid is None
        await server.start()
    row, cached, blob = await get(embedded.env())
    assert (row, blob) == ("committed", "committed")
    assert cached == ("None" if name == "redis" else "committed")  # redis keeps its last snapshot


async def test_a_server_killed_by_somebody_else_starts_again(embedded: Embedded) -> None:
    assert embedded.postgres.pid
    os.kill(embedded.postgres.pid, signal.SIGKILL)
    async with asyncio.timeout(5):
        while embedded.postgres.pid is not None:  # noqa: ASYNC110 - nothing tells us
            await asyncio.sleep(0.01)
    await embedded.postgres.start()
    await put(embedded.env(), "after")


async def test_a_session_at_work_does_not_outlive_a_killed_postgres(embedded: Embedded) -> None:
    connection = await asyncpg.connect(embedded.env()["ADMIN_DATABASE_URL"])
    sleeping = asyncio.create_task(connection.execute("select pg_sleep(60)"))
    await asyncio.sleep(0.05)
    await embedded.postgres.kill()
    begin = time.monotonic()
    await embedded.postgres.start()
    assert time.monotonic() - begin < 5
    with pytest.raises((asyncpg.PostgresError, ConnectionError)):
        await sleeping


async def test_a_stale_postmaster_pid_file_is_no_obstacle(folder: Path) -> None:
    async with Embedded(folder, environ={}) as embedded:
        await put(embedded.env(), "before")
        stale = (folder / "postgres" / "postmaster.pid").read_text()
    lines = stale.splitlines()
    lines[0] = str(os.getpid())  # alive, but no postmaster
    file = folder / "postgres" / "postmaster.pid"
    file.write_text("\n".join(lines) + "\n")
    shutil.chown(file, *(runs_as(folder / "postgres") or (os.getuid(), os.getgid())))
    async with Embedded(folder, environ={}) as embedded:
        assert (await get(embedded.env()))[0] == "before"


async def test_a_crash_while_the_cluster_was_made_is_no_obstacle(folder: Path) -> None:
    (folder / "postgres.new").mkdir()
    (folder / "postgres.new" / "PG_VERSION").write_text("18")
    (folder / "postgres.password").write_text("half")
    async with Embedded(folder, environ={}) as embedded:
        await put(embedded.env(), "made")
    assert not (folder / "postgres.password").exists()


async def test_servers_die_with_a_killed_parent_and_the_folder_is_free_again(folder: Path) -> None:
    command = [sys.executable, str(PROGRAM), str(folder), "wait"]
    parent = await asyncio.create_subprocess_exec(
        *command, stdout=subprocess.PIPE, env=python_path()
    )
    assert parent.stdout
    pids = [int(pid) for pid in (await parent.stdout.readline()).split()]
    assert len(pids) == 3
    parent.kill()
    await parent.communicate()
    async with Embedded(folder, environ={}) as embedded:  # waits for those that still shut down
        assert embedded.postgres.pid not in pids
        for pid in pids:
            await gone(pid)


async def test_a_second_embedded_on_the_folder_is_refused(embedded: Embedded) -> None:
    with pytest.raises(EmbeddedError, match=f"is in use by process {os.getpid()}"):
        await Embedded(embedded.folder, environ={}).start()
    await put(embedded.env(), "unharmed")


async def test_secrets_are_for_the_owner_alone_and_not_in_the_process_list(
    embedded: Embedded,
) -> None:
    for file in ("state.json", "redis/redis.conf"):
        assert stat.S_IMODE((embedded.folder / file).stat().st_mode) == 0o600
    env = embedded.env()
    passwords = [urlsplit(env[name]).password or "" for name in ("ADMIN_DATABASE_URL", "REDIS_URL")]
    ps = await asyncio.create_subprocess_exec("ps", "-eww", "-o", "args", stdout=subprocess.PIPE)
    listed = (await ps.communicate())[0].decode()
    assert "valkey-server" in listed
    for secret in (*passwords, env["S3_ACCESS_KEY"], env["S3_SECRET_KEY"]):
        assert len(secret) == 32
        assert secret not in listed


async def test_strangers_are_refused_and_only_loopback_listens(embedded: Embedded) -> None:
    env = embedded.env()
    port = urlsplit(env["ADMIN_DATABASE_URL"]).port
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(f"postgresql://postgres:wrong@127.0.0.1:{port}/auditron")
    async with redis.asyncio.Redis.from_url(env["REDIS_URL"].replace("//:", "//:x")) as client:
        with pytest.raises(redis.AuthenticationError):
            await client.ping()
    with pytest.raises(Exception, match=r"AccessDenied|InvalidAccessKeyId|Forbidden|Signature"):
        await asyncio.to_thread(put_object, env | {"S3_SECRET_KEY": "x" * 32}, "")
    for name in ("ADMIN_DATABASE_URL", "REDIS_URL", "S3_ENDPOINT_URL"):
        with socket.socket() as client_socket, pytest.raises(OSError, match=r"refused|assign"):
            client_socket.connect(("127.0.0.2", urlsplit(env[name]).port))


async def test_postgres_is_durable_and_has_room(embedded: Embedded) -> None:
    connection = await asyncpg.connect(embedded.env()["ADMIN_DATABASE_URL"])
    rows = await connection.fetch("select name, setting from pg_settings")
    upper = await connection.fetchval("select upper('é')")
    await connection.close()
    settings = {row["name"]: row["setting"] for row in rows}
    assert (settings["fsync"], settings["synchronous_commit"]) == ("on", "on")
    assert settings["full_page_writes"] == "on"
    assert (settings["max_connections"], settings["shared_buffers"]) == ("300", "16384")
    assert (settings["password_encryption"], settings["TimeZone"]) == ("scram-sha-256", "UTC")
    assert upper == "É"


async def test_what_the_environment_names_is_used_instead(folder: Path) -> None:
    environ = {"REDIS_URL": "redis://real:6379/1", "S3_ENDPOINT_URL": "https://s3.real"}
    async with Embedded(folder, environ={**environ, "S3_ACCESS_KEY": "key"}) as embedded:
        assert embedded.postgres.pid
        assert embedded.redis.pid is None
        assert embedded.s3.pid is None
        env = embedded.env()
    database_url = env.pop("ADMIN_DATABASE_URL")
    assert database_url.startswith("postgresql://postgres:")
    defaults = {"S3_BUCKET": "auditron", "S3_REGION": "us-east-1"}
    assert env == environ | defaults | {"S3_ACCESS_KEY": "key"}


async def test_with_everything_named_the_folder_is_not_touched(folder: Path) -> None:
    names = ("ADMIN_DATABASE_URL", "REDIS_URL", "S3_ENDPOINT_URL")
    async with Embedded(folder / "absent", environ=dict.fromkeys(names, "real")) as embedded:
        assert embedded.env().items() >= dict.fromkeys(names, "real").items()
    assert not (folder / "absent").exists()


async def test_a_server_that_cannot_start_shows_its_log_and_the_others_stop(folder: Path) -> None:
    embedded = Embedded(folder, environ={})
    async with embedded:
        pass
    (folder / "postgres" / "PG_VERSION").write_text("7")
    with pytest.raises(EmbeddedError, match=r"(?s)postgres ended with status 1.*not compatible"):
        await embedded.start()
    assert embedded.redis.pid is None
    await embedded.erase()
    assert not folder.exists()


async def test_a_port_taken_meanwhile_is_left_to_its_new_owner(folder: Path) -> None:
    async with Embedded(folder, environ={}) as embedded:
        before = urlsplit(embedded.env()["S3_ENDPOINT_URL"]).port
        await embedded.s3.stop()
        with socket.create_server(("127.0.0.1", before or 0)):
            with pytest.raises(EmbeddedError, match=f"has taken s3's port {before}"):
                await embedded.s3.start()
            await embedded.stop()
            async with Embedded(folder, environ={}) as other:
                assert urlsplit(other.env()["S3_ENDPOINT_URL"]).port != before


async def test_it_works_in_a_folder_that_other_users_cannot_reach(folder: Path) -> None:
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    embedded = Embedded(closed / "data", environ={})
    await embedded.start()
    await put(embedded.env(), "hidden")
    await embedded.stop()
    await embedded.start()
    assert await get(embedded.env()) == ("hidden",) * 3
    await embedded.erase()
    assert not (closed / "data").exists()


async def test_an_ordinary_user_can_do_all_of_it(folder: Path) -> None:
    command = [sys.executable, str(PROGRAM), str(folder / "data")]
    if os.geteuid() == 0:
        shutil.chown(folder, "nobody")
        command = [*become_nobody(), *command]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd="/", env=python_path()
    )
    output, _ = await process.communicate()
    assert output.decode().strip() == "done"


def become_nobody() -> list[str]:
    """The command prefix; where `nobody` cannot reach this Python, it may read all files."""
    prefix = ["setpriv", "--reuid=nobody", "--clear-groups"]
    if not is_reachable(Path(sys.executable).resolve()) or not is_reachable(ROOT / "libs"):
        prefix += ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    return prefix


def python_path() -> dict[str, str]:
    return {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"}


async def gone(pid: int) -> None:
    """Waits at most 10 s until the process has ended; it may stay a zombie where init is lazy."""
    async with asyncio.timeout(10):
        while state_of(pid) not in ("", "Z"):  # noqa: ASYNC110 - no child of ours
            await asyncio.sleep(0.01)


def state_of(pid: int) -> str:
    command = ["ps", "-o", "stat=", "-p", str(pid)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()[:1]
