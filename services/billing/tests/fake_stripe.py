"""A server that speaks Stripe's wire: checkouts, subscriptions, idempotency, signed webhooks."""

import asyncio
import hashlib
import hmac
import json
import time
import urllib.parse
from dataclasses import dataclass, field
from typing import Any

SECRET = "whsec_for_tests"
PRICES = {"team": "price_team", "business": "price_business", "unlimited": "price_unlimited"}
PERIOD_END = 1_900_000_000
BEGIN = 1_800_000_000


@dataclass
class FakeStripe:
    """What it holds, what it was asked, and which answers it should spoil next."""

    sessions: dict[str, dict[str, Any]] = field(default_factory=dict)
    subscriptions: dict[str, dict[str, Any]] = field(default_factory=dict)
    # By idempotency key, whoever sent it: the request and its answer.
    answers: dict[str, tuple[Any, tuple[int, Any]]] = field(default_factory=dict)
    calls: list[tuple[str, str]] = field(default_factory=list)
    failures: list[int] = field(default_factory=list)  # statuses of the next answers
    fails_after_effect: bool = False
    server: asyncio.Server | None = None

    async def start(self) -> str:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        assert self.server
        self.server.close()

    def pay(self, session_id: str) -> dict[str, Any]:
        """The person pays: a subscription begins."""
        session = self.sessions[session_id]
        assert session["status"] == "open", "an expired session takes no payment"
        session["status"] = "complete"
        subscription = {
            "id": f"sub_{len(self.subscriptions) + 1}",
            "object": "subscription",
            "status": "active",
            "created": BEGIN + len(self.subscriptions),
            "customer": f"cus_{session['client_reference_id'][:8]}",
            "cancel_at_period_end": False,
            "metadata": session["subscription_data"]["metadata"],
            "items": {"object": "list", "data": [{
                "id": "si_1", "object": "subscription_item",
                "current_period_end": PERIOD_END,
                "price": {"id": session["line_items"]["0"]["price"], "object": "price"},
            }]},
        }  # fmt: skip
        self.subscriptions[subscription["id"]] = subscription
        session["subscription"] = subscription["id"]
        return subscription

    def lives(self, subscription_id: str) -> bool:
        return self.subscriptions[subscription_id]["status"] != "canceled"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                lines = head.split("\r\n")
                headers = {
                    name.lower(): value.strip()
                    for name, _, value in (line.partition(":") for line in lines[1:] if line)
                }
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                method, target, _ = lines[0].split(" ")
                path = target.partition("?")[0]
                status, answer = self._answer(method, path, headers, body.decode())
                data = json.dumps(answer).encode()
                writer.write(
                    f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n"
                    f"Content-Length: {len(data)}\r\n\r\n".encode()
                    + data
                )
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def _answer(
        self, method: str, path: str, headers: dict[str, str], body: str
    ) -> tuple[int, Any]:
        self.calls.append((method, path))
        if self.failures and not self.fails_after_effect:
            return self.failures.pop(0), {"error": {"type": "api_error", "message": "spoiled"}}
        key = headers.get("idempotency-key", "")
        asked = (path, body)
        before, answer = self.answers.get(key, (asked, None))
        if before != asked:
            return 400, {"error": {"type": "idempotency_error", "message": "another request"}}
        answer = answer or self._perform(method, path, unflatten(body))
        if key and method == "POST":
            self.answers[key] = asked, answer
        if self.failures:
            return self.failures.pop(0), {"error": {"type": "api_error", "message": "spoiled"}}
        return answer

    def _perform(self, method: str, path: str, params: dict[str, Any]) -> tuple[int, Any]:
        match method, path.strip("/").split("/"):
            case "POST", ["v1", "checkout", "sessions"]:
                made = params | {"id": f"cs_{len(self.sessions) + 1}", "object": "checkout.session"}
                made |= {"url": f"https://pay.example/{made['id']}", "status": "open"}
                made["subscription"] = None
                self.sessions[made["id"]] = made
                return 200, made
            case "GET", ["v1", "checkout", "sessions", known] if known in self.sessions:
                return 200, self.sessions[known]
            case "POST", ["v1", "checkout", "sessions", known, "expire"]:
                session = self.sessions[known]
                if session["status"] != "open":
                    error = {"type": "invalid_request_error", "message": "not open"}
                    return 400, {"error": error}
                session["status"] = "expired"
                return 200, session
            case "DELETE", ["v1", "subscriptions", known] if self.lives(known):
                self.subscriptions[known]["status"] = "canceled"
                return 200, self.subscriptions[known]
            case "GET", ["v1", "subscriptions", known] if known in self.subscriptions:
                return 200, self.subscriptions[known]
            case "POST", ["v1", "subscriptions", known] if known in self.subscriptions:
                subscription = self.subscriptions[known]
                if "cancel_at_period_end" in params:
                    wanted = params["cancel_at_period_end"].lower() == "true"
                    subscription["cancel_at_period_end"] = wanted
                if "items" in params:
                    price = params["items"]["0"]["price"]
                    subscription["items"]["data"][0]["price"]["id"] = price
                return 200, subscription
        return 404, {"error": {"type": "invalid_request_error", "message": f"no {path}"}}


def unflatten(body: str) -> dict[str, Any]:
    """Stripe's form encoding: a[b][0]=c."""
    found: dict[str, Any] = {}
    for name, value in urllib.parse.parse_qsl(body):
        parts = name.replace("]", "").split("[")
        place = found
        for part in parts[:-1]:
            place = place.setdefault(part, {})
        place[parts[-1]] = value
    return found


def webhook(kind: str, about: dict[str, Any], event_id: str) -> tuple[bytes, str]:
    """The body and the signature of a webhook."""
    event = {"id": event_id, "object": "event", "type": kind, "data": {"object": about}}
    body = json.dumps(event).encode()
    return body, signature(body, SECRET, int(time.time()))


def signature(body: bytes, secret: str, when: int) -> str:
    """Stripe's v1 scheme: HMAC-SHA256 of "time.body"."""
    digest = hmac.new(secret.encode(), f"{when}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={when},v1={digest}"
