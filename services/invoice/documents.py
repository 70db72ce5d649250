"""Takes a stream of bytes into a temporary file, and names the objects that hold documents."""

import errno
import hashlib
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from libs.rpc import Unavailable

from . import errors

SIZE_BYTES_MAX = 50_000_000
PREFIX = "documents/"


@dataclass(frozen=True)
class Spooled:
    """A whole document on disk."""

    path: Path
    size_bytes: int
    # Hexadecimal.
    sha256: str


@asynccontextmanager
async def spooled(chunks: AsyncIterator[bytes]) -> AsyncIterator[Spooled]:
    """Write the bytes to a file that lives as long as the block.

    Raises DocumentTooLarge with the byte that is too many, DocumentEmpty, Unavailable on a full
    disk.
    """
    size, digest = 0, hashlib.sha256()
    with tempfile.NamedTemporaryFile(prefix="auditron-document-") as file:
        try:
            async for chunk in chunks:
                size += len(chunk)
                if size > SIZE_BYTES_MAX:
                    raise errors.DocumentTooLarge(
                        f"The document has more than {SIZE_BYTES_MAX // 10**6} MB."
                    )
                digest.update(chunk)
                file.write(chunk)
            file.flush()
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            raise Unavailable("There is no room for uploads.", retry_after_s=10) from error
        if not size:
            raise errors.DocumentEmpty("The document is empty.")
        yield Spooled(Path(file.name), size, digest.hexdigest())


def key_of(organization_id: str, document_id: str) -> str:
    """Return the key of the object that holds a document."""
    return f"{PREFIX}{organization_id}/{document_id}"


def parsed(key: str) -> tuple[str, str]:
    """Return organization_id and document_id of a key. Raises ValueError for another's key."""
    organization_id, document_id = key.removeprefix(PREFIX).split("/")
    return organization_id, document_id
