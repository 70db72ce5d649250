"""The ASGI application: finds the route, who asks, whether they may ask so often, and answers."""

import asyncio
import logging
import os
import time
from collections.abc import Mapping
from typing import Any

import grpc
from auditron.auth.v1 import auth_pb2, auth_pb2_grpc

from gateway import cache, uploads
from gateway.asgi import Disconnected, Exchange, Header, Receive, Scope, Send
from gateway.backends import UNARY_S, Backends, metadata_of
from gateway.binding import Binding
from gateway.encoding import to_json
from gateway.identity import ApiKeyInvalid, Identity
from gateway.limits import Limits, address_key
from gateway.live import Live
from gateway.pages import Pages
from gateway.problems import Problem, invalid, of_error
from gateway.routes import Route, Router, contracts, not_allowed, routes_of
from gateway.settings import Rate, Settings
from gateway.streams import Sink, Sse, Streams, WebSocket, download, messages
from libs import telemetry
from libs.rpc import (
    Caller,
    Channels,
    RpcSettings,
    TokenVerifier,
    Unauthenticated,
    auth_clients,
    reason_of,
)
from libs.rpc.redis_client import redis_client
from libs.telemetry.metrics import HTTP_REQUESTS, HTTP_SECONDS

log = logging.getLogger(__name__)

EVENTS = "/v1/events"
JWKS = "/v1/jwks"
ALIASES = {"/.well-known/jwks.json": JWKS}
PUBLIC_CACHE = {JWKS: b"public, max-age=300"}
TOKEN_PROTOCOL = "bearer."  # noqa: S105  # a WebSocket's subprotocol that carries the token
_SIGNATURES = b"-signature"  # headers so named go with a body that is passed on as it came
_SECURITY: list[Header] = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
]
_HSTS = (b"strict-transport-security", b"max-age=31536000; includeSubDomains")
_CORS_SHOWN = (
    b"X-Request-Id, Retry-After, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, ETag, "
    b"X-Cache, Content-Disposition"
)
_CORS_TAKEN = (
    b"Authorization, Content-Disposition, Content-Type, Idempotency-Key, If-None-Match, "
    b"Last-Event-ID, X-Api-Key, X-Request-Id"
)


