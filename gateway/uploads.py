"""Uploads: a raw body or a form becomes a stream of a header and chunks, never held as a whole."""

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

import grpc
from google.protobuf import message_factory
from grpc._cython import cygrpc  # type: ignore[attr-defined]
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from gateway.asgi import Disconnected, Exchange, too_large
from gateway.binding import Binding
from gateway.problems import Problem

CHUNK_BYTES = 256 * 1024
FORM_BYTES_MAX = 64 * 1024  # of a form, what is not the file
FIELD_BYTES_MAX = 8 * 1024
FIELDS_MAX = 50
ANSWER_S = 65.0  # for the service to look at what it got; its own limit is 60 s

_FORM = "multipart/form-data"
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_EXTENDED_NAME = re.compile(
    r";\s*filename\*\s*=\s*(utf-8|iso-8859-1)'[^']*'([^;\s]+)", re.ASCII | re.IGNORECASE
)
_BOUNDARY = re.compile(rb"[0-9A-Za-z'()+_,./:=? -]{1,70}")


@dataclass(frozen=True)
class File:
    """A file begins: what its sender says of it."""

    filename: str
    content_type: str

    def pairs(
        self, known: Iterable[str], given: Iterable[tuple[str, str]]
    ) -> list[tuple[str, str]]:
        """Return those of its properties that the header has and nothing else gave."""
        names = {name for name, _ in given}
        own = (("filename", self.filename), ("content_type", self.content_type))
        return [(name, text) for name, text in own if text and name in known and name not in names]


Part = tuple[str, str] | File | bytes  # a field of a form, a file's beginning, a piece of it


async def upload(
    exchange: Exchange, binding: Binding, method: Any, path: Sequence[str], metadata: Any
) -> Any:
    """Stream the body to the RPC and return its answer. Raises Problem, AioRpcError, Disconnected.

    The call is cancelled when the body is too long or its sender has gone.
    """
    sending = _Sending(binding, method, metadata)
    pairs = exchange.query()
    try:
        async with contextlib.aclosing(_parts(exchange, binding.route.body_bytes_max)) as parts:
            async for part in parts:
                if isinstance(part, bytes):
                    await sending.add(part)
                elif isinstance(part, File):
                    given = [*pairs, *part.pairs(binding.text_fields, pairs)]
                    key = exchange.header(b"idempotency-key")
                    await sending.begin(binding.header(path, given, key))
                else:
                    pairs.append(part)
                if sending.refused:
                    break
        return await _answer(exchange, await sending.end())
    except BaseException:
        sending.cancel()
        raise


class _Sending:
    """The call that a body is sent by."""

    def __init__(self, binding: Binding, method: Any, metadata: Any) -> None:
        self._limit = binding.route.body_bytes_max
        self._message: Any = message_factory.GetMessageClass(binding.route.method.input_type)
        self._method = method
        self._metadata = metadata
        self._call: Any = None
        self._held = bytearray()
        self._received = 0
        self.refused = False  # the service has answered already; more is of no use

    async def begin(self, header: Any) -> None:
        if self._call is not None:
            raise Problem(400, "FORM_WRONG", "A form holds one file.")
        self._call = self._method(metadata=self._metadata)
        await self._write(self._message(header=header))

    async def add(self, piece: bytes) -> None:
        self._received += len(piece)
        if self._received > self._limit:
            raise too_large(self._limit)
        self._held += piece
        while len(self._held) >= CHUNK_BYTES:
            await self._write(self._message(chunk=bytes(self._held[:CHUNK_BYTES])))
            del self._held[:CHUNK_BYTES]

    async def end(self) -> Any:
        if self._call is None:
            raise Problem(400, "FORM_WRONG", "The form holds no file.")
        if self._held:
            await self._write(self._message(chunk=bytes(self._held)))
        if not self.refused:
            await self._call.done_writing()
        return self._call

    def cancel(self) -> None:
        if self._call is not None:
            self._call.cancel()

    async def _write(self, message: Any) -> None:
        if self.refused:
            return
        try:
            await self._call.wait_for_connection()
            # Not write(): where the service has answered meanwhile, that puts "internal error" in
            # the place of its answer.
            await self._call._cython_call.send_serialized_message(  # noqa: SLF001
                message.SerializeToString()
            )
        except (cygrpc.InternalError, grpc.aio.AioRpcError, asyncio.InvalidStateError):
            self.refused = True  # why, its answer tells


