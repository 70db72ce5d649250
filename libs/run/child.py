"""One child process of the platform: started, restarted when it dies, stopped in good order."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

RESTART_S = 0.5
STOP_S = 20.0


@dataclass(frozen=True)
class Command:
    """A Python module to run, with its arguments and whole environment."""

    name: str  # as "invoice-api"
    arguments: Sequence[str]  # what follows "python"
    environment: Mapping[str, str]


class Child:
    """A process that is kept running until `stop`; it ends when its parent does."""

    def __init__(self, command: Command, logs: Path) -> None:
        self.command = command
        self.log = logs / f"{command.name}.log"
        self.restarts = 0
        self._process: asyncio.subprocess.Process | None = None
        self._watcher: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        process = self._process
        return process.pid if process and process.returncode is None else None

    async def start(self) -> None:
        """Start it, and start it again whenever it ends by itself."""
        await self._spawn()
        self._watcher = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """Ask it to end (SIGTERM), and kill it if it has not after 20 s."""
        if self._watcher:
            self._watcher.cancel()
            await asyncio.wait([self._watcher])
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), STOP_S)
        except TimeoutError:
            process.kill()
            await process.wait()

    def kill(self) -> None:
        """End it as a crash would (SIGKILL); it is started again by itself."""
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)

    async def _watch(self) -> None:
        while True:
            assert self._process is not None, "start() spawns before it watches"
            await self._process.wait()
            self.restarts += 1
            await asyncio.sleep(RESTART_S)
            await self._spawn()

    async def _spawn(self) -> None:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *self.command.arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**self.command.environment, "AUDITRON_PARENT_PID": str(os.getpid())},
                start_new_session=True,  # Ctrl-C in a terminal reaches the parent alone
            )
