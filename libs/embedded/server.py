"""One server process: started, waited for, stopped, killed and started again on the same port."""

import asyncio
import contextlib
import fcntl
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Protocol

LAUNCH = Path(__file__).with_name("launch.py")
START_TIMEOUT_S = 60.0  # long, because recovery after a kill may have much to replay
STOP_TIMEOUT_S = 15.0
ANSWER_TIMEOUT_S = 2.0
# Below every system's range of outgoing ports: a client that reconnects to a port inside that
# range may connect to itself while the server is down.
PORTS = range(20_000, 30_000)


class EmbeddedError(Exception):
    """An embedded server cannot run; the message says why, with the end of its log."""


@dataclass(frozen=True)
class Command:
    """What to execute: arguments, the environment beside PATH, and (uid, gid) or None for us."""

    arguments: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    user: tuple[int, int] | None = None


class Kind(Protocol):
    """What differs between the three servers."""

    name: str
    stop_signal: signal.Signals

    def prepare(self, port: int) -> Command:
        """Make the data ready and return the command; called in a thread before every start."""

    async def ready(self, pid: int, port: int) -> bool:
        """Say whether the process answers; a ConnectionError counts as no."""


class Server:
    """A child process of one kind, with its log and pid file in the given folder."""

    def __init__(self, kind: Kind, folder: Path, port: Callable[[], int]) -> None:
        self._kind = kind
        self._port = port
        self._log = folder / "logs" / f"{kind.name}.log"
        self._pid_file = folder / f"{kind.name}.pid"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process id while it runs, else None."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    async def start(self) -> None:
        """Start it, if it does not run, and wait until it answers; EmbeddedError if it fails.

        The calling thread must live as long as the server: Linux ends the child with that thread.
        """
        if self.pid is not None:
            return
        port = self._port()
        with await asyncio.to_thread(claim, self._pid_file, self._kind.stop_signal) as pid_file:
            if not is_free(port):
                raise EmbeddedError(f"another program has taken {self._kind.name}'s port {port}")
            command = await asyncio.to_thread(self._kind.prepare, port)
            process = self._spawn(command, pid_file)
            pid_file.write(str(process.pid))
        deadline = time.monotonic() + START_TIMEOUT_S
        while not await self._answers(process.pid, port):
            if process.poll() is not None:
                raise self._error(f"ended with status {process.returncode}")
            if time.monotonic() > deadline:
                await self.kill()
                raise self._error(f"did not answer within {START_TIMEOUT_S:.0f} s")
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        """Ask it to end in good order, and kill it if it has not after 15 s."""
        await self._end(self._kind.stop_signal)

    async def kill(self) -> None:
        """End it as a crash would (kill -9); the data stays, `start` recovers it."""
        await self._end(signal.SIGKILL)

    async def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(how)
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while process.poll() is None:
            if time.monotonic() > deadline:
                process.kill()
            await asyncio.sleep(0.005)

    async def _answers(self, pid: int, port: int) -> bool:
        with contextlib.suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                return await self._kind.ready(pid, port)
        return False

    def _spawn(self, command: Command, pid_file: IO[str]) -> subprocess.Popen[bytes]:
        user, group = command.user or ("-", "-")
        death_signal = int(self._kind.stop_signal)
        launch = [sys.executable, "-I", "-S", LAUNCH, os.getpid(), death_signal, user, group]
        self._log.parent.mkdir(exist_ok=True)
        if self._log.exists():
            self._log.replace(self._log.with_suffix(".log.1"))
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603
                [*map(str, launch), *command.arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd="/",
                env={"PATH": os.defpath, "LC_ALL": "C", **command.environment},
                pass_fds=[pid_file.fileno()],
                start_new_session=True,  # so that Ctrl-C in a terminal reaches us alone
            )
        return self._process

    def _error(self, what: str) -> EmbeddedError:
        tail = self._log.read_text(errors="replace")[-2000:]
        return EmbeddedError(f"{self._kind.name} {what}; the end of {self._log}:\n{tail}")


def claim(path: Path, stop_signal: signal.Signals) -> IO[str]:
    """Return the pid file, emptied and locked, once no process of a killed run is left.

    Server and children inherit the lock with the open file, so that it tells for certain whether
    the pid in it is still theirs and whether the last of them has gone. EmbeddedError after 30 s.
    """
    file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+")
    deadline = time.monotonic() + STOP_TIMEOUT_S
    how = stop_signal
    while not locked(file):
        file.seek(0)
        pid = file.read()
        if time.monotonic() > deadline:
            if how == signal.SIGKILL:
                file.close()
                raise EmbeddedError(f"a process left by {pid} of {path} does not end")
            how, deadline = signal.SIGKILL, time.monotonic() + STOP_TIMEOUT_S
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), how)
        time.sleep(0.01)
    file.seek(0)
    file.truncate()
    return file


def locked(file: IO[str]) -> bool:
    """Lock the open file if nobody else has; say whether it did."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_free(port: int) -> bool:
    """Say whether a server could listen on this port of the loopback address."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
        return port != 0


def free_port(taken: Container[int] = ()) -> int:
    """Find a port of the loopback address on which nobody listens, other than those taken."""
    for port in random.sample(PORTS, 200):
        if port not in taken and is_free(port):
            return port
    raise EmbeddedError("no free port found between 20000 and 30000")
