import json
import re
from html.parser import HTMLParser
from typing import Any

from gateway.openapi import document
from gateway.routes import Router, contracts, routes_of
from gateway.tests.conftest import World

ROUTER = Router(routes_of(contracts()))
API = document(ROUTER.routes)
OPERATIONS = {
    operation["operationId"]: operation
    for path in API["paths"].values()
    for operation in path.values()
}


def references(found: Any) -> set[str]:
    if isinstance(found, dict):
        own = {found["$ref"]} if "$ref" in found else set()
        return own.union(*map(references, found.values())) if found else own
    return set().union(*map(references, found)) if isinstance(found, list) and found else set()


def test_every_route_is_described() -> None:
    assert {str(route.method.name) for route in ROUTER.routes} | {"WatchEvents"} == set(OPERATIONS)
    for route in ROUTER.routes:
        operation = API["paths"][route.template][route.verb.lower()]
        assert operation["description"].startswith(operation["summary"].rstrip("."))
        named = (
            {found["name"] for found in operation["parameters"]}
            if "parameters" in operation
            else set()
        )
        assert set(route.path_fields) <= named


def test_every_reference_leads_somewhere() -> None:
    for reference in references(API):
        place: Any = API
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]
        assert place


def test_every_enum_value_and_field_with_a_comment_is_explained() -> None:
    state = API["components"]["schemas"]["InvoiceState"]
    assert "INVOICE_STATE_RECEIVED" in state["enum"]
    assert "The document is stored and waits to be read." in state["description"]
    invoice = API["components"]["schemas"]["Invoice"]
    assert invoice["description"] == "An invoice, a credit note or a receipt."
    assert invoice["properties"]["gross"]["description"] == "Tax included."
    assert invoice["properties"]["gross"]["$ref"] == "#/components/schemas/Money"
    assert invoice["properties"]["invoice_id"]["readOnly"] is True
    assert invoice["properties"]["lines"]["type"] == "array"


def test_what_an_operation_takes_is_said() -> None:
    query = {found["name"]: found for found in OPERATIONS["ListInvoices"]["parameters"]}
    assert query["start_date"]["schema"]["format"] == "date"
    assert query["states"]["schema"]["type"] == "array"
    assert query["states"]["example"] == ["INVOICE_STATE_RECEIVED"]
    assert "start_date.year" not in query
    approve = OPERATIONS["ApproveInvoice"]
    body = approve["requestBody"]["content"]["application/json"]["schema"]["properties"]
    assert set(body) == {"etag"}
    assert [found["name"] for found in approve["parameters"]] == ["invoice_id", "Idempotency-Key"]
    upload = OPERATIONS["UploadInvoice"]["requestBody"]["content"]
    assert set(upload["multipart/form-data"]["schema"]["properties"]) == {
        "direction", "file", "source_invoice_id", "first_page", "last_page",
    }  # fmt: skip
    assert OPERATIONS["ReceiveStripeWebhook"]["requestBody"]["content"] == {
        "*/*": {"schema": {"type": "string", "format": "binary"}}
    }
    assert OPERATIONS["DownloadDocument"]["responses"]["200"]["content"].keys() == {"*/*"}
    watched = OPERATIONS["WatchJob"]["responses"]["200"]["content"]
    assert watched["text/event-stream"]["schema"]["$ref"].endswith("/Job")


def test_an_idempotency_key_is_offered_where_it_is_kept() -> None:
    for route in ROUTER.routes:
        offered = {found["name"] for found in OPERATIONS[route.method.name].get("parameters", ())}
        assert ("Idempotency-Key" in offered) == ("request_id" in route.fields.fields_by_name)


def test_who_may_call_is_said() -> None:
    assert OPERATIONS["LogIn"]["security"] == []
    assert "security" not in OPERATIONS["GetInvoice"]
    assert OPERATIONS["GetInvoice"]["x-permission"] == "invoices.read"
    assert "x-permission" not in OPERATIONS["GetCurrentUser"]


async def test_the_document_is_served(world: World) -> None:
    answer = await world.http.get("/openapi.json")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == json.loads(json.dumps(API))
    assert answer.json()["openapi"] == "3.1.0"


class Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.inline: list[str] = []

    def handle_starttag(self, _: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.found += [str(given[name]) for name in ("src", "href") if name in given]
        self.inline += [name for name in given if name.startswith("on") or name == "style"]


async def test_the_page_needs_nothing_from_elsewhere(world: World) -> None:
    page = await world.http.get("/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    policy = page.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    links = Links()
    links.feed(page.text)
    assert not links.inline
    for link in links.found:
        if link != "data:,":
            assert link.startswith("/")
            assert (await world.http.get(link)).status_code == 200
    script = (await world.http.get("/docs/docs.js")).text
    assert not re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", script)
    assert not re.findall(r"https?://", script)
