"""All services, their workers and the gateway as processes over embedded or real stores."""

import asyncio
import base64
import json
import os
import secrets
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path

from libs.blobs import Blobs, BlobSettings
from libs.embedded import Embedded
from libs.embedded.server import free_port, is_free
from libs.pg import role_url
from libs.run import schemas
from libs.run.child import Child, Command

ROOT = Path(__file__).resolve().parents[2]
GATEWAY_PORT = 8080
READY_S = 60.0
# What a child must not inherit: the key to every schema.
WITHHELD = ("ADMIN_DATABASE_URL",)
Progress = Callable[[str], None]


def service_names() -> list[str]:
    """Every service there is: the folders of services/ that have an app.py."""
    return sorted(path.parent.name for path in (ROOT / "services").glob("*/app.py"))


class Platform:
    """The whole platform over one folder, which keeps its data, secrets, ports and logs."""

    def __init__(
        self,
        folder: Path,
        *,
        split: bool = False,
        settings: Mapping[str, str] | None = None,
        gateway_port: int | None = None,
    ) -> None:
        """Takes split=True for a process per role; settings go to every process."""
        self.folder = folder.resolve()
        self.embedded = Embedded(self.folder)
        self.children: dict[str, Child] = {}
        self._split = split
        self._settings = dict(settings or {})
        self._state = _State(self.folder / "platform.json")
        preferred = gateway_port or GATEWAY_PORT
        self._gateway_port = preferred if is_free(preferred) else free_port()

    @property
    def url(self) -> str:
        """The gateway's address."""
        return f"http://127.0.0.1:{self._gateway_port}"

    def address(self, name: str) -> str:
        """Where a service's gRPC server listens."""
        return f"127.0.0.1:{self._state.port(name)}"

    def secret(self, name: str) -> str:
        """A secret of the platform, 64 random hexadecimal digits, the same for the same name."""
        return self._state.secret(name)

    async def start(self, progress: Progress = lambda _: None) -> None:
        """Start stores, migrate, start every process, and wait until all are ready."""
        progress("starting PostgreSQL, Redis and the object store")
        await self.embedded.start()
        try:
            await self._start_over_stores(progress)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop the gateway first, then the services, then the stores."""
        gateway = self.children.get("gateway")
        if gateway:
            await gateway.stop()
        await asyncio.gather(*(child.stop() for child in self.children.values()))
        await self.embedded.stop()

    async def _start_over_stores(self, progress: Progress) -> None:
        environment = self.embedded.env()
        names = service_names()
        progress("bringing the schemas up to date")
        await asyncio.gather(
            schemas.bring_up_to_date(environment["ADMIN_DATABASE_URL"], names, self._state.secret),
            Blobs(BlobSettings.from_env(environment)).ensure_bucket(),
        )
        progress(f"starting {', '.join(names)} and the gateway")
        logs = self.folder / "logs"
        for command in self._commands(names, environment):
            self.children[command.name] = Child(command, logs)
        await asyncio.gather(*(child.start() for child in self.children.values()))
        await self._wait_until_ready()

    def _commands(self, names: list[str], stores: Mapping[str, str]) -> list[Command]:
        base = {key: value for key, value in os.environ.items() if key not in WITHHELD}
        base |= {key: value for key, value in stores.items() if key not in WITHHELD}
        base |= {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
        base |= {f"{name.upper()}_ADDRESS": self.address(name) for name in names}
        base |= self._settings
        made = []
        for name in names:
            roles = ["api", "worker"] if self._split else ["all"]
            for role in roles:
                environment = base | self._service_environment(name, role, names, stores)
                arguments = ["-m", "libs.run", name, "--role", role]
                label = f"{name}-{role}" if self._split else name
                made.append(Command(label, arguments, environment))
        listen = {
            "GATEWAY_LISTEN": f"127.0.0.1:{self._gateway_port}",
            "GATEWAY_METRICS_LISTEN": f"127.0.0.1:{self._state.port('gateway-metrics')}",
        }
        made.append(Command("gateway", ["-m", "gateway"], base | listen))
        return made

    def _service_environment(
        self, name: str, role: str, names: list[str], stores: Mapping[str, str]
    ) -> dict[str, str]:
        admin, upper, secret = stores["ADMIN_DATABASE_URL"], name.upper(), self._state.secret
        found = {
            f"{upper}_LISTEN": self.address(name),
            f"{upper}_METRICS_LISTEN": f"127.0.0.1:{self._state.port(f'{name}-{role}-metrics')}",
            f"{upper}_DATABASE_URL": role_url(admin, f"{name}_app", secret(f"{name}_app")),
            f"{upper}_SYSTEM_DATABASE_URL": role_url(
                admin, f"{name}_system", secret(f"{name}_system")
            ),
            f"{upper}_SERVICE_SECRET": secret(f"{name}_service"),
        }
        if name == "auth":
            hashes = {n: sha256(secret(f"{n}_service").encode()).hexdigest() for n in names}
            key = base64.b64encode(bytes.fromhex(secret("key_encryption_key"))).decode()
            found["AUTH_SERVICE_SECRETS"] = ",".join(f"{n}={h}" for n, h in hashes.items())
            found["AUTH_KEY_ENCRYPTION_KEY"] = key
        return {key: os.environ.get(key, value) for key, value in found.items()}

    async def _wait_until_ready(self) -> None:
        deadline = asyncio.get_running_loop().time() + READY_S
        while True:
            failure = await asyncio.to_thread(probe, f"{self.url}/readyz")
            if failure is None:
                return
            broken = [child for child in self.children.values() if child.restarts > 2]
            if broken or asyncio.get_running_loop().time() > deadline:
                named = broken or list(self.children.values())
                tails = "\n".join(f"--- {child.log}\n{tail(child.log)}" for child in named)
                raise RuntimeError(f"The platform did not become ready: {failure}\n{tails}")
            await asyncio.sleep(0.1)


class _State:
    """Secrets and ports, made once and kept in a file that only its owner reads."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._values: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
        self._checked: set[str] = set()

    def secret(self, name: str) -> str:
        """64 random hexadecimal digits, the same for the same name."""
        return self._values.get(name) or self._keep(name, secrets.token_hex(32))

    def port(self, name: str) -> int:
        """A port of the loopback address; the same as last time where that is free."""
        key = f"{name}_port"
        if key in self._checked:
            return int(self._values[key])
        self._checked.add(key)
        remembered = int(self._values.get(key, 0))
        taken = {value for kept, value in self._values.items() if kept.endswith("_port")}
        if remembered and is_free(remembered):
            return remembered
        fresh = free_port()
        while str(fresh) in taken:
            fresh = free_port()
        return int(self._keep(key, str(fresh)))

    def _keep(self, name: str, value: str) -> str:
        self._values[name] = value
        aside = self._file.with_suffix(".new")
        aside.touch(mode=0o600)
        aside.write_text(json.dumps(self._values, indent=1))
        aside.replace(self._file)
        return value


def probe(url: str) -> str | None:
    """None if a GET answers 200, else what it answers."""
    try:
        with urllib.request.urlopen(url, timeout=2):  # noqa: S310  # our own loopback address
            return None
    except urllib.error.HTTPError as error:
        return f"{error.code} {error.read(500).decode(errors='replace')}"
    except OSError as error:
        return str(error)


def tail(file: Path, size: int = 1500) -> str:
    """The end of a file, '' if it is absent."""
    return file.read_text(errors="replace")[-size:] if file.exists() else ""


def say(text: str) -> None:
    """Print a line of progress."""
    sys.stderr.write(f"· {text}\n")
    sys.stderr.flush()
