"""The routes: which method and path belongs to which RPC, as the contracts' own options say."""

import importlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import auditron
from auditron.options.v1 import options_pb2
from google.api import annotations_pb2, http_pb2
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

from gateway.problems import Problem

BODY_BYTES_MAX = 1_000_000  # where the contract does not say
HTTP_BODY = "google.api.HttpBody"
PUBLIC = "public"
_INTERNAL = {"auditron.event.v1.EventLogService"}  # for services alone
_VARIABLE = re.compile(r"\{([a-z0-9_.]+)\}")
_LITERAL = re.compile(r"[A-Za-z0-9._~-]+")


@dataclass(frozen=True)
class Route:
    """One binding of one RPC."""

    verb: str  # "GET"
    template: str  # "/v1/invoices/{invoice_id}:approve"
    method: MethodDescriptor
    path_fields: tuple[str, ...]  # "invoice_id", "invoice.invoice_id"
    body: str  # "", "*" or a field of the request

    @cached_property
    def service(self) -> str:
        """Who serves it, as "invoice"."""
        return str(self.method.full_name).split(".")[1]

    @cached_property
    def rpc(self) -> str:
        """The RPC's path, as "/auditron.invoice.v1.InvoiceService/GetInvoice"."""
        return f"/{self.method.containing_service.full_name}/{self.method.name}"

    @cached_property
    def permission(self) -> str:
        """What the caller needs; the service checks it."""
        return str(_option(self.method, options_pb2.permission))

    @cached_property
    def is_public(self) -> bool:
        """Whether it asks for no token."""
        return self.permission == PUBLIC

    @cached_property
    def is_cacheable(self) -> bool:
        """Whether its answers may be kept until the organization's next event of the service."""
        return bool(_option(self.method, options_pb2.cacheable))

    @cached_property
    def body_bytes_max(self) -> int:
        """The longest body that it takes."""
        return int(_option(self.method, options_pb2.body_bytes_max)) or BODY_BYTES_MAX

    @cached_property
    def is_upload(self) -> bool:
        """Whether its request is a stream of a header and chunks."""
        return bool(self.method.client_streaming)

    @cached_property
    def is_download(self) -> bool:
        """Whether its answer is a stream of bytes with a content type."""
        return self.method.server_streaming and self.method.output_type.full_name == HTTP_BODY

    @cached_property
    def is_stream(self) -> bool:
        """Whether its answer is a stream of messages."""
        return self.method.server_streaming and not self.is_download

    @cached_property
    def fields(self) -> Any:
        """The message that path, query and body fill: the request, or an upload's header."""
        request = self.method.input_type
        return request.fields_by_name["header"].message_type if self.is_upload else request

    @cached_property
    def raw_field(self) -> str:
        """The field that takes the body as it came, '' if there is none."""
        found = self.method.input_type.fields_by_name.get(self.body)
        is_raw = found and found.message_type and found.message_type.full_name == HTTP_BODY
        return self.body if is_raw else ""

    def check(self) -> "Route":
        """Return the route. Raises ValueError if the gateway cannot serve what it promises."""
        if self.is_upload:
            part = self.method.input_type.oneofs_by_name.get("part")
            if not part or [member.name for member in part.fields] != ["header", "chunk"]:
                raise ValueError(f"{self.method.full_name} does not stream a header and chunks")
        for path in self.path_fields:
            field_at(self.fields, path)
        if self.body not in ("", "*"):
            field_at(self.fields, self.body)
        return self


def field_at(message: Any, path: str) -> Any:
    """Return the field that a dotted path leads to. Raises ValueError if there is none."""
    found: Any = None
    for name in path.split("."):
        found = message.fields_by_name.get(name) if message else None
        if found is None:
            raise ValueError(f"no field {path}")
        message = found.message_type
    return found


def _option(method: MethodDescriptor, extension: Any) -> Any:
    options: Any = method.GetOptions()
    return options.Extensions[extension]


def contracts() -> list[ServiceDescriptor]:
    """Return the services of every contract that is installed, by name."""
    found = []
    for root in map(Path, auditron.__path__):
        for file in sorted(root.rglob("*_pb2.py")):
            name = ".".join(["auditron", *file.relative_to(root).with_suffix("").parts])
            contract = importlib.import_module(name)
            found += contract.DESCRIPTOR.services_by_name.values()
    return found


