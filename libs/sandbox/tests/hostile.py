"""What a document might make a parser do."""

import ctypes
import os
import resource
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from libs.sandbox import frames


def echo(*args: Any) -> Any:
    return list(args)


def read(file: IO[bytes]) -> dict[str, Any]:
    content = file.read()
    return {"size": len(content), "begin": content[:4], "writable": _can_write(file.fileno())}


def _can_write(fd: int) -> bool:
    try:
        os.write(fd, b"x")
    except OSError:
        return False
    return True


def raise_error(message: str) -> None:
    raise LookupError(message + " \ud800")


def leave() -> None:
    sys.exit(3)


def memory_bomb() -> int:
    held = []
    while True:
        held.append(bytearray(16 * 1024 * 1024))


def abort_without_memory() -> None:
    held = []
    try:
        while True:
            held.append(bytearray(16 * 1024 * 1024))
    except MemoryError:
        os.abort()


def loop() -> None:
    while True:
        pass


def loop_deaf() -> None:
    signal.signal(signal.SIGXCPU, signal.SIG_IGN)
    loop()


def sleep(seconds: float) -> list[float]:
    begin = time.monotonic()
    time.sleep(seconds)
    return [begin, time.monotonic()]


def exit_at_once() -> None:
    os._exit(0)


def segfault(*_: Any) -> None:
    ctypes.string_at(0)


def hang_up_and_stay() -> None:
    os.closerange(3, 100)
    time.sleep(60)


def reach() -> dict[str, str]:
    """Try everything that a captured parser might; return what each attempt ended in."""
    keeper = os.getppid()
    attempts = {
        "socket": socket.socket,
        "socket6": lambda: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM),
        "unix": lambda: socket.socket(socket.AF_UNIX),
        "exec": lambda: subprocess.run(["/bin/true"], check=True),
        "fork": os.fork,
        "kill": lambda: os.kill(keeper, 0),
        "environment of the keeper": lambda: Path(f"/proc/{keeper}/environ").read_bytes(),
        "memory of the keeper": lambda: os.open(f"/proc/{keeper}/mem", os.O_RDONLY),
        "files of the keeper": lambda: list(Path(f"/proc/{keeper}/fd").iterdir()),
        "rights": lambda: os.setgid(1),
        "passwords": lambda: Path("/etc/passwd").read_bytes(),
        "home": lambda: list(Path("/root").iterdir()),
        "write": lambda: Path("/tmp/auditron-sandbox-written").write_bytes(b"x"),
        "nested folders": Path(tempfile.gettempdir(), "folder").mkdir,
        "limits": lambda: resource.setrlimit(resource.RLIMIT_CPU, (10_000, 10_000)),
    }
    return {name: _outcome(attempt) for name, attempt in attempts.items()}


def _outcome(attempt: Any) -> str:
    try:
        attempt()
    except OSError as error:
        return type(error).__name__
    except ValueError as error:
        return str(error)
    return "done"


def environment() -> dict[str, str]:
    return dict(os.environ)


def process_id() -> int:
    return os.getpid()


def write_file(size: int) -> int:
    with tempfile.NamedTemporaryFile() as file:
        for _ in range(size // 65_536):
            file.write(bytes(65_536))
        file.flush()
        return os.fstat(file.fileno()).st_size


def leave_file() -> list[str]:
    before = [path.name for path in Path(tempfile.gettempdir()).iterdir()]
    Path(tempfile.gettempdir(), "left").write_text("another customer's")
    return before


def use_threads() -> int:
    results: list[int] = []
    threads = [threading.Thread(target=results.append, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(results)


def much(size: int) -> bytes:
    return bytes(size)


def much_json(size: int) -> str:
    return "x" * size


def unfit(kind: str) -> Any:
    return {
        "object": object(),
        "nan": float("nan"),
        "surrogate": "\ud800",
        "set": {1},
        "path": Path("/etc/passwd"),
    }[kind]


_loaded = {"count": 0}


def remember() -> int:
    _loaded["count"] += 1
    return _loaded["count"]


def rows(count: int, size: int = 10) -> Iterator[dict[str, Any]]:
    for index in range(count):
        yield {"index": index, "data": bytes(size)}


def rows_then(count: int, end: str) -> Iterator[int]:
    yield from range(count)
    {"raise": lambda: raise_error("bad row"), "loop": loop, "exit": exit_at_once}[end]()


def lines(file: IO[bytes], batch: int) -> Iterator[list[str]]:
    found: list[str] = []
    for line in file:
        found.append(line.decode().rstrip())
        if len(found) == batch:
            yield found
            found = []
    if found:
        yield found


def say(raw: bytes) -> None:
    """Send raw bytes to the parent in place of an answer, and stay."""
    ours = next(fd for fd in range(3, 30) if _is_socket(fd))
    os.write(ours, raw)
    time.sleep(60)


def _is_socket(fd: int) -> bool:
    try:
        return stat.S_ISSOCK(os.fstat(fd).st_mode)
    except OSError:
        return False


def frame(kind: bytes, text: bytes, parts: bytes = b"", claimed: int | None = None) -> bytes:
    """Return a frame by hand; `claimed` is a wrong size of its parts."""
    size = len(parts) if claimed is None else claimed
    return frames.HEADER.pack(kind, len(text), size) + text + parts
