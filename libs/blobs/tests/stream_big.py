"""Puts 96 MiB from a pipe and gets them back; writes how many MiB the process has grown by."""

import asyncio
import hashlib
import os
import resource
import sys
import threading

from libs.blobs import Blobs, BlobSettings

SIZE_MIB = 96
BLOCK = os.urandom(1024 * 1024)


def feed(pipe: int) -> None:
    with os.fdopen(pipe, "wb") as file:
        for _ in range(SIZE_MIB):
            file.write(BLOCK)


def peak_mib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


async def main(key: str) -> None:
    blobs = Blobs(BlobSettings.from_env(os.environ))
    await blobs.put_bytes(key, b"small", "text/plain")  # imports boto3
    before = peak_mib()
    reading, writing = os.pipe()
    feeding = threading.Thread(target=feed, args=(writing,))
    feeding.start()
    with os.fdopen(reading, "rb") as file:
        await blobs.put_file(key, file, "application/octet-stream")
    feeding.join()
    digest, size = hashlib.sha256(), 0
    async for chunk in blobs.get_stream(key):
        assert len(chunk) <= 256 * 1024
        digest.update(chunk)
        size += len(chunk)
    growth = peak_mib() - before  # before the comparison makes it all at once
    assert size == SIZE_MIB * len(BLOCK)
    assert digest.digest() == hashlib.sha256(BLOCK * SIZE_MIB).digest()
    await blobs.delete(key)
    await blobs.close()
    sys.stdout.write(str(growth))


asyncio.run(main(sys.argv[1]))
