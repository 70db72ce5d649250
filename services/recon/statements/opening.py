"""Opens a statement, finds its format, and hands it to that format's reader."""

import io
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from . import bai2, camt, mt940, ofx, qif, tables
from .faults import Malformed

SAMPLE_BYTES = 1 << 18
LARGEST_BYTES = 200 * 1024 * 1024
BATCH = 500


def read_statement(
    path_or_fd: str | int | bytes | BinaryIO, options: Mapping[str, Any] | None = None
) -> Iterator[dict[str, Any]]:
    """Yields, for each statement in the file, a header, batches of transactions, and totals.

    `path_or_fd` is a path, an open descriptor or file, or the bytes themselves. Each has `event`:
    "header", "transactions" or "totals"; dates are ISO strings and amounts decimal strings.
    Options (all may be absent): `format` (a name of READERS), `batch_size`, `largest_bytes`,
    `account_iban`, `currency_code` (for files that do not say), and for CSV `encoding`,
    `delimiter`, `date_style` ("DMY", "MDY", "YMD"), `decimal_mark`, `header_line`,
    `columns` (role → column number or title; see `columns.ROLES`). Raises `Malformed`, possibly
    after some batches: nothing is to be kept then.
    """
    wanted = dict(options or {})
    batch_size = int(wanted.get("batch_size") or BATCH)
    with _open(path_or_fd) as file:
        _refuse_size(file, int(wanted.get("largest_bytes") or LARGEST_BYTES))
        sample = file.peek(SAMPLE_BYTES)[:SAMPLE_BYTES]
        if not sample.strip(b"\0 \t\r\n\xef\xbb\xbf\xff\xfe"):
            raise Malformed(0, "", "The file is empty.")
        form = wanted.get("format") or _form_of(sample)
        if form not in READERS:
            raise Malformed(0, "format", f"The format {form!r} is not known.")
        yield from _in_batches(READERS[form](file, sample, wanted), batch_size)


def _form_of(sample: bytes) -> str:
    """What the bytes look like: a table where they look like nothing else."""
    return next((form for form, looks_like in DETECTED.items() if looks_like(sample)), "csv")


def looks_like_xml(sample: bytes) -> bool:
    """Whether the file begins as XML does, in any of the usual encodings."""
    return re.match(rb"\s*<[?!A-Za-z]", sample[:200].replace(b"\0", b"").lstrip(
        b"\xef\xbb\xbf\xff\xfe"
    )) is not None  # fmt: skip


def _open(path_or_fd: str | int | bytes | BinaryIO) -> io.BufferedReader:
    if isinstance(path_or_fd, bytes):
        return io.BufferedReader(io.BytesIO(path_or_fd), SAMPLE_BYTES)
    if not isinstance(path_or_fd, str | int):
        path_or_fd = path_or_fd.fileno()
    closing = not isinstance(path_or_fd, int)
    return io.BufferedReader(io.FileIO(path_or_fd, "rb", closefd=closing), SAMPLE_BYTES)


def _refuse_size(file: BinaryIO, largest: int) -> None:
    try:
        size = os.fstat(file.fileno()).st_size
    except (OSError, io.UnsupportedOperation):
        return
    if size > largest:
        raise Malformed(0, "", f"The file has {size} bytes; {largest} are read at most.")


def _in_batches(events: Iterator[dict[str, Any]], size: int) -> Iterator[dict[str, Any]]:
    """Puts single transactions together; headers and totals go through as they are."""
    batch: list[dict[str, Any]] = []
    for event in events:
        if "event" not in event:
            batch.append(event)
            if len(batch) >= size:
                yield {"event": "transactions", "transactions": batch}
                batch = []
            continue
        if batch:
            yield {"event": "transactions", "transactions": batch}
            batch = []
        yield event


READERS = {
    "camt": camt.read,
    "mt940": mt940.read,
    "bai2": bai2.read,
    "ofx": ofx.read,
    "qif": qif.read,
    "csv": tables.read,
}
DETECTED = {
    "mt940": mt940.looks_like,
    "bai2": bai2.looks_like,
    "ofx": ofx.looks_like,
    "qif": qif.looks_like,
    "camt": looks_like_xml,
}
