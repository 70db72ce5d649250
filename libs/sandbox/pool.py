"""Sandboxed calls over a fixed number of workers."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from libs.sandbox import frames
from libs.sandbox.limits import Limits, SandboxError, SandboxKilled
from libs.sandbox.worker import Worker, receive

T = TypeVar("T")


class Sandbox:
    """Runs functions in children, `workers` at a time; more callers wait for their turn.

    Each call has a child of its own, forked from a process that has imported the function's module
    (and `preload`) but never sees a document: such modules must not start threads when imported.
    """

    def __init__(self, limits: Limits, workers: int = 1, preload: Sequence[str] = ()) -> None:
        self._workers = [Worker(limits, preload) for _ in range(workers)]
        self._closed = False
        self._idle: asyncio.LifoQueue[Worker] = asyncio.LifoQueue()
        for worker in self._workers:
            self._idle.put_nowait(worker)

    async def start(self) -> None:
        """Start the workers, so that the first calls need not. Raises SandboxError."""
        await asyncio.gather(*(worker.start() for worker in self._workers))

    async def close(self) -> None:
        """Kill everything that runs; whoever calls or waits gets SandboxKilled("crash")."""
        self._closed = True
        for worker in self._workers:
            if worker.keeper:
                worker.keeper.kill()  # a caller that waits for it sees that, and tidies up itself
        idle = [self._idle.get_nowait() for _ in range(self._idle.qsize())]
        for worker in idle:
            worker.stop()
            self._idle.put_nowait(worker)

    async def run(self, function: str, *args: object) -> Any:
        """Return what "module:function" returns for the arguments.

        Raises SandboxKilled, SandboxError; OSError for a Path that cannot be read, TypeError or
        ValueError for an argument that cannot travel.
        """
        async with self._job(function, args, stream=False) as job:
            kind, value = await job.receive()
            if kind != frames.RESULT:
                raise SandboxKilled("crash")
            return value

    async def stream(self, function: str, *args: object) -> AsyncIterator[Any]:
        """Yield what the generator "module:function" yields; raises as `run` does, at any item.

        The child works ahead by what a socket holds, no further. Leaving the loop early kills it:
        use contextlib.aclosing to have that happen at once.
        """
        async with self._job(function, args, stream=True) as job:
            while True:
                kind, value = await job.receive()
                if kind == frames.RESULT:
                    return
                if kind != frames.ITEM:
                    raise SandboxKilled("crash")
                yield value

    @asynccontextmanager
    async def _job(
        self, function: str, args: Sequence[object], *, stream: bool
    ) -> AsyncIterator["_Job"]:
        module, _, name = function.partition(":")
        worker = await self._idle.get()
        files: list[int] = []
        try:
            if self._closed:
                raise SandboxKilled("crash")
            call = {"name": name, "stream": stream, "args": args}
            buffers = frames.encode(frames.CALL, call, files)
            with await worker.fork(module) as sock:
                job = _Job(worker, sock)
                try:
                    await job.send(buffers, files)
                    buffers.clear()
                    yield job
                finally:
                    job.end()
        finally:
            for fd in files:
                os.close(fd)
            self._idle.put_nowait(worker)


class _Job:
    """One call in its child."""

    def __init__(self, worker: Worker, sock: socket.socket) -> None:
        self._worker = worker
        self._sock = sock
        self._left_s = worker.limits.wall_s
        self._gone = False

    async def send(self, call: Sequence[bytes], files: Sequence[int]) -> None:
        """Give the call to the child."""
        await self._within(self._send(call, files))

    async def receive(self) -> tuple[bytes, Any]:
        """Return kind and value of the child's next frame. Raises SandboxKilled, SandboxError."""
        kind, value = await self._within(receive(self._sock, self._worker.limits.output_bytes))
        if kind != frames.FAILED:
            return kind, value
        if not isinstance(value, dict) or value.keys() != {"kind", "message"}:
            raise SandboxKilled("crash")
        raise SandboxError(str(value["kind"])[:100], str(value["message"])[:1_000])

    def end(self) -> None:
        """Have the child killed, if it is not known to be gone."""
        if not self._gone:
            self._worker.kill()

    async def _send(self, call: Sequence[bytes], files: Sequence[int]) -> None:
        header, *rest = call
        socket.send_fds(self._sock, [header], files)
        for buffer in rest:
            await asyncio.get_running_loop().sock_sendall(self._sock, buffer)

    async def _within(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what the work returns, if the time that is left suffices. Raises SandboxKilled."""
        clock = asyncio.get_running_loop().time
        begin = clock()
        try:
            async with asyncio.timeout(self._left_s):
                return await work
        except TimeoutError:
            raise SandboxKilled("time") from None
        except (EOFError, OSError):
            self._gone = True
            raise SandboxKilled(await self._worker.how_it_ended()) from None
        except frames.Malformed:
            raise SandboxKilled("crash") from None
        finally:
            self._left_s -= clock() - begin
