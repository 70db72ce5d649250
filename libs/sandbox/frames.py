"""What passes between parent and child: JSON with raw bytes behind it, and nothing that can run."""

import json
import math
import os
import socket
import stat
from collections.abc import Sequence
from pathlib import Path
from struct import Struct
from typing import IO, Any

HEADER = Struct(">cIQ")  # kind, bytes of JSON, bytes of what follows it
JSON_BYTES_MAX = 8 * 1024 * 1024  # parsed, it may grow twentyfold
FILES_MAX = 16

# To the keeper: fork a child for a module; kill it; wait for a dying one.
FORK, KILL, WAIT = b"F", b"K", b"W"
# From the keeper: what is in force, or why it cannot start; how the child ended.
READY, ENDED = b"A", b"D"
# To and from the child.
STARTED, CALL, ITEM, RESULT, FAILED = b"S", b"C", b"Y", b"R", b"E"
ANSWERS = frozenset((READY, ENDED, STARTED, ITEM, RESULT, FAILED))


class Malformed(ValueError):  # noqa: N818  # says what is wrong
    """The other side sent what is no frame."""


def encode(kind: bytes, value: object, files: list[int] | None = None) -> list[bytes]:
    """Return header, JSON and raw parts; opens each Path in the value and adds it to `files`.

    Raises TypeError or ValueError for a value that cannot travel, OSError for an unreadable file.
    """
    parts: list[bytes] = []

    def beside(item: object) -> dict[str, int]:
        if isinstance(item, bytes | bytearray | memoryview):
            parts.append(bytes(item))
            return {"$part": len(parts[-1])}
        if isinstance(item, Path) and files is not None:
            if len(files) == FILES_MAX:
                raise ValueError(f"A call may have {FILES_MAX} files.")
            files.append(_open(item))
            return {"$file": len(files) - 1}
        raise TypeError(f"{type(item).__name__} is neither JSON nor bytes.")

    text = json.dumps(value, default=beside, allow_nan=False, ensure_ascii=False).encode()
    header = HEADER.pack(kind, len(text), sum(map(len, parts)))
    # No empty part: who has all bytes may be gone before nothing more is sent.
    return [header, text, *filter(None, parts)]


def decode(text: bytearray, parts: bytearray, files: Sequence[IO[bytes]] = ()) -> Any:
    """Return the value of a frame. Raises Malformed, whatever the bytes are."""
    end = 0

    def put_back(item: dict[str, Any]) -> Any:
        nonlocal end
        if len(item) != 1:
            return item
        if type(size := item.get("$part")) is int:
            begin, end = end, end + size
            if not begin <= end <= len(parts):
                raise Malformed("parts")
            return bytes(memoryview(parts)[begin:end])
        if files and type(index := item.get("$file")) is int:
            return files[index]
        return item

    try:
        value = json.loads(
            text.decode(), object_hook=put_back, parse_constant=_refuse, parse_float=_finite
        )
        if b"\\ud" in text or b"\\uD" in text:  # half a surrogate pair is no text to anyone
            json.dumps(value, ensure_ascii=False, default=repr).encode()
    except (ValueError, RecursionError, IndexError) as error:
        raise Malformed(type(error).__name__) from None
    return value


def send(sock: socket.socket, kind: bytes, value: object) -> None:
    """Send one frame over a blocking socket."""
    for buffer in encode(kind, value):
        sock.sendall(buffer)


def receive(sock: socket.socket) -> tuple[bytes, bytearray, bytearray, list[int]]:
    """Return kind, JSON, parts, files of a frame over a blocking socket; EOFError at its end."""
    header, fds, _, _ = socket.recv_fds(sock, HEADER.size, FILES_MAX)
    header += _exactly(sock, HEADER.size - len(header)) if header else b""
    if not header:
        raise EOFError
    kind, text_size, parts_size = HEADER.unpack(header)
    return kind, _exactly(sock, text_size), _exactly(sock, parts_size), fds


def _exactly(sock: socket.socket, size: int) -> bytearray:
    buffer = bytearray(size)
    view = memoryview(buffer)
    while view:
        count = sock.recv_into(view)
        if not count:
            raise EOFError
        view = view[count:]
    return buffer


def _open(path: Path) -> int:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe would make us wait
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise ValueError("Only a regular file can be handed to a sandboxed function.")
    return fd


def _finite(digits: str) -> float:
    if math.isinf(number := float(digits)):
        raise Malformed("infinite")
    return number


def _refuse(constant: str) -> None:
    raise Malformed(constant)
