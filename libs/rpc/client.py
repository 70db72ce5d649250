"""Channels to the other services: every call carries its deadline, request id, trace and token."""

import secrets
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import grpc

from libs import telemetry
from libs.rpc import deadline, permissions
from libs.rpc.channel import Channel
from libs.rpc.identity import caller_or_none
from libs.rpc.service_tokens import ServiceTokens
from libs.rpc.settings import RpcSettings

UNARY_S = 2.0
MARGIN_S = 0.02  # of the time left, kept for telling our own caller

Stub = TypeVar("Stub")


class Channels:
    """One channel to each service that is called, opened by the first call."""

    def __init__(self, settings: RpcSettings) -> None:
        self.settings = settings
        self._service_tokens: ServiceTokens | None = None
        self._peers: dict[str, _Peer] = {}

    def use_service_tokens(self, tokens: ServiceTokens) -> None:
        """Let calls that no person's token covers carry one of these."""
        self._service_tokens = tokens

    def stub(self, stub_class: Callable[[Any], Stub], service: str = "") -> Stub:
        """Return the stub of a contract; `service` where the contract's package does not name it.

        A method with one answer is awaited, one with many is iterated over; `timeout` (seconds)
        shortens or lengthens the 2 s that unary calls have. Failures are AioRpcError, see
        errors.status_of. Raises ValueError if the service has no address.
        """
        name = service or stub_class.__module__.split(".")[1]
        if name not in self._peers:
            address = self.settings.addresses.get(name)
            if not address:
                raise ValueError(f"{name.upper()}_ADDRESS is not set")
            self._peers[name] = _Peer(self, name, address)
        return stub_class(self._peers[name])

    async def token_for(self, service: str) -> str:
        """Return the caller's own token, or ours for the same organization and person."""
        who = caller_or_none()
        if who and who.token and not who.service:
            return who.token
        if self._service_tokens is None:
            raise LookupError("neither the caller nor this process has a token")
        if who is None:
            return await self._service_tokens.get(service)
        person = who.actor if who.user_id or who.api_key_id else ""
        return await self._service_tokens.get(
            service, who.organization_id, who.on_behalf_of or person
        )

    async def close(self) -> None:
        """Close every channel; calls under way are cancelled."""
        for peer in self._peers.values():
            await peer.close()


class _Peer:
    """What a generated stub takes for its channel."""

    def __init__(self, channels: Channels, name: str, address: str) -> None:
        self._channels = channels
        self._name = name
        self._channel = Channel(channels.settings, address)

    def unary_unary(self, path: str, **coders: Any) -> Callable[..., Any]:
        """Return the function that makes a call with one request and one answer."""
        return self._one_answer("unary_unary", path, coders, UNARY_S)

    def stream_unary(self, path: str, **coders: Any) -> Callable[..., Any]:
        """Return the function that makes a call with many requests and one answer."""
        return self._one_answer("stream_unary", path, coders, None)

    def unary_stream(self, path: str, **coders: Any) -> Callable[..., Any]:
        """Return the function that makes a call with one request and many answers."""
        return self._many_answers("unary_stream", path, coders)

    def stream_stream(self, path: str, **coders: Any) -> Callable[..., Any]:
        """Return the function that makes a call with many requests and many answers."""
        return self._many_answers("stream_stream", path, coders)

    def _one_answer(
        self, kind: str, path: str, coders: dict[str, Any], usual_s: float | None
    ) -> Callable[..., Any]:
        public = permissions.is_public(path)

        async def call(request: Any, *, timeout: float | None = usual_s) -> Any:  # noqa: ASYNC109
            headers = await self._headers(public=public)
            method = self._channel.method(kind, path, coders)
            return await method(request, timeout=_budget(timeout), metadata=headers)

        return call

    def _many_answers(self, kind: str, path: str, coders: dict[str, Any]) -> Callable[..., Any]:
        public = permissions.is_public(path)

        async def call(
            request: Any,
            *,
            timeout: float | None = None,  # noqa: ASYNC109  # gRPC's own word and meaning
        ) -> AsyncIterator[Any]:
            headers = await self._headers(public=public)
            method = self._channel.method(kind, path, coders)
            answers = method(request, timeout=_budget(timeout), metadata=headers)
            try:
                async for answer in answers:
                    yield answer
            finally:
                answers.cancel()  # whoever stops reading ends the call

        return call

    async def _headers(self, *, public: bool) -> list[tuple[str, str]]:
        headers = [("x-request-id", telemetry.current().request_id or secrets.token_hex(16))]
        if trace := telemetry.traceparent():
            headers.append(("traceparent", trace))
        if not public:
            token = await self._channels.token_for(self._name)
            headers.append(("authorization", f"Bearer {token}"))
        return headers

    async def close(self) -> None:
        await self._channel.close()


def _budget(wanted: float | None) -> float | None:
    """Return the seconds that a call may take. Raises AioRpcError if too few are left."""
    left = deadline.remaining_s()
    if left is None:
        return wanted
    left -= MARGIN_S
    if left <= 0:
        nothing = grpc.aio.Metadata()
        raise grpc.aio.AioRpcError(
            grpc.StatusCode.DEADLINE_EXCEEDED, nothing, nothing, "Too little time is left."
        )
    return left if wanted is None else min(left, wanted)
