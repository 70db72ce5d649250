"""Has every document but the first in a file become an invoice of its own."""

from pathlib import Path
from typing import Any

import grpc
from auditron.invoice.v1 import invoice_pb2
from auditron.invoice.v1.invoice_pb2 import UploadInvoiceRequest

from libs.rpc import reason_of
from libs.sandbox import SandboxKilled

from .. import errors, rules, store
from ..documents import fetched, uploaded
from .extraction import Extraction

CUT_ATTEMPTS = 3  # the last at pages whose cutting ends the process that does it
DIED = "The process that cuts them out died, or took too long."
# What another attempt at the same upload would not mend soon.
_REFUSALS = (
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
)


class Splitting:
    """Cuts documents out and uploads them; the file that they came in stays as it is."""

    def __init__(self, invoices: Any, extraction: Extraction) -> None:
        self._invoices = invoices
        self._extraction = extraction

    async def split(self, work: store.Work, spans: list[tuple[int, int]]) -> list[rules.Fate]:
        """Return what became of these pages; done again, it makes nothing anew.

        Raises AioRpcError, SandboxKilled or SandboxError where another attempt may do better.
        """
        request = invoice_pb2.GetInvoiceRequest(invoice_id=work.job.invoice_id)
        source = await self._invoices.GetInvoice(request)
        async with fetched(self._invoices, source.invoice_id) as path:
            return [await self._fate(work, source, path, span) for span in spans]

    async def _fate(
        self, work: store.Work, source: invoice_pb2.Invoice, path: Path, span: tuple[int, int]
    ) -> rules.Fate:
        first, last = span
        try:
            data, last = await self._extraction.cut(path, work.content_type, first, last)
            made = await uploaded(self._invoices, _header(work, source, (first, last)), data)
        except errors.DocumentUnreadable as error:
            return rules.Fate(first, last, why_not=str(error))
        except SandboxKilled:
            if work.task_attempt < CUT_ATTEMPTS:
                raise
            return rules.Fate(first, last, why_not=DIED)
        except grpc.aio.AioRpcError as error:
            if error.code() not in _REFUSALS:
                raise
            return rules.Fate(first, last, why_not=f"{error.details()} ({reason_of(error)})")
        found = made.document
        pages = (found.source_invoice_id, found.first_page, found.last_page)
        known = pages != (source.invoice_id, first, last)
        return rules.Fate(first, last, made.invoice_id, known)


def _header(
    work: store.Work, source: invoice_pb2.Invoice, span: tuple[int, int]
) -> UploadInvoiceRequest.Header:
    return UploadInvoiceRequest.Header(
        filename=rules.cut_filename(source.document.filename, span),
        content_type=work.content_type,
        request_id=rules.cut_request_id(work.job.job_id, span),
        source_invoice_id=source.invoice_id,
        first_page=span[0],
        last_page=span[1],
    )