async def _answer(exchange: Exchange, call: Any) -> Any:
    answering = asyncio.ensure_future(call)
    gone = asyncio.ensure_future(exchange.gone())
    try:
        await asyncio.wait((answering, gone), timeout=ANSWER_S, return_when=asyncio.FIRST_COMPLETED)
        if answering.done():
            return answering.result()
        if gone.done():
            raise Disconnected
        raise Problem(504, "DEADLINE_EXCEEDED", "The service took too long.")
    finally:
        gone.cancel()
        answering.cancel()


async def _parts(exchange: Exchange, limit: int) -> AsyncGenerator[Part]:
    if exchange.content_type() != _FORM:
        yield File(_filename(exchange.header(b"content-disposition")), exchange.content_type())
        async for piece in exchange.stream(limit):
            yield piece
        return
    form = _Form(exchange.header(b"content-type"))
    async for piece in exchange.stream(limit + FORM_BYTES_MAX):
        for part in form.feed(piece):
            yield part
    form.check_end()


class _Form:
    """Takes a form apart as it comes."""

    def __init__(self, content_type: str) -> None:
        boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
        if not _BOUNDARY.fullmatch(boundary):
            raise Problem(400, "FORM_WRONG", "The form's content type names no boundary.")
        callbacks: Any = {
            "on_part_begin": self._begin,
            "on_header_field": self._header_name,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_end,
            "on_part_data": self._data,
            "on_part_end": self._end,
            "on_end": self._all,
        }
        self._parser = MultipartParser(boundary, callbacks)
        self._found: list[Part] = []
        self._name = self._value = b""
        self._headers: dict[bytes, bytes] = {}
        self._field: str | None = None  # None: within the file
        self._text = bytearray()
        self._fields = 0
        self._had_file = self._complete = False

    def feed(self, piece: bytes) -> list[Part]:
        """Return what the piece completes. Raises Problem for what is no form as we take it."""
        self._found = []
        try:
            self._parser.write(piece)
        except FormParserError:
            raise Problem(400, "FORM_WRONG", "The body is not a well-formed form.") from None
        return self._found

    def check_end(self) -> None:
        """Raise Problem if the form broke off."""
        if not self._complete:
            raise Problem(400, "FORM_WRONG", "The form breaks off.")

    def _begin(self) -> None:
        self._headers, self._name, self._value = {}, b"", b""
        self._text = bytearray()

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        self._headers[self._name.lower()] = self._value
        self._name = self._value = b""

    def _headers_end(self) -> None:
        disposition = self._headers.get(b"content-disposition", b"").decode("latin-1")
        _, said = parse_options_header(disposition)
        self._fields += 1
        if self._had_file or self._fields > FIELDS_MAX:
            raise Problem(
                400, "FORM_WRONG", "The file is the last part of a form; few fields come before it."
            )
        if b"filename" not in said:
            self._field = _text(said.get(b"name", b""))
            return
        self._had_file, self._field = True, None
        content_type = self._headers.get(b"content-type", b"").decode("latin-1")
        self._found.append(File(_text(said[b"filename"]), content_type.partition(";")[0].strip()))

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._field is None:
            self._found.append(data[start:end])
            return
        self._text += data[start:end]
        if len(self._text) > FIELD_BYTES_MAX:
            raise Problem(400, "FORM_WRONG", f"A field has at most {FIELD_BYTES_MAX} bytes.")

    def _end(self) -> None:
        if self._field is not None:
            self._found.append((self._field, _text(bytes(self._text))))

    def _all(self) -> None:
        self._complete = True


def _filename(disposition: str) -> str:
    """Return the name that Content-Disposition gives (RFC 6266), '' if it gives none.

    Where it is given in two forms, the extended one counts, which is for what is not ASCII.
    """
    if extended := _EXTENDED_NAME.search(_QUOTED.sub("", disposition)):
        with contextlib.suppress(UnicodeDecodeError):
            return unquote_to_bytes(extended[2]).decode(extended[1])
    _, said = parse_options_header(disposition)
    return _text(said.get(b"filename", b""))


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")
