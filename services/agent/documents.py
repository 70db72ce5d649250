"""Fetches a document's bytes from invoice into a file that lives as long as it is read."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

from auditron.invoice.v1 import invoice_pb2

SIZE_BYTES_MAX = 50_000_000  # invoice takes no larger one
FETCH_S = 120.0


@asynccontextmanager
async def fetched(stub: Any, invoice_id: str) -> AsyncIterator[Path]:
    """Yield the file of an invoice's document.

    Raises AioRpcError, TimeoutError, and ValueError for more bytes than there can be.
    """
    request = invoice_pb2.DownloadDocumentRequest(invoice_id=invoice_id)
    size = 0
    with tempfile.NamedTemporaryFile(prefix="auditron-agent-") as file:
        async with asyncio.timeout(FETCH_S), aclosing(stub.DownloadDocument(request)) as parts:
            async for part in parts:
                size += len(part.data)
                if size > SIZE_BYTES_MAX:
                    raise ValueError("The document has more bytes than invoice takes.")
                file.write(part.data)
        file.flush()
        yield Path(file.name)
