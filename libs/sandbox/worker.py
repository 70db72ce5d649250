"""The parent's side of a keeper: has it fork a child per call, and learns how each ended."""

import asyncio
import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from libs.sandbox import frames
from libs.sandbox.keeper import OUT_OF_MEMORY
from libs.sandbox.limits import Limits, Reason, SandboxError, SandboxKilled

log = logging.getLogger(__name__)
START_S = 60  # to start an interpreter and import modules, on a machine that does much else
# -I and -S: neither environment, nor user, nor site packages decide what a child runs.
_FLAGS = ("-I", "-S", "-B")
_MAIN = (
    "import json, sys; options = json.loads(sys.argv[1]); sys.path[:] = options['path']; "
    "from libs.sandbox.keeper import keep; keep(**options)"
)


@dataclass(frozen=True)
class Keeper:
    """A running keeper."""

    process: subprocess.Popen[bytes]
    control: socket.socket
    folder: str  # for its children's temporary files

    def tell(self, order: bytes) -> None:
        """Send an order without arguments. Raises OSError if the keeper is gone."""
        self.control.send(b"".join(frames.encode(order, None)))

    def kill(self) -> int:
        """Kill it, and with it its child; return its exit status."""
        self.process.kill()
        status = self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
        return status


class Worker:
    """Runs one call at a time; whatever befalls its keeper, the next call mends it."""

    def __init__(self, limits: Limits, preload: Sequence[str]) -> None:
        self.limits = limits
        self.keeper: Keeper | None = None
        self._preload = preload
        self._owed = 0  # answers of the keeper that nobody has read yet

    async def start(self) -> Keeper:
        """Start the keeper, if there is none. Raises SandboxError("StartFailed")."""
        if self.keeper:
            return self.keeper
        try:
            self.keeper = _spawn(self.limits, self._preload)
            async with asyncio.timeout(START_S):
                kind, value = await receive(self.keeper.control, frames.JSON_BYTES_MAX)
        except (EOFError, OSError, frames.Malformed) as error:
            self.stop()
            raise SandboxError("StartFailed", f"{type(error).__name__} {error}") from None
        except BaseException:
            self.stop()
            raise
        if kind != frames.READY:
            self.stop()
            raise _not_started(value)
        log.info("sandbox started", extra={"protections": value})
        return self.keeper

    async def fork(self, module: str) -> socket.socket:
        """Return the socket of a new child that waits for a call to a function of the module.

        Raises SandboxError("StartFailed") if the module cannot be imported, SandboxKilled.
        """
        for again in (True, False):
            try:
                return await self._fork(module, await self.start())
            except TimeoutError:
                self.stop()
                raise SandboxKilled("time") from None
            except (EOFError, OSError, frames.Malformed):
                # Somebody killed the keeper; no harm is done as long as no call has begun.
                self.stop()
                if not again:
                    raise SandboxKilled("crash") from None
                log.warning("sandbox keeper died")
        raise AssertionError("unreachable")

    def kill(self) -> None:
        """Have the child killed; returns at once, and the next fork waits for it to be gone."""
        if self.keeper:
            try:
                self.keeper.tell(frames.KILL)
                self._owed += 1
            except OSError:
                self.stop()

    async def how_it_ended(self) -> Reason:
        """Return why the child hung up."""
        if not self.keeper:
            return "crash"
        try:
            self.keeper.tell(frames.WAIT)
            self._owed += 1
            async with asyncio.timeout(START_S):
                end = await self._read_end(self.keeper)
        except (EOFError, OSError, frames.Malformed):
            self.stop()
            return "crash"
        return self._reason(**end)

    def stop(self) -> None:
        """Kill the keeper and forget it."""
        keeper, self.keeper, self._owed = self.keeper, None, 0
        if keeper:
            keeper.kill()
            keeper.control.close()

    async def _fork(self, module: str, keeper: Keeper) -> socket.socket:
        async with asyncio.timeout(START_S):
            while self._owed:
                await self._read_end(keeper)
            ours, theirs = socket.socketpair()
            try:
                ours.setblocking(False)
                with theirs:
                    frame = b"".join(frames.encode(frames.FORK, module))
                    socket.send_fds(keeper.control, [frame], [theirs.fileno()])
                kind, value = await receive(ours, frames.JSON_BYTES_MAX)
                if kind == frames.FAILED:
                    raise _not_started(value)
                if kind != frames.STARTED:
                    raise frames.Malformed("not started")
            except BaseException:
                ours.close()
                self.kill()
                raise
        return ours

    async def _read_end(self, keeper: Keeper) -> dict[str, Any]:
        try:
            kind, end = await receive(keeper.control, frames.JSON_BYTES_MAX)
            if kind != frames.ENDED:
                raise frames.Malformed("no end")
        except BaseException:
            self.stop()  # half of it may have been read
            raise
        self._owed -= 1
        return dict(end)

    def _reason(self, *, killed: bool, status: int, cpu_s: float, peak_bytes: int) -> Reason:
        if killed:
            return "crash"  # it hung up and lived on
        if not os.WIFSIGNALED(status):
            return "memory" if os.waitstatus_to_exitcode(status) == OUT_OF_MEMORY else "crash"
        number = os.WTERMSIG(status)
        if number == signal.SIGXCPU or cpu_s >= self.limits.cpu_s:
            return "cpu"
        # A library that gets no memory may abort. A child that was killed while it used little is
        # not to blame: the machine had no memory left, or is going down.
        return "memory" if peak_bytes > 0.75 * self.limits.memory_bytes else "crash"