class App:
    """The gateway between ASGI's start-up and shutdown."""

    def __init__(self, settings: Settings, env: Mapping[str, str] = os.environ) -> None:
        """Read the contracts; nothing is connected before the start-up."""
        self.settings = settings
        self.draining = False
        self._rpc_settings = RpcSettings.from_env("gateway", env)
        self._router = Router(routes_of(contracts()))
        self._bindings = {id(route): Binding(route) for route in self._router.routes}
        self._extra = [*_SECURITY, *([_HSTS] if settings.behind_tls else [])]
        self._answering = 0
        self._listening: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer what ASGI brings."""
        if scope["type"] == "lifespan":
            await self._live_through(receive, send)
            return
        begun = time.perf_counter()
        exchange = Exchange(scope, receive, send, self.settings)
        exchange.extra += self._extra
        with telemetry.bind(request_id=exchange.request_id):
            try:
                if scope["type"] == "websocket":
                    await receive()  # websocket.connect
                    await self._answer_websocket(exchange, send, scope["subprotocols"])
                else:
                    await self._answer(exchange)
            except Disconnected:
                pass
            except Exception as error:  # noqa: BLE001  # the one place that answers for bugs
                problem = of_error(error)
                if exchange.started:  # what was promised cannot be kept: the connection breaks off
                    log.warning("answer broken off", extra={"reason": problem.reason})
                else:
                    await exchange.refuse(problem)
            self._observe(exchange, time.perf_counter() - begun)

    async def start(self) -> None:
        """Open what the gateway needs; nothing is asked of it yet."""
        settings = self.settings
        redis = redis_client(settings.redis_url)
        self._redis = redis
        self._channels = Channels(self._rpc_settings)
        clients = auth_clients(self._channels)
        self._auth: Any = self._channels.stub(auth_pb2_grpc.AuthServiceStub)
        verifier = TokenVerifier(clients.jwks, "gateway", redis, clients.check_session)
        self._identity = Identity(verifier, self._exchange_key)
        self._limits = Limits(redis)
        self._cache = cache.Cache(redis, settings.cache_s)
        self._live = Live(redis)
        self._streams = Streams(self._identity, settings.stream_connections_max)
        self._backends = Backends(self._rpc_settings, self._router.routes)
        self._pages = Pages(self._router.routes, self._backends)
        self._listening = asyncio.create_task(self._live.run())

    def drain(self) -> None:
        """Say that no more requests are wanted, and end the streams."""
        self.draining = True
        if not self._streams.closing.done():
            self._streams.closing.set_result(None)

    async def close(self) -> None:
        """Let go of every connection."""
        if self._listening is not None:
            while not self._listening.done():  # redis-py may swallow it while it connects
                self._listening.cancel()
                await asyncio.wait((self._listening,), timeout=0.1)
            await self._backends.close()
            await self._channels.close()
            await self._redis.aclose()

    async def _live_through(self, receive: Receive, send: Send) -> None:
        await receive()  # lifespan.startup
        try:
            await self.start()
        except (ValueError, OSError) as error:  # what an operator has set wrongly
            log.critical("cannot start", extra={"error": str(error)})
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()  # lifespan.shutdown
        await self.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def _answer(self, exchange: Exchange) -> None:
        path = exchange.path = ALIASES.get(exchange.path, exchange.path)
        self._allow_origin(exchange)
        if exchange.method == "OPTIONS":
            await self._tell_options(exchange)
            return
        if page := self._pages.get(path):
            exchange.route = path
            if exchange.method not in ("GET", "HEAD"):
                raise not_allowed(exchange.method, ["GET"])
            await page(exchange, ready=not self.draining)
            return
        exchange.check_headers()
        if path == EVENTS:
            if exchange.method != "GET":
                raise not_allowed(exchange.method, ["GET"])
            await self._watch(exchange, Sse(exchange), "")
            return
        route, values = self._router.find(exchange.method, path)
        exchange.route = route.template
        if route.is_stream:
            await self._stream(exchange, Sse(exchange), route, values, "")
            return
        if self._answering >= self.settings.requests_max:
            raise Problem(503, "OVERLOADED", "Too many requests are under way.", retry_after_s=1)
        self._answering += 1
        try:
            with telemetry.span(f"{route.verb} {route.template}"):
                await self._call(exchange, route, values)
        finally:
            self._answering -= 1

    async def _answer_websocket(
        self, exchange: Exchange, send: Send, subprotocols: list[str]
    ) -> None:
        exchange.check_headers()
        tokens = [name for name in subprotocols if name.startswith(TOKEN_PROTOCOL)]
        token = tokens[0].removeprefix(TOKEN_PROTOCOL) if tokens else ""
        # A browser ends the connection if none of those that it offered is taken.
        others = [name for name in subprotocols if name not in tokens] + tokens
        sink = WebSocket(exchange, send, others[0] if others else None)
        if exchange.path == EVENTS:
            await self._watch(exchange, sink, token)
            return
        route, values = self._router.find("GET", exchange.path)
        exchange.route = route.template
        if not route.is_stream:
            raise Problem(400, "NOT_A_STREAM", "There is no WebSocket at this path.")
        await self._stream(exchange, sink, route, values, token)

    async def _call(self, exchange: Exchange, route: Route, values: list[str]) -> None:
        who = await self._admit(exchange, route)
        binding = self._bindings[id(route)]
        method = self._backends.method(route)
        metadata = metadata_of(exchange, who.token if who else "")
        if route.is_upload:
            made = await uploads.upload(exchange, binding, method, values, metadata)
            await exchange.answer(200, to_json(made))
            return
        request = await self._request(exchange, binding, values, metadata)
        if route.is_download:
            await download(exchange, method(request, metadata=metadata))
        elif route.is_cacheable and who:
            await self._answer_by_cache(exchange, route, who, request, metadata)
        else:
            found = await method(request, timeout=UNARY_S, metadata=metadata)
            exchange.cache_control = PUBLIC_CACHE.get(route.template, exchange.cache_control)
            await exchange.answer(200, to_json(found))

    async def _request(
        self, exchange: Exchange, binding: Binding, values: list[str], metadata: Any
    ) -> Any:
        """Return the RPC's request, made of all that the HTTP request says."""
        route = binding.route
        key = exchange.header(b"idempotency-key")
        body = await exchange.body(route.body_bytes_max) if route.body else None
        if body is not None and route.raw_field:
            metadata += [
                (f"http-{name.decode()}", value.decode("latin-1"))
                for name, value in exchange.headers.items()
                if name.endswith(_SIGNATURES) and value.isascii()
            ]
            kind = exchange.content_type()
            return binding.raw_request(values, exchange.query(), body, kind, key)
        if body and exchange.content_type() != "application/json":
            raise Problem(415, "CONTENT_TYPE_UNSUPPORTED", "The body must be application/json.")
        return binding.request(values, exchange.query(), body, key)

    async def _answer_by_cache(
        self, exchange: Exchange, route: Route, who: Caller, request: Any, metadata: Any
    ) -> None:
        body, place = await self._cache.look_up(route, who, request)
        hit = body is not None
        if body is None:
            method = self._backends.method(route)
            body = to_json(await method(request, timeout=UNARY_S, metadata=metadata))
            if place:
                await self._cache.keep(place, body)
        etag = cache.etag_of(body)
        exchange.cache_control = b"private, no-cache"  # ask each time, by the tag
        headers = [(b"etag", etag), (b"x-cache", b"hit" if hit else b"miss")]
        if cache.matches(etag, exchange.headers.get(b"if-none-match", b"")):
            await exchange.answer(304, b"", headers=headers)
        else:
            await exchange.answer(200, body, headers=headers)

    async def _stream(
        self, exchange: Exchange, sink: Sink, route: Route, values: list[str], token: str
    ) -> None:
        query, token = _without_token(exchange, token)
        who = await self._admit(exchange, route, token)
        request = self._bindings[id(route)].request(values, query, None, "")
        metadata = metadata_of(exchange, who.token if who else "")
        method = self._backends.method(route)
        items = messages(lambda: method(request, metadata=metadata), route.method.output_type.name)
        await self._streams.run(exchange, sink, items, who)

    async def _watch(self, exchange: Exchange, sink: Sink, token: str) -> None:
        exchange.route = EVENTS
        query, token = _without_token(exchange, token)
        who = await self._admit_person(exchange, token)
        given = dict(query)
        if wrong := [(name, "no such parameter") for name in given.keys() - _WATCH_PARAMETERS]:
            raise invalid(wrong)
        last_id = exchange.header(b"last-event-id") or given.get("last_event_id", "")
        kinds = frozenset(kind for kind in given.get("types", "").split(",") if kind)
        await self._streams.run(exchange, sink, self._live.watch(who, kinds, last_id), who)

    async def _admit(self, exchange: Exchange, route: Route, token: str = "") -> Caller | None:
        """Return who asks, None where anybody may. Raises a Fault, or Problem if too often."""
        if route.is_public:
            reads = route.verb == "GET"
            rate = self.settings.public_read_rate if reads else self.settings.public_write_rate
            await self._limit_address(exchange, "r" if reads else "w", rate)
            return None
        return await self._admit_person(exchange, token)

    async def _admit_person(self, exchange: Exchange, token: str) -> Caller:
        try:
            who = exchange.who = await self._identity.caller(exchange, token)
        except Unauthenticated:
            # Guessing is not free either.
            await self._limit_address(exchange, "w", self.settings.public_write_rate)
            raise
        key = f"limit:o:{who.organization_id or who.user_id}"
        await self._limit(exchange, key, self.settings.organization_rate)
        return who

    async def _limit_address(self, exchange: Exchange, kind: str, rate: Rate) -> None:
        await self._limit(exchange, f"limit:{kind}:{address_key(exchange.client_ip)}", rate)

    async def _limit(self, exchange: Exchange, key: str, rate: Rate) -> None:
        grant = await self._limits.take(key, rate)
        exchange.limits = grant.headers()
        if not grant.allowed:
            raise Problem(
                429, "RATE_LIMITED", "Too many requests.", retry_after_s=grant.retry_after_s
            )

    async def _exchange_key(self, key: str, exchange: Exchange) -> tuple[str, float]:
        rate = self.settings.public_write_rate
        await self._limit_address(exchange, "w", rate)
        request = auth_pb2.ExchangeApiKeyRequest(api_key=key)
        try:
            found = await self._auth.ExchangeApiKey(request)
        except grpc.aio.AioRpcError as error:
            if reason_of(error) == ApiKeyInvalid.reason:
                raise ApiKeyInvalid("The key is not valid.") from None
            raise
        return found.access_token, found.access_expire_time.seconds

    def _allow_origin(self, exchange: Exchange) -> None:
        origin = exchange.headers.get(b"origin")
        if origin and origin.decode("latin-1") in self.settings.cors_origins:
            exchange.extra += [
                (b"access-control-allow-origin", origin),
                (b"access-control-expose-headers", _CORS_SHOWN),
                (b"vary", b"Origin"),
            ]

    async def _tell_options(self, exchange: Exchange) -> None:
        own = exchange.path == EVENTS or self._pages.get(exchange.path)
        verbs = ["GET"] if own else self._router.verbs(exchange.path)
        if not verbs:
            raise Problem(404, "ROUTE_NOT_FOUND", "There is nothing at this path.")
        allow = ", ".join(verbs).encode()
        headers = [(b"allow", allow)]
        if b"access-control-request-method" in exchange.headers:
            headers += [
                (b"access-control-allow-methods", allow),
                (b"access-control-allow-headers", _CORS_TAKEN),
                (b"access-control-max-age", b"600"),
            ]
        await exchange.answer(204, b"", headers=headers)

    def _observe(self, exchange: Exchange, seconds: float) -> None:
        status = exchange.status or 499
        route = exchange.route or "none"
        method = exchange.method if exchange.method in _METHODS else "other"
        HTTP_REQUESTS.labels(method, route, str(status)).inc()
        HTTP_SECONDS.labels(method, route).observe(seconds)
        level = logging.INFO if status >= 500 else logging.DEBUG
        if log.isEnabledFor(level):
            who = exchange.who or Caller()
            fields = {"method": method, "route": route, "status": status}
            fields |= {"duration_ms": round(seconds * 1_000, 3), "client_ip": exchange.client_ip}
            with telemetry.bind(organization_id=who.organization_id, user_id=who.user_id):
                log.log(level, "request", extra=fields)


_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_WATCH_PARAMETERS = {"types", "last_event_id"}


def _without_token(exchange: Exchange, token: str) -> tuple[list[tuple[str, str]], str]:
    """Return the query, and the token that it holds where a browser cannot send headers."""
    query = exchange.query()
    given = [value for name, value in query if name == "access_token"]
    rest = [(name, value) for name, value in query if name != "access_token"]
    return rest, given[0] if given else token
