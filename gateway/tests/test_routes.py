from typing import Any

import pytest
from auditron.options.v1 import options_pb2
from google.api import annotations_pb2, http_pb2
from google.protobuf import descriptor_pb2, descriptor_pool

from gateway.problems import Problem
from gateway.routes import Route, Router, contracts, routes_of

ROUTER = Router(routes_of(contracts()))
ID = "018f0000-0000-7000-8000-000000000001"


def found(verb: str, path: str) -> tuple[str, list[str]]:
    route, values = ROUTER.find(verb, path)
    return str(route.method.name), values


@pytest.mark.parametrize(
    ("verb", "path", "rpc", "values"),
    [
        ("GET", f"/v1/invoices/{ID}", "GetInvoice", [ID]),
        ("HEAD", f"/v1/invoices/{ID}", "GetInvoice", [ID]),
        ("PATCH", f"/v1/invoices/{ID}", "UpdateInvoice", [ID]),
        ("POST", f"/v1/invoices/{ID}:approve", "ApproveInvoice", [ID]),
        ("POST", "/v1/invoices:upload", "UploadInvoice", []),
        ("GET", "/v1/invoices", "ListInvoices", []),
        ("GET", "/v1/organizations/current", "GetCurrentOrganization", []),
        ("POST", "/v1/organizations/current:switch", "SwitchOrganization", ["current"]),
        ("GET", "/v1/users/me/picture", "DownloadPicture", ["me"]),
        ("POST", "/v1/users/me/picture", "UploadPicture", []),
        ("GET", "/v1/reports:query", "QueryReport", []),
        ("GET", f"/v1/reports/{ID}/file", "DownloadReport", [ID]),
        ("GET", "/v1/invoices/a%2Fb", "GetInvoice", ["a/b"]),
        ("GET", "/v1/invoices/a:b", "GetInvoice", ["a:b"]),
        ("GET", "/v1/invoices/%E2%82%AC", "GetInvoice", ["€"]),
        ("GET", "/v1/invoices/..", "GetInvoice", [".."]),
    ],
)
def test_a_path_leads_to_its_rpc(verb: str, path: str, rpc: str, values: list[str]) -> None:
    assert found(verb, path) == (rpc, values)


@pytest.mark.parametrize(
    "path",
    [
        "/", "", "v1/invoices", "/v1", "/v1/", "/v1/invoices/", "/v1/invoices//document",
        "//v1/invoices",
        f"/v1/invoices/{ID}/", "/v2/invoices", "/v1/../v1/invoices", "/v1/invoices:",
        "/v1/nothing:upload",
        "/V1/invoices", "/v1/invoices:UPLOAD", "/auditron.invoice.v1.InvoiceService/GetInvoice",
        "/v1/invoices/x/document/y", "/%76%31/invoices",
    ],
)  # fmt: skip
def test_other_paths_lead_nowhere(path: str) -> None:
    with pytest.raises(Problem) as caught:
        ROUTER.find("GET", path)
    assert caught.value.status == 404


def test_a_method_that_a_path_lacks_is_refused_with_those_that_it_has() -> None:
    for path, allow in (("/v1/invoices", b"GET, POST"), ("/v1/users/me/picture", b"GET, POST")):
        with pytest.raises(Problem) as caught:
            ROUTER.find("DELETE", path)
        assert caught.value.status == 405
        assert (b"allow", allow) in caught.value.headers


def test_head_is_not_for_streams() -> None:
    with pytest.raises(Problem) as caught:
        ROUTER.find("HEAD", f"/v1/invoices/{ID}/document")
    assert caught.value.status == 405


def test_a_path_that_is_no_utf8_is_refused() -> None:
    with pytest.raises(Problem) as caught:
        ROUTER.find("GET", "/v1/invoices/%ff")
    assert (caught.value.status, caught.value.reason) == (400, "PATH_MALFORMED")


def test_every_rpc_with_a_route_is_served_and_no_other() -> None:
    with_rule = {
        str(method.full_name)
        for service in contracts()
        for method in service.methods
        if method.GetOptions().Extensions[annotations_pb2.http].WhichOneof("pattern")
    }
    assert {str(route.method.full_name) for route in ROUTER.routes} == with_rule
    assert not [route for route in ROUTER.routes if route.permission == "service"]
    assert not [route for route in ROUTER.routes if not route.permission]


def test_limits_of_bodies_are_those_of_the_contract() -> None:
    limits = {route.method.name: route.body_bytes_max for route in ROUTER.routes}
    assert limits["UploadInvoice"] == 50_000_000
    assert limits["ImportStatement"] == 200_000_000
    assert limits["UploadPicture"] == 2_000_000
    assert limits["CreateInvoice"] == 1_000_000


def made(package: str, *rules: Any, request: str = ".auditron.invoice.v1.GetInvoiceRequest") -> Any:
    """A service whose only RPC has these rules, in a pool of its own."""
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{package}.proto", package=f"auditron.{package}.v1", syntax="proto3"
    )
    file.dependency.append("auditron/invoice/v1/invoice.proto")
    file.dependency.append("google/api/annotations.proto")
    method = file.service.add(name="TrialService").method.add(
        name="Try", input_type=request, output_type=".auditron.invoice.v1.Invoice"
    )
    rule = method.options.Extensions[annotations_pb2.http]
    rule.CopyFrom(rules[0])
    for more in rules[1:]:
        rule.additional_bindings.add().CopyFrom(more)
    method.options.Extensions[options_pb2.permission] = "invoices.read"
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(file.SerializeToString())
    return pool.FindServiceByName(f"auditron.{package}.v1.TrialService")


def rule(**parts: str) -> Any:
    return http_pb2.HttpRule(**parts)


def test_additional_bindings_are_served() -> None:
    service = made(
        "trial1", rule(get="/v1/a/{invoice_id}"), rule(post="/v1/b/{invoice_id}:c", body="*")
    )
    router = Router(routes_of([service]))
    assert [(route.verb, route.template) for route in router.routes] == [
        ("GET", "/v1/a/{invoice_id}"),
        ("POST", "/v1/b/{invoice_id}:c"),
    ]
    assert router.find("POST", "/v1/b/x:c")[1] == ["x"]
    assert router.find("POST", "/v1/b/x:c")[0].service == "trial1"


@pytest.mark.parametrize(
    ("package", "rules"),
    [
        ("trial2", [rule(get="/v1/a/{nothing}")]),
        ("trial3", [rule(get="/v1/a/{invoice_id=x/*}")]),
        ("trial4", [rule(get="/v1/a"), rule(get="/v1/a")]),
        ("trial5", [rule(post="/v1/a", body="nothing")]),
        ("trial6", [rule(get="/v1/a", response_body="lines")]),
    ],
)
def test_what_cannot_be_served_stops_the_start(package: str, rules: list[Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        Router(routes_of([made(package, *rules)]))


def test_a_stream_of_requests_must_be_a_header_and_chunks() -> None:
    method = ROUTER.find("POST", "/v1/invoices:upload")[0].method
    assert Route("POST", "/v1/x", method, (), "*").check().is_upload
    with pytest.raises(ValueError, match="no field"):
        Route("POST", "/v1/{chunk}", method, ("chunk",), "*").check()
