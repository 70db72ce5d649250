"""Log records as JSON lines on standard error, written by a thread, so that nobody waits."""

import logging
import os
import select
import sys
import threading
import traceback
from contextlib import suppress
from datetime import UTC, datetime
from types import TracebackType

import orjson

from libs.telemetry.context import current
from libs.telemetry.redaction import redact, redact_text
from libs.telemetry.traces import trace_id

OUR_LOGGERS = ("services", "libs", "gateway", "__main__")
PENDING_BYTES_MAX = 8 * 1024 * 1024  # beyond this, lines are dropped and counted
_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
_TRACEBACK_FRAMES = 40
_TRACEBACK_LIMIT = 16_384  # characters


class LineWriter:
    """Writes lines to a file descriptor from a thread of its own; a full pipe blocks only that."""

    def __init__(self, fd: int, pending_bytes_max: int = PENDING_BYTES_MAX) -> None:
        self._fd = fd
        self._pending_bytes_max = pending_bytes_max
        self._lines: list[bytes] = []
        self._pending_bytes = 0
        self._dropped = 0
        self._changed = threading.Condition()
        threading.Thread(target=self._run, name="log-writer", daemon=True).start()

    def put(self, line: bytes) -> None:
        """Queue one line, or count it as dropped while the reader is too slow."""
        with self._changed:
            if self._pending_bytes + len(line) > self._pending_bytes_max:
                self._dropped += 1
                return
            self._lines.append(line)
            self._pending_bytes += len(line)
            self._changed.notify_all()

    def flush(self, timeout_s: float = 2) -> None:
        """Wait until everything is written, but no longer than the timeout."""
        with self._changed:
            self._changed.wait_for(lambda: not self._pending_bytes, timeout_s)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._lines)
                lines, self._lines = self._lines, []
                dropped, self._dropped = self._dropped, 0
            size = sum(map(len, lines))
            if dropped:
                lines.append(
                    _to_line({"level": "ERROR", "message": "log lines dropped", "lines": dropped})
                )
            with suppress(OSError):  # standard error is gone: there is nowhere to say so
                _write(self._fd, b"".join(lines))
            with self._changed:
                self._pending_bytes -= size
                self._changed.notify_all()


class JsonHandler(logging.Handler):
    """Turns a record into one JSON line without secrets."""

    def __init__(self, service: str, role: str, writer: LineWriter) -> None:
        super().__init__()
        self.service = service
        self.role = role
        self.writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record; a record that cannot be written says so in its place."""
        try:
            line = _to_line(self.fields(record))
        except Exception as error:  # noqa: BLE001  # a log call must never break its caller
            line = _to_line(
                {
                    "level": "ERROR",
                    "logger": record.name,
                    "service": self.service,
                    "message": f"log record unwritable: {type(error).__name__}",
                }
            )
        self.writer.put(line)

    def flush(self) -> None:
        """Wait until everything is written."""
        self.writer.flush()

    def fields(self, record: logging.LogRecord) -> dict[str, object]:
        """Return the line as a mapping."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname,
            "service": self.service,
            "role": self.role,
            "logger": record.name,
            "message": redact_text(record.getMessage()),
        }
        bound = current()
        if bound.request_id:
            line["request_id"] = redact_text(bound.request_id)
        if bound.organization_id:
            line["organization_id"] = bound.organization_id
        if bound.user_id:
            line["user_id"] = bound.user_id
        if trace := trace_id():
            line["trace_id"] = trace
        for key, value in record.__dict__.items():
            if key not in _STANDARD:
                line[f"extra_{key}" if key in line else key] = redact(key, value)
        if record.exc_info and record.exc_info[1]:
            line["exception_type"] = type(record.exc_info[1]).__qualname__
            line["exception"] = _traceback_text(record.exc_info[1])
        if record.stack_info:
            line["stack"] = redact_text(record.stack_info)
        return line


def install_logs(service: str, role: str, level: str) -> None:
    """Send all records to standard error as JSON; uncaught exceptions and warnings too."""
    root = logging.getLogger()
    ours = next((handler for handler in root.handlers if isinstance(handler, JsonHandler)), None)
    if ours:
        ours.service, ours.role = service, role
    else:
        root.addHandler(JsonHandler(service, role, LineWriter(2)))
        logging.captureWarnings(capture=True)
        sys.excepthook = _log_uncaught
    root.setLevel(logging.WARNING)
    for name in OUR_LOGGERS:
        logging.getLogger(name).setLevel(level)
    # None of these is written, and asking for each costs about a microsecond a record.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False


def _log_uncaught(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
    else:
        logging.getLogger(__name__).critical("uncaught exception", exc_info=(kind, error, trace))


def _traceback_text(error: BaseException) -> str:
    lines = traceback.TracebackException.from_exception(
        error, limit=-_TRACEBACK_FRAMES, compact=True
    )
    text = redact_text("".join(lines.format()), 16 * _TRACEBACK_LIMIT)
    return text[-_TRACEBACK_LIMIT:]  # the end says what went wrong


def _to_line(fields: dict[str, object]) -> bytes:
    return orjson.dumps(
        fields, option=orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS
    )


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:  # someone made it non-blocking
            select.select([], [fd], [])
