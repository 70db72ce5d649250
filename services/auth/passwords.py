"""Hashes and checks passwords (argon2id, OWASP's parameters) in threads, a few at a time."""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from libs.rpc import Unavailable

WAITING_MAX = 64  # a check takes some 20 ms of a core
THREADS_MAX = 4  # each takes 19 MiB while it works, and a node has more cores than a pod may use


class Passwords:
    """A thread for each core, up to four; argon2 lets go of the interpreter while it works."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
        self._threads = ThreadPoolExecutor(min(os.cpu_count() or 1, THREADS_MAX), "argon2")
        self._waiting = 0
        self._nobody = self._hasher.hash("the password of a user who does not exist")

    async def hash(self, password: str) -> str:
        """The encoded hash. Raises Unavailable when too many wait."""
        return await self._in_thread(self._hasher.hash, password)

    async def check(self, encoded: str | None, password: str) -> bool:
        """Whether the password is right; takes as long for a user who does not exist (None)."""
        right = await self._in_thread(self._verify, encoded or self._nobody, password)
        return bool(right) and encoded is not None

    def is_dated(self, encoded: str) -> bool:
        """Whether the hash was made with other parameters than today's."""
        return self._hasher.check_needs_rehash(encoded)

    def _verify(self, encoded: str, password: str) -> str:
        try:
            return "right" if self._hasher.verify(encoded, password) else ""
        except (VerificationError, InvalidHashError):
            return ""

    async def _in_thread(self, work: Callable[..., str], *args: str) -> str:
        if self._waiting >= WAITING_MAX:
            raise Unavailable("Too many logins at once.", retry_after_s=1)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, *args)
        finally:
            self._waiting -= 1
