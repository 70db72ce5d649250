"""What a child may use, and how it ends when it uses more."""

from dataclasses import dataclass
from typing import Literal

MIB = 1024 * 1024
Reason = Literal["memory", "cpu", "time", "crash"]


@dataclass(frozen=True)
class Limits:
    """The most that one call may use."""

    memory_bytes: int = 512 * MIB  # address space, the interpreter's own 50 MB or so included
    cpu_s: float = 5  # rounded up to whole seconds; of a whole stream
    wall_s: float = 10  # of a stream: only the time that the caller spends waiting for items
    output_bytes: int = 32 * MIB  # one result or one item; of its JSON at most 8 MiB
    file_bytes: int = 64 * MIB  # one temporary file


class SandboxKilled(Exception):  # noqa: N818  # says what happened
    """The child was killed, or died, before it answered; "crash" may be the machine's doing."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(f"The sandboxed call was stopped: {reason}.")
        self.reason: Reason = reason


class SandboxError(Exception):
    """The function raised, or its answer cannot be taken. Kind and message are the child's.

    Kind "StartFailed" is the sandbox's own: the function was not called.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind
        self.message = message
