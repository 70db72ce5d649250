"""The three servers over one folder: started together, with their addresses and secrets."""

import asyncio
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from .postgres import DATABASE, Postgres
from .redis import Redis
from .s3 import S3
from .server import EmbeddedError, Kind, Server, locked
from .state import State

# The setting that names a real server, for each embedded one.
REPLACED_BY = {"postgres": "ADMIN_DATABASE_URL", "redis": "REDIS_URL", "s3": "S3_ENDPOINT_URL"}
S3_DEFAULTS = {"S3_BUCKET": "auditron", "S3_REGION": "us-east-1"}
S3_KEYS = ("S3_ACCESS_KEY", "S3_SECRET_KEY")


class Embedded:
    """PostgreSQL, Redis and S3 in a folder; those that the environment names are not started.

    `postgres`, `redis` and `s3` can each be stopped, killed and started again on the same port.
    """

    def __init__(self, folder: Path, environ: Mapping[str, str] = os.environ) -> None:
        """Touch nothing yet; the folder is made at the start if it is absent."""
        self.folder = folder.resolve()
        self._environ = environ
        self._lock: IO[str] | None = None
        self._state = State(self.folder / "state.json")
        self._cluster = Postgres(self.folder, self._state)
        self.postgres = self._server(self._cluster)
        self.redis = self._server(Redis(self.folder, self._state))
        self.s3 = self._server(S3(self.folder, self._state))

    async def start(self) -> None:
        """Start what the environment does not replace, all at once: 0.1 s, first 1 to 2 s.

        EmbeddedError if another process or object has started the same folder.
        """
        servers = self._servers()
        if not servers:
            return
        self._lock = lock(self.folder)
        try:
            self._state.load()
            starts = [server.start() for server in servers]
            outcomes = await asyncio.gather(*starts, return_exceptions=True)
            raise_first(outcomes)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop the servers in good order and let go of the folder."""
        await asyncio.gather(*(server.stop() for server in self._servers()))
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    async def erase(self) -> None:
        """Stop the servers and delete the folder with all data."""
        await self.stop()
        with lock(self.folder):
            self._state.load()
            shutil.rmtree(self._cluster.data(), ignore_errors=True)
            shutil.rmtree(self.folder, ignore_errors=True)

    def env(self) -> dict[str, str]:
        """Return the settings by which clients find the servers, embedded or real.

        Keys: ADMIN_DATABASE_URL, REDIS_URL, S3_ENDPOINT_URL, S3_BUCKET, S3_ACCESS_KEY,
        S3_SECRET_KEY (both absent if a real S3 is given without), S3_REGION.
        """
        secret, port = self._state.secret, self._state.port
        found = dict(S3_DEFAULTS)
        if self._is_embedded("postgres"):
            login = f"postgres:{secret('postgres_password')}"
            found["ADMIN_DATABASE_URL"] = (
                f"postgresql://{login}@127.0.0.1:{port('postgres')}/{DATABASE}"
            )
        if self._is_embedded("redis"):
            found["REDIS_URL"] = f"redis://:{secret('redis_password')}@127.0.0.1:{port('redis')}/0"
        if self._is_embedded("s3"):
            found["S3_ENDPOINT_URL"] = f"http://127.0.0.1:{port('s3')}"
            found |= {name: secret(name.lower()) for name in S3_KEYS}
        names = {*REPLACED_BY.values(), *S3_DEFAULTS, *S3_KEYS} - found.keys() | S3_DEFAULTS.keys()
        return found | {name: self._environ[name] for name in names if self._environ.get(name)}

    def _server(self, kind: Kind) -> Server:
        return Server(kind, self.folder, lambda: self._state.port(kind.name))

    def _is_embedded(self, name: str) -> bool:
        return not self._environ.get(REPLACED_BY[name])

    def _servers(self) -> list[Server]:
        every = {"postgres": self.postgres, "redis": self.redis, "s3": self.s3}
        return [every[name] for name in every if self._is_embedded(name)]

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()


def raise_first(outcomes: Sequence[object]) -> None:
    """Raise the first exception among the outcomes, if there is one."""
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome


def lock(folder: Path) -> IO[str]:
    """Make the folder and lock it for this process until the returned file is closed."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        file = os.fdopen(os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600), "r+")
        folder.chmod(0o711 if os.geteuid() == 0 else 0o700)  # as root, another user passes through
    except PermissionError:
        raise EmbeddedError(f"{folder} belongs to another user") from None
    if not locked(file):
        holder = file.read()
        file.close()
        raise EmbeddedError(f"{folder} is in use by process {holder}")
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file