def routes_of(services: Iterable[ServiceDescriptor]) -> Iterator[Route]:
    """Give every binding of every RPC that has one. Raises ValueError for what cannot be served."""
    for service in services:
        if service.full_name in _INTERNAL:
            continue
        for method in service.methods:
            rule = _option(method, annotations_pb2.http)
            for binding in (rule, *rule.additional_bindings):
                if binding.WhichOneof("pattern"):
                    yield _route(method, binding)


def _route(method: MethodDescriptor, binding: http_pb2.HttpRule) -> Route:
    kind = binding.WhichOneof("pattern")
    if kind == "custom" or binding.response_body:
        raise ValueError(f"{method.full_name}: custom verbs and response_body are not served")
    template = getattr(binding, kind)
    names = tuple(_VARIABLE.findall(template))
    return Route(kind.upper(), template, method, names, binding.body).check()


@dataclass
class _Node:
    """What may follow one place in a path."""

    literals: dict[str, "_Node"] = field(default_factory=dict)
    variable: "_Node | None" = None
    # ":approve" → "POST" → route; "" where nothing follows the last segment.
    ends: dict[str, dict[str, Route]] = field(default_factory=dict)


class Router:
    """Finds the route of a method and path."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = list(routes)
        self._root = _Node()
        for route in self.routes:
            self._add(route)

    def _add(self, route: Route) -> None:
        path, verb = _split_verb(route.template)
        node = self._root
        for segment in path.split("/")[1:]:
            if _VARIABLE.fullmatch(segment):
                node.variable = node.variable or _Node()
                node = node.variable
            elif _LITERAL.fullmatch(segment):
                node = node.literals.setdefault(segment, _Node())
            else:
                raise ValueError(f"{route.template}: a segment is a word or one {{field}}")
        end = node.ends.setdefault(verb, {})
        if route.verb in end:
            raise ValueError(f"two RPCs have {route.verb} {route.template}")
        end[route.verb] = route

    def find(self, verb: str, path: str) -> tuple[Route, list[str]]:
        """Return the route and the values in the path, decoded.

        Raises Problem: no such path (404), no such method there (405), no UTF-8 (400).
        """
        wanted = "GET" if verb == "HEAD" else verb
        for end, values in self._at(path):
            route = end.get(wanted)
            if route and not (verb == "HEAD" and route.method.server_streaming):
                return route, [_decoded(value) for value in values]
        if not (verbs := self.verbs(path)):
            raise Problem(404, "ROUTE_NOT_FOUND", "There is nothing at this path.")
        raise not_allowed(verb, verbs)

    def verbs(self, path: str) -> list[str]:
        """Return the methods that the path has, [] if there is no such path."""
        return sorted({verb for end, _ in self._at(path) for verb in end})

    def _at(self, path: str) -> Iterator[tuple[dict[str, Route], list[str]]]:
        """Give what the path may mean, words before variables."""
        head, verb = _split_verb(path)
        yield from _walk(self._root, head.split("/"), 1, verb, [])
        if verb:  # a value may hold a colon
            yield from _walk(self._root, path.split("/"), 1, "", [])


def not_allowed(verb: str, allowed: Iterable[str]) -> Problem:
    """Return the problem of a method that the path does not have."""
    allow = (b"allow", ", ".join(allowed).encode())
    return Problem(405, "METHOD_NOT_ALLOWED", f"{verb[:20]} is not possible here.", headers=[allow])


def _split_verb(path: str) -> tuple[str, str]:
    """Split "/v1/invoices/x:approve" where ":approve" begins."""
    colon = path.rfind(":")
    return (path[:colon], path[colon:]) if colon > path.rfind("/") else (path, "")


def _walk(
    node: _Node, segments: Sequence[str], at: int, verb: str, values: list[str]
) -> Iterator[tuple[dict[str, Route], list[str]]]:
    if at == len(segments):
        if end := node.ends.get(verb):
            yield end, values
        return
    segment = segments[at]
    if literal := node.literals.get(segment):
        yield from _walk(literal, segments, at + 1, verb, values)
    if node.variable and segment:
        yield from _walk(node.variable, segments, at + 1, verb, [*values, segment])


def _decoded(value: str) -> str:
    if "%" not in value:
        return value
    try:
        return unquote_to_bytes(value).decode()
    except UnicodeDecodeError:
        raise Problem(400, "PATH_MALFORMED", "The path is not URL-encoded UTF-8.") from None
