"""What the folder remembers between runs: secrets and ports, in a file only its owner reads."""

import json
import secrets
from collections.abc import Mapping
from pathlib import Path

from .server import EmbeddedError, free_port, is_free

SECRETS = ("identity", "postgres_password", "redis_password", "s3_access_key", "s3_secret_key")
SERVERS = ("postgres", "redis", "s3")


class State:
    """The secrets, made once, and the ports, the same again if they are free at the start."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._secrets: dict[str, str] = {}
        self._ports: dict[str, int] = {}

    def load(self) -> None:
        """Read what an earlier run has kept and make the rest.

        EmbeddedError if the file is another user's.
        """
        kept = self._read()
        self._secrets = {name: str(kept.get(name) or secrets.token_hex(16)) for name in SECRETS}
        if not self._ports:  # once: the addresses may have been handed out
            for server in SERVERS:
                port = int(kept.get(server, 0))
                self._ports[server] = port if is_free(port) else free_port(self._ports.values())
        self._write({**self._secrets, **self._ports})

    def secret(self, name: str) -> str:
        """Return a secret of 32 hexadecimal digits."""
        return self._secrets[name]

    def port(self, server: str) -> int:
        """Return the port of a server."""
        return self._ports[server]

    def _read(self) -> dict[str, str | int]:
        try:
            kept: dict[str, str | int] = json.loads(self._file.read_text())
        except FileNotFoundError:
            return {}
        except PermissionError:
            raise EmbeddedError(f"{self._file.parent} belongs to another user") from None
        return kept

    def _write(self, values: Mapping[str, str | int]) -> None:
        aside = self._file.with_suffix(".new")
        aside.unlink(missing_ok=True)
        aside.touch(mode=0o600)
        aside.write_text(json.dumps(values, indent=1))
        aside.replace(self._file)
