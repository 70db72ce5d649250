"""A worker's process: imports trusted code, then forks one confined child per call."""

import gc
import os
import shutil
import signal
import socket
import time
from contextlib import suppress
from importlib import import_module
from typing import Any

from libs.sandbox.confinement import Confinement, prepare
from libs.sandbox.frames import (
    CALL,
    ENDED,
    FAILED,
    FORK,
    ITEM,
    READY,
    RESULT,
    STARTED,
    WAIT,
    Malformed,
    decode,
    receive,
    send,
)

OUT_OF_MEMORY = 99  # exit status of a child that had no memory left, not even to say so
_DYING_S = 1  # how long a child that hung up may take to die by itself
_MESSAGE_LIMIT = 1_000  # characters


def keep(
    *, control: int, path: list[str], limits: dict[str, float], preload: list[str], folder: str
) -> None:
    """Serve the worker at the other end of the socket until it hangs up."""
    worker = socket.socket(fileno=control)
    try:
        confinement = prepare(
            int(limits["memory_bytes"]), limits["cpu_s"], int(limits["file_bytes"]), path, folder
        )
        for module in preload:
            import_module(module)
    except Exception as error:  # noqa: BLE001  # whatever a module raises, the worker tells it
        send(worker, FAILED, _describe(error))
        return
    send(worker, READY, confinement.in_force())
    child = 0
    with suppress(EOFError, OSError):  # the worker is gone, and with it every use of this process
        while True:
            kind, text, _, fds = receive(worker)
            if kind == FORK:
                child = _fork(decode(text, bytearray()), fds[0], confinement, worker)
            else:
                send(worker, ENDED, _bury(child, folder, wait=kind == WAIT))
                child = 0
    if child:
        _bury(child, folder, wait=False)
    shutil.rmtree(folder, ignore_errors=True)


def _fork(module: str, job: int, confinement: Confinement, worker: socket.socket) -> int:
    """Import the module once for all children, then fork one for the job's socket."""
    failure: Exception | None = None
    try:
        import_module(module)
    except Exception as error:  # noqa: BLE001  # the child tells it to the caller
        failure = error
    gc.freeze()  # else the first collection in a child copies all that it shares with us
    keeper = os.getpid()
    child = os.fork()
    if child:
        os.close(job)
        return child
    try:
        worker.close()
        with socket.socket(fileno=job) as caller:
            _answer(caller, module, failure, confinement, keeper)
    finally:
        os._exit(0)  # no clean-up of the keeper's things, and nothing that a function registered


def _answer(
    caller: socket.socket,
    module: str,
    failure: Exception | None,
    confinement: Confinement,
    keeper: int,
) -> None:
    try:
        confinement.enter(keeper)
        if failure:
            raise failure
        send(caller, STARTED, None)
        _call(caller, module)
    except MemoryError:
        os._exit(OUT_OF_MEMORY)
    except BaseException as error:  # noqa: BLE001  # SystemExit too is an answer
        send(caller, FAILED, _describe(error))


def _call(caller: socket.socket, module: str) -> None:
    kind, text, parts, fds = receive(caller)
    if kind != CALL:
        raise Malformed("no call")
    files = [os.fdopen(fd, "rb") for fd in fds]
    call = decode(text, parts, files)
    del text, parts
    answer = getattr(import_module(module), call["name"])(*call["args"])
    if call["stream"]:
        for item in answer:
            send(caller, ITEM, item)
        answer = None
    send(caller, RESULT, answer)


def _bury(child: int, folder: str, *, wait: bool) -> dict[str, Any]:
    """Return how the child ended; kills it, unless `wait` and it dies by itself."""
    deadline = time.monotonic() + (_DYING_S if wait else 0)
    pid, status, used = os.wait4(child, os.WNOHANG)
    killed = False
    while not pid:
        if killed := time.monotonic() >= deadline:
            os.kill(child, signal.SIGKILL)
            pid, status, used = os.wait4(child, 0)
        else:
            time.sleep(0.002)
            pid, status, used = os.wait4(child, os.WNOHANG)
    for entry in os.scandir(folder):
        with suppress(OSError):
            os.unlink(entry.path)  # noqa: PTH108
    return {
        "killed": killed,  # by us
        "status": status,
        "cpu_s": used.ru_utime + used.ru_stime,
        "peak_bytes": used.ru_maxrss * 1024,
    }


def _describe(error: BaseException) -> dict[str, str]:
    message = str(error)[:_MESSAGE_LIMIT].encode(errors="replace").decode()
    return {"kind": type(error).__name__, "message": message}
