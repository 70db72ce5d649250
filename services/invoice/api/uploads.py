"""Documents: upload and download."""

from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, contextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from auditron.invoice.v1 import invoice_events_pb2, invoice_pb2
from auditron.invoice.v1.invoice_pb2 import Document, Invoice, UploadInvoiceRequest
from google.api.httpbody_pb2 import HttpBody

from libs.blobs import BlobNotFound, Blobs, BlobsUnavailable
from libs.pg import Database, InvalidRequestId, RequestIdReused, Tx, requests, uuid7
from libs.rpc import InvalidArgument, Unavailable, caller, check
from libs.sandbox import Sandbox, SandboxKilled

from .. import errors, rules, store
from ..documents import Spooled, key_of, spooled
from ..settings import Settings
from .changes import Context, found_by

INSPECT = "services.invoice.checking:inspect"
REFUSALS = {
    "TYPE_UNSUPPORTED": errors.DocumentTypeUnsupported,
    "ENCRYPTED": errors.DocumentEncrypted,
    "BROKEN": errors.DocumentBroken,
    "FORBIDDEN": errors.DocumentForbidden,
}


class UploadsApi:
    """Takes documents in, and gives them back as they came."""

    def __init__(self, db: Database, blobs: Blobs, checkers: Sandbox, settings: Settings) -> None:
        self._db = db
        self._blobs = blobs
        self._checkers = checkers
        self._limit = settings.default_documents_per_month

    async def UploadInvoice(
        self, parts: AsyncIterator[UploadInvoiceRequest], context: Context
    ) -> Invoice:
        header = await _header(parts)
        check(rules.upload_violations(header))
        organization_id = caller().organization_id
        if header.source_invoice_id:
            await self._follow_source(header)
        async with spooled(_chunks(parts)) as file:
            document = Document(
                document_id=uuid7(),
                filename=rules.filename_of(header.filename),
                size_bytes=file.size_bytes,
                sha256=file.sha256,
                source_invoice_id=header.source_invoice_id,
                first_page=header.first_page,
                last_page=header.last_page,
            )
            is_known, is_allowed = await store.get_upload_standing(
                self._db, organization_id, document, self._limit
            )
            if is_known:
                return await self._received(header, document)
            if not is_allowed:
                raise _limit_reached()
            document.content_type = await self._checked(file)
            key = key_of(organization_id, document.document_id)
            with _store_named():
                await self._blobs.put_file(key, file.path, document.content_type)
        try:
            invoice = await self._received(header, document)
        except (errors.DocumentLimitReached, InvalidRequestId, RequestIdReused):
            await self._drop(key)
            raise
        if invoice.document.document_id != document.document_id:
            await self._drop(key)
        return invoice

    async def DownloadDocument(
        self, request: invoice_pb2.DownloadDocumentRequest, context: Context
    ) -> AsyncIterator[HttpBody]:
        organization_id = caller().organization_id
        invoice = await store.get_invoice(self._db, organization_id, request.invoice_id)
        if not invoice.HasField("document"):
            raise errors.DocumentNotFound("The invoice was made by hand.")
        document = invoice.document
        name = quote(document.filename, safe="")
        await context.send_initial_metadata(
            (
                ("content-disposition", f"attachment; filename*=UTF-8''{name}"),
                # gRPC keeps "content-length" for itself and drops it.
                ("x-content-length", str(document.size_bytes)),
            )
        )
        key = key_of(organization_id, document.document_id)
        with _store_named():
            stream: Any = self._blobs.get_stream(key)
            async with aclosing(stream) as chunks:
                async for chunk in chunks:
                    yield HttpBody(content_type=document.content_type, data=chunk)

    async def _follow_source(self, header: UploadInvoiceRequest.Header) -> None:
        """Put what is known of the document that the pages were cut from into their header.

        Raises InvoiceNotFound, DocumentNotFound.
        """
        source_id = header.source_invoice_id
        source = await store.get_kept(self._db, caller().organization_id, source_id)
        if not source.invoice.HasField("document"):
            raise errors.DocumentNotFound("The invoice was made by hand.")
        header.source_invoice_id = source.invoice.invoice_id
        if "direction" in source.confirmed_fields:
            header.direction = header.direction or source.invoice.direction

    async def _checked(self, file: Spooled) -> str:
        """Return what the bytes are. Raises why they are not taken."""
        try:
            found = await self._checkers.run(INSPECT, file.path)
        except SandboxKilled as killed:
            if killed.reason == "crash":
                raise errors.DocumentBroken("The document cannot be read.") from None
            raise errors.DocumentForbidden(
                f"The document takes too much {killed.reason} to look at."
            ) from None
        if "refusal" in found:
            raise REFUSALS[found["refusal"]](found["explanation"])
        return str(found["content_type"])

    async def _received(self, header: UploadInvoiceRequest.Header, document: Document) -> Invoice:
        """Return the new invoice of a document, or the one that it has made before."""
        organization_id, request_id = caller().organization_id, header.request_id
        asked = _asked(header, document)
        async with self._db.tenant(organization_id) as tx:
            invoice = await requests.once(
                tx, organization_id, request_id, "UploadInvoice", asked, Invoice
            )
            if invoice is None:
                invoice = await self._kept(tx, header, document)
                await requests.remember(tx, organization_id, request_id, invoice)
        return invoice

    async def _kept(
        self, tx: Tx, header: UploadInvoiceRequest.Header, document: Document
    ) -> Invoice:
        who, invoice_id = caller(), uuid7()
        organization_id, actor = who.organization_id, who.on_behalf_of or who.actor
        if not await store.insert_document(tx, organization_id, invoice_id, document):
            return await store.get_invoice_of(tx, document)
        wanted = Invoice(
            invoice_id=invoice_id,
            state=invoice_pb2.INVOICE_STATE_RECEIVED,
            direction=header.direction or invoice_pb2.DIRECTION_PAYABLE,
            document_type=invoice_pb2.DOCUMENT_TYPE_INVOICE,
            document=document,
            job_id=uuid7(),
            creator=actor,
        )
        said = frozenset({"direction"} if header.direction else ())
        kept = store.Kept(wanted, confirmed_fields=said, last_editor=actor)
        kept = await store.insert_invoice(tx, organization_id, kept, found_by(wanted))
        fact = invoice_events_pb2.InvoiceReceived
        await store.append_fact(tx, organization_id, fact, kept.invoice, actor)
        # The last of all, for whoever uploads at the same time waits for it.
        if not await store.count_document(tx, organization_id, self._limit):
            raise _limit_reached()
        return kept.invoice

    async def _drop(self, key: str) -> None:
        """Delete an object that no row names; if that fails, the sweeper does it."""
        try:
            await self._blobs.delete(key)
        except BlobsUnavailable:
            return


