"""Every route with requests that are wrong in many ways: each is answered, none with a 5xx."""

import asyncio
import json
import random
import string
from typing import Any
from urllib.parse import quote

import pytest
from google.protobuf import message_factory

from gateway.encoding import encoder
from gateway.routes import Route, Router, contracts, routes_of
from gateway.tests import messages
from gateway.tests.conftest import World

ROUTES = [route for route in Router(routes_of(contracts())).routes if route.service != "auth"]
REQUESTS = 12
VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 1.5, 10**30, "", "x", "\0", "\ud800", "٣", "2026-02-30", "9" * 400,
    [], {}, [[]],
    {"a": {}}, [None], {"@type": "x"}, "../../etc/passwd", "'; drop table invoices; --", "${jndi:ldap://x}",
)  # fmt: skip


def mutated(value: Any, dice: random.Random) -> Any:
    """The value with something of it replaced, renamed or repeated."""
    if dice.random() < 0.15:
        return dice.choice(VALUES)
    if isinstance(value, dict):
        found = {name: mutated(inner, dice) for name, inner in value.items()}
        if dice.random() < 0.2:
            found["".join(dice.choices(string.printable, k=dice.randrange(20)))] = dice.choice(
                VALUES
            )
        return found
    if isinstance(value, list):
        return [mutated(inner, dice) for inner in value] * dice.choice((1, 1, 1, 3))
    return value


def body_of(route: Route, dice: random.Random) -> bytes:
    message = messages.random_message(route.method.input_type, dice)
    given = encoder(message.DESCRIPTOR)(message)
    if route.body != "*":
        given = given.get(route.body, {})
    text = json.dumps(mutated(given, dice), ensure_ascii=dice.random() < 0.5)
    raw = text.encode("utf-8", "surrogatepass")
    match dice.randrange(8):
        case 0:
            return raw[: dice.randrange(len(raw) + 1)]
        case 1:
            at = dice.randrange(len(raw) + 1)
            return raw[:at] + dice.randbytes(3) + raw[at:]
        case 2:
            return dice.randbytes(dice.randrange(200))
    return raw


def path_of(route: Route, dice: random.Random) -> str:
    def segment() -> str:
        texts = (
            "x",
            "",
            "a:b",
            "\0",
            "..",
            "%",
            "é",
            "x" * 500,
            "018f0000-0000-7000-8000-000000000001",
        )
        return quote(dice.choice(texts), safe="")

    path = route.template
    for name in route.path_fields:
        path = path.replace(f"{{{name}}}", segment())
    names = [*route.fields.fields_by_name, "x", "start_date.year", "a.b.c.d.e", "", "access_token"]
    query = "&".join(
        f"{quote(dice.choice(names))}={quote(str(dice.choice(VALUES)), errors='replace')}"
        for _ in range(dice.choice((0, 0, 1, 3)))
    )
    return f"{path}?{query}{dice.choice(('', '&%ff', '&&&', '=', '%'))}" if query else path


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: str(route.method.name))
async def test_no_request_makes_the_gateway_fail(world: World, person: Any, route: Route) -> None:
    dice = random.Random(route.rpc)
    answer = message_factory.GetMessageClass(route.method.output_type)()
    seen: list[bytes] = []

    async def one(request: Any, context: Any) -> Any:
        if route.is_upload:
            async for _ in request:
                pass
        seen.append(b"")
        return answer

    async def many(request: Any, context: Any) -> Any:
        seen.append(b"")
        yield answer

    on = many if route.method.server_streaming else one
    world.services[route.service].on[str(route.method.name)] = on
    kinds = (
        "application/json",
        "application/json",
        "text/plain",
        "multipart/form-data; boundary=x",
        "",
    )
    headers = [
        person.headers
        | {
            "Content-Type": dice.choice(kinds),
            "Idempotency-Key": dice.choice(("", "k", "a b", "x" * 300)),
        }
        for _ in range(REQUESTS)
    ]
    found = await asyncio.gather(
        *(
            world.http.request(
                route.verb,
                path_of(route, dice),
                content=body_of(route, dice) if route.body else None,
                headers=each,
            )
            for each in headers
        )
    )
    for one_answer in found:
        assert one_answer.status_code in (200, 400, 404, 405, 415), one_answer.text
        if one_answer.status_code != 200:
            assert one_answer.headers["content-type"] == "application/problem+json"
            assert one_answer.json()["reason"]
