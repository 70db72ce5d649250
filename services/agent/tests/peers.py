"""The other ends of agent's calls: an HTTP server that answers as it is told, and a mail server."""

import asyncio
import contextlib
import json
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiosmtpd.smtp import SMTP

PHRASES = {200: "OK", 302: "Found", 400: "Bad Request", 429: "Too Many Requests"}


@dataclass
class Call:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Answer:
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    # Seconds before it comes; bytes of the body after which the connection is cut.
    late_s: float = 0
    cut_at: int | None = None


Answering = Callable[[Call], Answer]


class HttpPeer:
    """Listens on the loopback address and keeps what it was sent."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.answer: Answering = lambda _: Answer()
        self.port = 0
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def answers(self, *planned: Answer) -> None:
        """Give these answers in turn, the last one ever after."""
        self.calls.clear()
        left = list(planned)
        self.answer = lambda _: left.pop(0) if len(left) > 1 else left[0]

    async def start(self, context: ssl.SSLContext | None = None) -> "HttpPeer":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        assert self._server
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            first, *lines = head.split("\r\n")
            headers = {
                name.lower(): value.strip()
                for name, _, value in (line.partition(":") for line in lines if line)
            }
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            method, path, _ = first.split(" ")
            call = Call(method, path, headers, body)
            self.calls.append(call)
            await self._reply(writer, self.answer(call))
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    async def _reply(self, writer: asyncio.StreamWriter, answer: Answer) -> None:
        await asyncio.sleep(answer.late_s)
        sent = {"Content-Length": str(len(answer.body)), "Connection": "close"} | answer.headers
        head = f"HTTP/1.1 {answer.status} {PHRASES.get(answer.status, 'X')}\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in sent.items())
        writer.write(head.encode() + b"\r\n" + answer.body[: answer.cut_at])
        await writer.drain()


def completion(claims: Any, *, finish: str = "stop", refusal: str | None = None) -> Answer:
    """What a model's server answers: claims as a dict, or as the text in their place."""
    content = claims if isinstance(claims, str) else json.dumps(claims)
    message = {"role": "assistant", "content": content, "refusal": refusal}
    body = {
        "id": "c1", "object": "chat.completion", "created": 1, "model": "test-model",
        "choices": [{"index": 0, "finish_reason": finish, "message": message}],
        "usage": {"prompt_tokens": 120, "completion_tokens": 30, "total_tokens": 150},
    }  # fmt: skip
    return Answer(body=json.dumps(body).encode(), headers={"Content-Type": "application/json"})


class Mailbox:
    """An SMTP server that keeps what it takes, and refuses addresses at refused.example."""

    def __init__(self) -> None:
        self.mails: list[tuple[list[str], bytes]] = []
        self.url = ""
        self._server: asyncio.Server | None = None

    async def handle_RCPT(self, _server, _session, envelope, address, _options):  # noqa: N802
        if address.endswith("@refused.example"):
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server, _session, envelope):  # noqa: N802
        self.mails.append((envelope.rcpt_tos, envelope.content))
        return "250 OK"

    async def start(self) -> "Mailbox":
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: SMTP(self, loop=loop), "127.0.0.1", 0)
        self.url = f"smtp://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def stop(self) -> None:
        assert self._server
        self._server.close()
        await self._server.wait_closed()
