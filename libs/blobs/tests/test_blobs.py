"""Objects put, got, listed and deleted in a real store, and what a failing one gives."""

import asyncio
import io
import os
import subprocess
import sys
import urllib.request
from collections.abc import Mapping
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from libs.blobs import BlobNotFound, Blobs, BlobSettings, BlobsUnavailable
from libs.embedded import Embedded

PROGRAM = Path(__file__).with_name("stream_big.py")
ROOT = Path(__file__).parents[3]


async def get_bytes(blobs: Blobs, key: str) -> bytes:
    return b"".join([chunk async for chunk in blobs.get_stream(key)])


async def test_bytes_come_back_as_they_were_put(blobs: Blobs) -> None:
    for data in (b"", b"x", os.urandom(300_000)):
        await blobs.put_bytes("round/trip ü+é.bin", data, "application/octet-stream")
        assert await get_bytes(blobs, "round/trip ü+é.bin") == data


async def test_a_file_of_several_parts_comes_back_as_it_was(blobs: Blobs, tmp_path: Path) -> None:
    data = os.urandom(17 * 1024 * 1024)
    (tmp_path / "file").write_bytes(data)
    await blobs.put_file("file/path", tmp_path / "file", "application/pdf")
    assert await get_bytes(blobs, "file/path") == data
    opened = io.BytesIO(data)
    opened.seek(1_000_000)
    await blobs.put_file("file/open", opened, "application/pdf")
    assert await get_bytes(blobs, "file/open") == data[1_000_000:]


async def test_a_stream_has_small_chunks_and_starts_where_asked(blobs: Blobs) -> None:
    data = os.urandom(700_000)
    await blobs.put_bytes("stream", data, "application/pdf")
    chunks = [chunk async for chunk in blobs.get_stream("stream")]
    assert [len(chunk) for chunk in chunks] == [262_144, 262_144, 175_712]
    assert b"".join(chunks) == data
    for start in (0, 1, 699_999):
        assert (
            b"".join([chunk async for chunk in blobs.get_stream("stream", start)]) == data[start:]
        )
    for start in (700_000, 800_000):
        assert [chunk async for chunk in blobs.get_stream("stream", start)] == []


async def test_streams_left_early_do_no_harm(blobs: Blobs) -> None:
    await blobs.put_bytes("early", os.urandom(2_000_000), "application/pdf")
    for _ in range(70):
        async with aclosing(blobs.get_stream("early")) as stream:
            assert len(await anext(stream)) == 262_144
    assert len(await get_bytes(blobs, "early")) == 2_000_000


async def test_many_calls_at_once_all_answer(blobs: Blobs) -> None:
    async def round_trip(number: int) -> bytes:
        await blobs.put_bytes(f"many/{number}", str(number).encode(), "text/plain")
        return await get_bytes(blobs, f"many/{number}")

    answers = await asyncio.gather(*(round_trip(number) for number in range(50)))
    assert answers == [str(number).encode() for number in range(50)]


async def test_large_objects_stream_in_bounded_memory(env: Mapping[str, str]) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(PROGRAM), "big/object"),
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, **env, "PYTHONPATH": str(ROOT)},
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    assert int(output) < 40, f"grew by {output.decode()} MiB for 96 MiB"


async def test_a_missing_object_is_not_found_and_deleting_it_is_no_error(blobs: Blobs) -> None:
    await blobs.put_bytes("gone", b"data", "text/plain")
    for _ in range(2):
        await blobs.delete("gone")
        with pytest.raises(BlobNotFound):
            await get_bytes(blobs, "gone")
        with pytest.raises(BlobNotFound):
            await anext(blobs.get_stream("gone", 3))


async def test_a_listing_pages_through_all_keys_with_the_prefix(blobs: Blobs) -> None:
    for number in range(7):
        await blobs.put_bytes(f"listed/a{number}", b"x" * number, "text/plain")
    await blobs.put_bytes("listed/b", b"", "text/plain")
    found = [item async for item in blobs.list("listed/a", page_size=3)]
    assert [(key, size) for key, size, _ in found] == [(f"listed/a{n}", n) for n in range(7)]
    assert all(abs(datetime.now(UTC) - when) < timedelta(minutes=5) for _, _, when in found)
    assert [item async for item in blobs.list("listed/none")] == []


async def test_the_bucket_is_made_once_whoever_comes_first(env: Mapping[str, str]) -> None:
    settings = BlobSettings.from_env({**env, "S3_BUCKET": "auditron-made"})
    several = [Blobs(settings) for _ in range(3)]
    await asyncio.gather(*(blobs.ensure_bucket() for blobs in several))
    await several[0].ensure_bucket()
    await several[0].put_bytes("key", b"data", "text/plain")
    assert await get_bytes(several[1], "key") == b"data"
    for blobs in several:
        await blobs.close()


async def test_a_store_that_dies_while_it_sends_is_unavailable(tmp_path: Path) -> None:
    embedded = Embedded(tmp_path, {"ADMIN_DATABASE_URL": "unused", "REDIS_URL": "unused"})
    await embedded.start()
    blobs = Blobs(BlobSettings.from_env(embedded.env()))
    await blobs.ensure_bucket()
    await blobs.put_bytes("big", os.urandom(30_000_000), "application/pdf")
    async with aclosing(blobs.get_stream("big")) as stream:
        await anext(stream)
        await embedded.s3.kill()
        with pytest.raises(BlobsUnavailable):
            [chunk async for chunk in stream]
    with pytest.raises(BlobsUnavailable):
        await get_bytes(blobs, "big")
    await embedded.s3.start()
    assert len(await get_bytes(blobs, "big")) == 30_000_000
    await blobs.close()
    await embedded.erase()


async def test_a_store_that_answers_503_is_asked_three_times() -> None:
    asked = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        await reader.readuntil(b"\r\n\r\n")
        asked += 1
        writer.write(b"HTTP/1.1 503 Slow Down\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        blobs = Blobs(BlobSettings(f"http://127.0.0.1:{port}", access_key="a", secret_key="s"))
        with pytest.raises(BlobsUnavailable, match="503"):
            await get_bytes(blobs, "key")
        await blobs.close()
    assert asked == 3


def test_settings_come_from_the_environment_and_hide_their_secret() -> None:
    environ = {"S3_ENDPOINT_URL": "http://s3", "S3_ACCESS_KEY": "id", "S3_SECRET_KEY": "hidden"}
    settings = BlobSettings.from_env({**environ, "S3_REGION": ""})
    assert settings == BlobSettings("http://s3", "auditron", "id", "hidden", "us-east-1")
    assert "hidden" not in repr(settings)


def fetch(url: str) -> bytes:
    with urllib.request.urlopen(url) as response:
        return response.read()
