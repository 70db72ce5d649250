"""Fetches a document's bytes from invoice, for as long as they are read, and uploads others."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

from auditron.invoice.v1 import invoice_pb2

SIZE_BYTES_MAX = 50_000_000  # invoice takes no larger one
FETCH_S = UPLOAD_S = 120.0
CHUNK_BYTES = 256 * 1024


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


async def uploaded(
    stub: Any, header: invoice_pb2.UploadInvoiceRequest.Header, data: bytes
) -> invoice_pb2.Invoice:
    """Return the invoice that invoice makes of a document. Raises AioRpcError."""

    async def parts() -> AsyncIterator[invoice_pb2.UploadInvoiceRequest]:
        yield invoice_pb2.UploadInvoiceRequest(header=header)
        for at in range(0, len(data), CHUNK_BYTES):
            yield invoice_pb2.UploadInvoiceRequest(chunk=data[at : at + CHUNK_BYTES])

    invoice: invoice_pb2.Invoice = await stub.UploadInvoice(parts(), timeout=UPLOAD_S)
    return invoice
