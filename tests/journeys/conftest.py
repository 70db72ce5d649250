"""The whole platform, started once for all journeys, and people who use it."""

import asyncio
import itertools
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from examples.demo import NOTHING_FOREIGN
from libs.run.platform import ROOT, Platform

EXAMPLES = ROOT / "examples"
PASSWORD = "a password for journeys"
TYPES = {".pdf": "application/pdf", ".xml": "application/xml", ".jpg": "image/jpeg",
         ".csv": "text/csv"}  # fmt: skip


@dataclass
class Person:
    """Somebody with a token."""

    http: httpx.AsyncClient
    token: str
    organization_id: str
    email: str

    async def call(self, method: str, path: str, **request: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token}"} | request.pop("headers", {})
        return await self.http.request(method, path, headers=headers, **request)

    async def get(self, path: str, **params: Any) -> Any:
        answer = await self.call("GET", path, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def post(self, path: str, body: Any = None, **request: Any) -> Any:
        answer = await self.call("POST", path, json=body or {}, **request)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def send(self, path: str, file: Path, **params: str) -> httpx.Response:
        headers = {"Content-Type": TYPES[file.suffix]}
        params["filename"] = file.name
        return await self.call(
            "POST", path, params=params, content=file.read_bytes(), headers=headers
        )

    async def until(
        self, path: str, is_so: Callable[[Any], bool], within_s: float = 60, **params: Any
    ) -> Any:
        """GET again and again until the answer is so."""
        deadline = asyncio.get_running_loop().time() + within_s
        while True:
            answer = await self.call("GET", path, params=params)
            if answer.status_code == 200 and is_so(answer.json()):
                return answer.json()
            assert asyncio.get_running_loop().time() < deadline, answer.text
            await asyncio.sleep(0.1)


@pytest.fixture(scope="session")
async def platform() -> AsyncIterator[Platform]:
    """As somebody starts it who has keys of foreign services in the environment."""
    folder = Path(tempfile.mkdtemp(prefix="auditron-journeys-"))
    with pytest.MonkeyPatch.context() as exported:
        for name in NOTHING_FOREIGN:
            exported.setenv(name, "of the developer's own")
        running = Platform(folder, settings=NOTHING_FOREIGN, gateway_port=8095)
        await running.start()
    yield running
    await running.stop()
    await running.embedded.erase()


@pytest.fixture(scope="session")
async def sign_up(platform: Platform):
    numbers = itertools.count()
    async with httpx.AsyncClient(base_url=platform.url, timeout=30) as http:

        async def make() -> Person:
            email = f"journey-{next(numbers)}-{uuid.uuid4().hex[:6]}@example.com"
            answer = await http.post("/v1/signup", json={
                "email": email, "password": PASSWORD,
                "organization_name": "Harbour Lane Trading GmbH", "base_currency_code": "EUR",
            })  # fmt: skip
            assert answer.status_code == 200, answer.text
            tokens = answer.json()
            organization_id = tokens["organization"]["organization_id"]
            return Person(http, tokens["access_token"], organization_id, email)

        yield make
