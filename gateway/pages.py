"""The gateway's own pages: health, the OpenAPI document, and a page to try it."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from importlib.resources import files
from typing import Any

import orjson

from gateway.asgi import Exchange, Header
from gateway.backends import Backends
from gateway.openapi import document
from gateway.routes import Route

FRESH_S = 1.0  # so long an answer about health is given again

# Nothing from elsewhere, nothing inline: the page holds the user's token.
_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    b"img-src 'self' data: blob:; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
_PAGE_HEADERS: Sequence[Header] = (
    (b"content-security-policy", _POLICY),
    (b"cross-origin-opener-policy", b"same-origin"),
)
_STATIC = {
    "/docs": ("docs.html", b"text/html; charset=utf-8"),
    "/docs/docs.js": ("docs.js", b"text/javascript; charset=utf-8"),
    "/docs/docs.css": ("docs.css", b"text/css; charset=utf-8"),
}

Page = Callable[..., Coroutine[Any, Any, None]]


class Pages:
    """What is answered here, without a token."""

    def __init__(self, routes: Sequence[Route], backends: Backends) -> None:
        self._routes = routes
        self._backends = backends
        self._document = b""
        self._looking = asyncio.Lock()
        self._fresh_until = 0.0
        self._health: Mapping[str, bool] = {}
        self._pages: dict[str, Page] = {
            "/healthz": self._healthz,
            "/readyz": self._readyz,
            "/openapi.json": self._openapi,
            **{path: _static(name, kind) for path, (name, kind) in _STATIC.items()},
        }

    def get(self, path: str) -> Page | None:
        """Return the page at the path, None if there is none."""
        return self._pages.get(path)

    async def _healthz(self, exchange: Exchange, *, ready: bool) -> None:
        """Say that the process lives, whatever it waits for."""
        await exchange.answer(200, orjson.dumps({"alive": True, "draining": not ready}))

    async def _readyz(self, exchange: Exchange, *, ready: bool) -> None:
        """Say whether requests are wanted, and which services can be asked."""
        async with self._looking:
            if time.monotonic() >= self._fresh_until:
                self._health = await self._backends.health()
                self._fresh_until = time.monotonic() + FRESH_S
        ready = ready and bool(self._health) and all(self._health.values())
        body = orjson.dumps({"ready": ready, "services": dict(self._health)})
        await exchange.answer(200 if ready else 503, body)

    async def _openapi(self, exchange: Exchange, *, ready: bool) -> None:  # noqa: ARG002
        self._document = self._document or orjson.dumps(document(self._routes))
        exchange.cache_control = b"no-cache"
        await exchange.answer(200, self._document)


def _static(name: str, content_type: bytes) -> Page:
    content = (files("gateway") / "static" / name).read_bytes()

    async def page(exchange: Exchange, *, ready: bool) -> None:  # noqa: ARG001
        exchange.cache_control = b"no-cache"
        await exchange.answer(200, content, content_type, _PAGE_HEADERS)

    return page
