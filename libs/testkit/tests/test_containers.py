"""The stores in containers, against a Docker engine of ours at the wire."""

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from testcontainers.core.config import ConnectionMode, testcontainers_config

from libs.blobs import Blobs, BlobSettings
from libs.embedded import EmbeddedError, free_port
from libs.embedded.s3 import program
from libs.testkit import eventually
from libs.testkit.containers import VALUES, containers

ROOT = Path(__file__).parents[3]
ALONE = {
    "TESTCONTAINERS_RYUK_DISABLED": "true",
    "TESTCONTAINERS_CONNECTION_MODE": "docker_host",
}
# What each says on stdout and on stderr.
LOGS = {
    "postgres": ["LOG:  database system is ready to accept connections\n"] * 2,
    "redis": ["* Ready to accept connections tcp\n", ""],
    "rclone/rclone": ["", "NOTICE: Local file system at /tmp: Starting s3 server on [::]:9000\n"],
}


class Engine(ThreadingHTTPServer):
    """As much of the Docker Engine API v1.44 as a container's life takes."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.made: list[dict[str, Any]] = []
        self.removed: list[str] = []


class Handler(BaseHTTPRequestHandler):
    server: Engine

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._answer(*self._found(re.sub(r"^/v[\d.]+", "", urlsplit(self.path).path)))

    def _found(self, path: str) -> tuple[Any, int]:
        if path == "/version":
            return {"ApiVersion": "1.44", "MinAPIVersion": "1.24"}, 200
        if path.startswith("/images/"):
            return {"Id": "sha256:1"}, 200
        if not (named := re.match(r"/containers/(\d+)/", path)):
            return {"message": f"no {path}"}, 404
        made = self.server.made[int(named[1])]
        if path.endswith("/logs"):
            stream = 1 if "stdout=1" in self.path else 2
            text = LOGS[made["Image"].partition(":")[0]][stream - 1].encode()
            return bytes([stream, 0, 0, 0]) + len(text).to_bytes(4, "big") + text, 200
        [port] = made["ExposedPorts"]
        ports = {port: [{"HostIp": "0.0.0.0", "HostPort": str(40_000 + int(named[1]))}]}
        return {
            "Id": named[1],
            "Name": f"/{named[1]}",
            "Config": {"Image": made["Image"], "Tty": False},
            "State": {"Status": "running", "Running": True},
            "NetworkSettings": {"Ports": ports},
        }, 200

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if "/containers/create" not in self.path:
            return self._answer(b"", 204)
        self.server.made.append(json.loads(body))
        return self._answer({"Id": f"{len(self.server.made) - 1}", "Warnings": []}, 201)

    def do_DELETE(self) -> None:
        self.server.removed += re.findall(r"/containers/(\d+)", self.path)
        self._answer(b"", 204)

    def _answer(self, body: Any, status: int = 200) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        kind = "application/octet-stream" if isinstance(body, bytes) else "application/json"
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    with Engine() as found:
        thread = threading.Thread(target=found.serve_forever)
        thread.start()
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{found.server_port}")
        # Else the library starts a container that clears up, and asks whether it is in one itself.
        monkeypatch.setattr(testcontainers_config, "ryuk_disabled", True)
        host = ConnectionMode.docker_host
        monkeypatch.setattr(testcontainers_config, "connection_mode_override", host)
        yield found
        found.shutdown()
        thread.join()


async def serves_s3(key: str, env: dict[str, str], folder: Path) -> bool:
    """Whether the server of the image, here from its wheel, takes the key that the image gets."""
    port = free_port()
    address = f"127.0.0.1:{port}"
    server = await asyncio.create_subprocess_exec(
        program(), "serve", "s3", folder, "--addr", address, "--config", "/dev/null",
        env=os.environ | {"RCLONE_AUTH_KEY": key},
    )  # fmt: skip
    try:
        await eventually(lambda: asyncio.to_thread(is_open, port), bool)
        settings = env | {"S3_ENDPOINT_URL": f"http://127.0.0.1:{port}", "S3_BUCKET": "trial"}
        blobs = Blobs(BlobSettings.from_env(settings))
        await blobs.ensure_bucket()
        await blobs.close()
        return server.returncode is None
    finally:
        server.kill()
        await server.wait()


def is_open(port: int) -> bool:
    with socket.socket() as found:
        return found.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_the_versions_of_the_development_cluster_run_and_end_with_the_run(
    engine: Engine, tmp_path: Path
) -> None:
    images = yaml.safe_load(VALUES.read_text())["images"]
    with containers() as env:
        assert env["ADMIN_DATABASE_URL"].endswith("@127.0.0.1:40000/postgres")
        assert env["REDIS_URL"] == "redis://127.0.0.1:40001/0"
        assert env["S3_ENDPOINT_URL"] == "http://127.0.0.1:40002"
        assert engine.removed == []
    assert [each["Image"] for each in engine.made] == [
        images["postgres"], images["redis"], images["s3"],
    ]  # fmt: skip
    password = urlsplit(env["ADMIN_DATABASE_URL"]).password
    assert f"POSTGRES_PASSWORD={password}" in engine.made[0]["Env"]
    [key] = [each for each in engine.made[2]["Env"] if each.startswith("RCLONE_AUTH_KEY=")]
    assert await serves_s3(key.partition("=")[2], env, tmp_path)
    assert sorted(engine.removed) == ["0", "1", "2"]


def test_without_an_engine_a_run_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:9")
    with pytest.raises(EmbeddedError, match="no Docker engine is found"), containers():
        pass


def test_a_run_asks_for_them(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "import os\ndef test_it(): assert os.environ['REDIS_URL'] == 'redis://127.0.0.1:40001/0'\n"
    )
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "libs.testkit.plugin", "--stores=containers",
         "-o", "asyncio_default_fixture_loop_scope=session", "--rootdir", tmp_path, tmp_path],
        cwd=ROOT, env=os.environ | ALONE | {"PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    assert sorted(engine.removed) == ["0", "1", "2"]
