"""The stores in containers, against a Docker engine of ours at the wire."""

import json
import os
import re
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

from libs.embedded import EmbeddedError
from libs.testkit.containers import VALUES, containers

ROOT = Path(__file__).parents[3]
ALONE = {
    "TESTCONTAINERS_RYUK_DISABLED": "true",
    "TESTCONTAINERS_CONNECTION_MODE": "docker_host",
}
LOGS = {
    "postgres": "database system is ready to accept connections\n" * 2,
    "redis": "Ready to accept connections tcp\n",
    "rclone/rclone": "NOTICE: Local file system at /tmp: Starting s3 server on [http://[::]:9000/]\n",
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
            text = LOGS[made["Image"].partition(":")[0]].encode()
            frame = b"\x02\0\0\0" + len(text).to_bytes(4, "big") + text
            return (frame if "stderr=1" in self.path else b""), 200
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


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_versions_of_the_development_cluster_run_and_end_with_the_run(
    engine: Engine,
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
    key = f"{env['S3_ACCESS_KEY']},{env['S3_SECRET_KEY']}"
    assert f"RCLONE_AUTH_KEY={key}" in engine.made[2]["Env"]
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