def _not_started(told: Mapping[str, str]) -> SandboxError:
    return SandboxError("StartFailed", f"{told['kind']}: {told['message']}")


def _spawn(limits: Limits, preload: Sequence[str]) -> Keeper:
    folder = tempfile.mkdtemp(prefix="auditron-sandbox-")
    control, theirs = socket.socketpair()
    control.setblocking(False)
    options = {
        "control": theirs.fileno(),
        "path": [str(Path(entry).absolute()) for entry in sys.path],
        "limits": asdict(limits),
        "preload": list(preload),
        "folder": folder,
    }
    environment = {
        # Not a word of ours, but where an interpreter may find its library.
        **{name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ},
        "TMPDIR": folder,
        "OMP_NUM_THREADS": "1",  # numeric libraries start no threads, so that one can fork
        "OPENBLAS_NUM_THREADS": "1",
    }
    try:
        process = subprocess.Popen(  # noqa: S603  # our own interpreter and code
            [sys.executable, *_FLAGS, "-c", _MAIN, json.dumps(options)],
            env=environment,
            pass_fds=[theirs.fileno()],
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # a Ctrl-C at the terminal is ours to handle
        )
    except OSError:
        control.close()
        shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        theirs.close()
    return Keeper(process, control, folder)


async def receive(sock: socket.socket, limit: int) -> tuple[bytes, Any]:
    """Return kind and value of one frame of at most `limit` bytes from a non-blocking socket.

    Raises EOFError, OSError, Malformed, and SandboxError("OutputTooLarge").
    """
    header = await _exactly(sock, frames.HEADER.size)
    kind, text_size, parts_size = frames.HEADER.unpack(header)
    if kind not in frames.ANSWERS:
        raise frames.Malformed("no kind of answer")
    if text_size > frames.JSON_BYTES_MAX or text_size + parts_size > limit:
        raise SandboxError("OutputTooLarge", f"An answer of {text_size + parts_size} bytes.")
    text = await _exactly(sock, text_size)
    return kind, frames.decode(text, await _exactly(sock, parts_size))


async def _exactly(sock: socket.socket, size: int) -> bytearray:
    buffer = bytearray(size)
    view = memoryview(buffer)
    while view:
        count = await asyncio.get_running_loop().sock_recv_into(sock, view)
        if not count:
            raise EOFError
        view = view[count:]
    return buffer
