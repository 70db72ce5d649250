"""A channel to one service: retries, keepalive, and the certificate that the files hold now."""

import asyncio
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import grpc

from libs.rpc.credentials import UnsafeTransport, channel_credentials, version
from libs.rpc.settings import MESSAGE_BYTES_MAX, RpcSettings

log = logging.getLogger(__name__)

LOOK_S = 10.0  # between two looks whether the certificate files changed
CLOSE_S = 60.0  # for calls on a channel whose certificate was replaced

_OPTIONS = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    ("grpc.keepalive_time_ms", 20_000),  # finds a peer that is gone without a word
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)
_RETRIES = {
    "maxAttempts": 3,
    "initialBackoff": "0.05s",
    "maxBackoff": "0.5s",
    "backoffMultiplier": 3,
    "retryableStatusCodes": ["UNAVAILABLE"],
}


class Channel:
    """Opened by the first call, and made anew when its certificate was replaced."""

    def __init__(
        self, settings: RpcSettings, address: str, retried: Sequence[str] | None = None
    ) -> None:
        """Retry the methods with these paths ("/package.Service/Method") where the service is away.

        None: every method; to repeat one does no harm, or its service knows it by its id.
        """
        self._settings = settings
        self._address = address
        self._options = [*_OPTIONS, ("grpc.service_config", _service_config(retried))]
        self._channel: grpc.aio.Channel | None = None
        self._methods: dict[str, Any] = {}
        self._version: tuple[int, ...] = ()
        self._look_from = 0.0
        self._closing: set[asyncio.Task[None]] = set()

    def method(self, kind: str, path: str, coders: Mapping[str, Callable[..., Any]]) -> Any:
        """Return the function that calls a method; `kind` as "unary_stream". Raises as `open`."""
        channel = self.open()
        found = self._methods.get(path)
        if found is None:
            found = self._methods[path] = getattr(channel, kind)(path, **coders)
        return found

    def open(self) -> grpc.aio.Channel:
        """Return the channel. Raises UnsafeTransport or OSError if there never was a usable one."""
        tls = self._settings.tls
        if self._channel is not None and (tls is None or time.monotonic() < self._look_from):
            return self._channel
        self._look_from = time.monotonic() + LOOK_S
        try:
            now = version(tls) if tls else ()
            if self._channel is None or now != self._version:
                self._replace(now)
        except (OSError, UnsafeTransport) as error:
            if self._channel is None:
                raise
            log.warning("new certificate not usable", extra={"error": repr(error)})
        assert self._channel is not None
        return self._channel

    async def close(self) -> None:
        """Close; calls under way are cancelled."""
        for closing in list(self._closing):
            closing.cancel()
        if self._channel is not None:
            await self._channel.close()
            self._channel = None
            self._methods.clear()

    def _replace(self, files: tuple[int, ...]) -> None:
        credentials = channel_credentials(self._settings, self._address)
        old = self._channel
        if credentials is None:
            self._channel = grpc.aio.insecure_channel(self._address, self._options)
        else:
            self._channel = grpc.aio.secure_channel(self._address, credentials, self._options)
        self._version = files
        self._methods.clear()
        if old is not None:
            closing = asyncio.create_task(old.close(CLOSE_S))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)


def _service_config(retried: Sequence[str] | None) -> str:
    # Never a timeout here: grpc.aio does not tell it to the server, and ends it too early.
    names: list[dict[str, str]] = [{}]
    if retried is not None:
        parts = [path.lstrip("/").split("/") for path in sorted(retried)]
        names = [{"service": service, "method": method} for service, method in parts]
    config = {
        "loadBalancingConfig": [{"round_robin": {}}],
        "methodConfig": [{"name": names, "retryPolicy": _RETRIES}] if names else [],
        # When more than half of the calls fail, retries only add to the trouble.
        "retryThrottling": {"maxTokens": 20, "tokenRatio": 0.5},
    }
    return json.dumps(config)