def _asked(header: UploadInvoiceRequest.Header, document: Document) -> Invoice:
    """Return by what an upload is told from another with the same request id.

    Pages are the same however they were cut.
    """
    if not document.source_invoice_id:
        return Invoice(direction=header.direction, document=Document(sha256=document.sha256))
    return Invoice(
        document=Document(
            source_invoice_id=document.source_invoice_id,
            first_page=document.first_page,
            last_page=document.last_page,
        )
    )


async def _header(parts: AsyncIterator[UploadInvoiceRequest]) -> UploadInvoiceRequest.Header:
    async for part in parts:
        if part.HasField("header"):
            return part.header
        break
    raise InvalidArgument(
        "The first message must be the header.", violations=[("header", "is required first")]
    )


async def _chunks(parts: AsyncIterator[UploadInvoiceRequest]) -> AsyncIterator[bytes]:
    async for part in parts:
        if part.HasField("header"):
            raise InvalidArgument("There is one header.", violations=[("header", "must come once")])
        yield part.chunk


@contextmanager
def _store_named() -> Iterator[None]:
    """Say which of the things that we need is missing."""
    try:
        yield
    except BlobsUnavailable as error:
        raise Unavailable("The object store is not reachable.", retry_after_s=1) from error
    except BlobNotFound:
        raise errors.DocumentNotFound("The document is gone.") from None


def _limit_reached() -> errors.DocumentLimitReached:
    return errors.DocumentLimitReached(
        "The plan's documents of this month are used up.",
        retry_after_s=rules.seconds_to_next_month(datetime.now(UTC)),
    )
