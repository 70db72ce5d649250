"""The OpenAPI 3.1 document, made of the contracts and their comments."""

import json
from collections.abc import Iterable, Sequence
from importlib.resources import files
from typing import Any

from google.api import field_behavior_pb2
from google.protobuf.descriptor import FieldDescriptor

from gateway import decoding
from gateway.routes import Route, field_at
from libs.rpc import behaviors

_SCALARS: dict[int, dict[str, Any]] = {
    FieldDescriptor.CPPTYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.CPPTYPE_INT32: {"type": "integer", "format": "int32"},
    FieldDescriptor.CPPTYPE_UINT32: {"type": "integer", "minimum": 0, "maximum": 2**32 - 1},
    FieldDescriptor.CPPTYPE_INT64: {"type": "string", "format": "int64"},
    FieldDescriptor.CPPTYPE_UINT64: {"type": "string", "format": "uint64"},
    FieldDescriptor.CPPTYPE_DOUBLE: {"type": "number", "format": "double"},
    FieldDescriptor.CPPTYPE_FLOAT: {"type": "number", "format": "float"},
    FieldDescriptor.CPPTYPE_STRING: {"type": "string"},
}
_SPECIAL: dict[str, dict[str, Any]] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Duration": {"type": "string", "examples": ["1.5s"]},
    "google.protobuf.FieldMask": {"type": "string", "examples": ["lines,due_date"]},
    "google.protobuf.Any": {
        "type": "object",
        "properties": {"@type": {"type": "string"}},
        "additionalProperties": True,
    },
    "google.api.HttpBody": {"type": "string", "format": "binary"},
}
_DAY = {"type": "string", "format": "date", "examples": ["2026-01-31"]}
_BEHAVIORS = {
    field_behavior_pb2.OUTPUT_ONLY: {"readOnly": True},
    field_behavior_pb2.INPUT_ONLY: {"writeOnly": True},
}
_BESIDE_FORM = ("filename", "content_type", "request_id")  # come with the file, or a header
_BINARY = {"type": "string", "format": "binary"}
_PROBLEM = {
    "type": "object",
    "description": "Why a request failed (RFC 9457).",
    "required": ["type", "title", "status", "detail", "reason", "request_id"],
    "properties": {
        "type": {"type": "string", "examples": ["urn:auditron:problem:invoice-not-found"]},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "For a person."},
        "reason": {
            "type": "string",
            "description": "For a program; each operation lists its own.",
            "examples": ["INVOICE_NOT_FOUND"],
        },
        "request_id": {"type": "string", "description": "As in the logs."},
        "metadata": {"type": "object", "additionalProperties": {"type": "string"}},
        "violations": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"field": {"type": "string"}, "description": {"type": "string"}},
            },
        },
    },
}
_IDEMPOTENCY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "The same key and request again: the same answer, one effect. Kept for 7 days.",
    "schema": {"type": "string", "maxLength": 255},
    "example": "0192f0c0-0000-7000-8000-000000000001",
}
_EVENTS = {
    "operationId": "WatchEvents",
    "tags": ["Events"],
    "summary": "Sends the organization's events as they happen.",
    "description": (
        "Server-sent events, or JSON messages {id, event, data} over a WebSocket at the same path. "
        "Only what the caller may read is sent. After a break, come back with the last id; the "
        "event `resync` says that some were missed. The event `error` holds a problem and is the "
        "last. Where no header can be sent, the token goes into `access_token`, or into the "
        "WebSocket subprotocol `bearer.TOKEN`."
    ),
    "parameters": [
        {
            "name": "types",
            "in": "query",
            "description": "Only events of these kinds of resource.",
            "schema": {"type": "string"},
            "example": "invoice,job",
        },
        {"name": "last_event_id", "in": "query", "schema": {"type": "string"}},
        {"name": "access_token", "in": "query", "schema": {"type": "string"}},
        {"name": "Last-Event-ID", "in": "header", "schema": {"type": "string"}},
    ],
    "responses": {
        "200": {
            "description": "Events until the client goes.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        },
        "default": {"$ref": "#/components/responses/Problem"},
    },
}


def document(routes: Sequence[Route]) -> dict[str, Any]:
    """Return the document of these routes."""
    return _Document().of(routes)


class _Document:
    """Collects the schemas that the operations name."""

    def __init__(self) -> None:
        self._comments: dict[str, str] = json.loads(
            (files("auditron") / "comments.json").read_text()
        )
        self._schemas: dict[str, dict[str, Any]] = {"Problem": _PROBLEM}

    def of(self, routes: Sequence[Route]) -> dict[str, Any]:
        paths: dict[str, dict[str, Any]] = {"/v1/events": {"get": _EVENTS}}
        for route in routes:
            paths.setdefault(route.template, {})[route.verb.lower()] = self._operation(route)
        services = {route.method.containing_service.full_name: route for route in routes}
        problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
        return {
            "openapi": "3.1.0",
            "info": {
                "title": "AUDITRON",
                "version": "1",
                "description": "Keeps a company's books: invoices, bank, ledger, reports.",
            },
            "servers": [{"url": "/"}],
            "tags": [
                {"name": _tag(route), "description": self._comments.get(name, "")}
                for name, route in services.items()
            ]
            + [{"name": "Events", "description": "What happens, while it happens."}],
            "security": [{"token": []}, {"apiKey": []}],
            "paths": paths,
            "components": {
                "schemas": dict(sorted(self._schemas.items())),
                "responses": {"Problem": {"description": "Why it failed.", "content": problem}},
                "securitySchemes": {
                    "token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                    "apiKey": {"type": "apiKey", "in": "header", "name": "X-Api-Key"},
                },
            },
        }

    def _operation(self, route: Route) -> dict[str, Any]:
        method = route.method
        comment = self._comments.get(str(method.full_name), "")
        found: dict[str, Any] = {
            "operationId": method.name,
            "tags": [_tag(route)],
            "summary": f"{comment.partition('. ')[0].rstrip('.')}.",
            "description": comment,
            "parameters": self._parameters(route),
            "responses": {
                "200": {"description": "Done.", "content": self._answer(route)},
                "default": {"$ref": "#/components/responses/Problem"},
            },
        }
        if route.body:
            found["requestBody"] = self._body(route)
        if route.is_public:
            found["security"] = []
        elif route.permission != "member":
            found["x-permission"] = route.permission
        return {name: value for name, value in found.items() if value != [] or name == "security"}

    def _parameters(self, route: Route) -> list[dict[str, Any]]:
        found = []
        for path in route.path_fields:
            field = field_at(route.fields, path)
            found.append(self._parameter(path, field, "path") | {"required": True})
        if route.body != "*" or route.is_upload:
            texts = decoding.text_fields(route.fields, but={*route.path_fields, route.body})
            found += [
                self._parameter(name, field, "query")
                for name, field in texts.items()
                if name != "request_id" and not _is_part_of_date(route.fields, name)
            ]
        if "request_id" in route.fields.fields_by_name:
            found.append(_IDEMPOTENCY)
        return found

    def _parameter(self, name: str, field: Any, place: str) -> dict[str, Any]:
        schema = self._field_type(field)
        is_day = bool(field.message_type and field.message_type.full_name == decoding.DATE)
        found = {"name": name, "in": place, "schema": _DAY if is_day else schema}
        if comment := self._comments.get(field.full_name):
            found["description"] = comment
        example = _example(field)
        return found if example is None else found | {"example": example}

    def _body(self, route: Route) -> dict[str, Any]:
        if route.raw_field:
            return {"required": True, "content": {"*/*": {"schema": _BINARY}}}
        if route.is_upload:
            texts = decoding.text_fields(route.fields, but=route.path_fields)
            form = {name: self._field(field) for name, field in texts.items()}
            for name in _BESIDE_FORM:
                form.pop(name, None)
            schema = {
                "type": "object",
                "required": ["file"],
                "properties": form | {"file": _BINARY},
            }
            limit = {"description": f"At most {route.body_bytes_max} bytes; the file comes last."}
            content = {
                "multipart/form-data": {"schema": schema},
                "application/octet-stream": {"schema": _BINARY},
            }
            return {"required": True, "content": content, **limit}
        if route.body == "*":
            left_out = {*route.path_fields, "request_id"}
            schema = self._message(route.fields, left_out)
        else:
            schema = self._type(field_at(route.fields, route.body))
        return {"required": True, "content": {"application/json": {"schema": schema}}}

    def _answer(self, route: Route) -> dict[str, Any]:
        if route.is_download:
            return {"*/*": {"schema": _BINARY}}
        schema = self._reference(route.method.output_type)
        return {"text/event-stream" if route.is_stream else "application/json": {"schema": schema}}

    def _reference(self, message: Any) -> dict[str, Any]:
        if special := _SPECIAL.get(message.full_name):
            return special
        name = _short(message.full_name)
        if name not in self._schemas:
            self._schemas[name] = {}  # before its fields: they may name it
            self._schemas[name] = self._message(message, ())
        return {"$ref": f"#/components/schemas/{name}"}

    def _message(self, message: Any, left_out: Iterable[str]) -> dict[str, Any]:
        fields = [field for field in message.fields if field.name not in left_out]
        found: dict[str, Any] = {
            "type": "object",
            "properties": {field.name: self._field(field) for field in fields},
        }
        required = [
            field.name for field in fields if field_behavior_pb2.REQUIRED in behaviors(field)
        ]
        if required:
            found["required"] = required
        if comment := self._comments.get(message.full_name):
            found["description"] = comment
        return found

    def _field(self, field: Any) -> dict[str, Any]:
        found = dict(self._field_type(field))
        if comment := self._comments.get(field.full_name):
            found["description"] = comment
        for behavior in behaviors(field):
            found |= _BEHAVIORS.get(behavior, {})
        return found

    def _field_type(self, field: Any) -> dict[str, Any]:
        if field.message_type and field.message_type.GetOptions().map_entry:
            value = self._type(field.message_type.fields_by_name["value"])
            return {"type": "object", "additionalProperties": value}
        one = self._type(field)
        return {"type": "array", "items": one} if field.is_repeated else one

    def _type(self, field: Any) -> dict[str, Any]:
        if field.message_type:
            return self._reference(field.message_type)
        if field.enum_type:
            return self._enum(field.enum_type)
        if field.type == FieldDescriptor.TYPE_BYTES:
            return {"type": "string", "contentEncoding": "base64"}
        return _SCALARS[field.cpp_type]

    def _enum(self, enum: Any) -> dict[str, Any]:
        name = _short(enum.full_name)
        if name not in self._schemas:
            said = {v.name: self._comments.get(f"{enum.full_name}.{v.name}") for v in enum.values}
            lines = [self._comments.get(enum.full_name, "")]
            lines += [f"- `{value}`: {comment}" for value, comment in said.items() if comment]
            self._schemas[name] = {
                "type": "string",
                "enum": [value.name for value in enum.values],
                "description": "\n".join(lines),
            }
        return {"$ref": f"#/components/schemas/{name}"}


def _tag(route: Route) -> str:
    return str(route.method.containing_service.name).removesuffix("Service")


def _short(full_name: str) -> str:
    """Return "ReportTable.Row" for "auditron.reporting.v1.ReportTable.Row"."""
    parts = full_name.split(".")
    return ".".join(part for part in parts if part[0].isupper())


def _is_part_of_date(message: Any, name: str) -> bool:
    parent, dot, _ = name.rpartition(".")
    if not dot:
        return False
    kind = field_at(message, parent).message_type
    return bool(kind and kind.full_name == decoding.DATE)


def _example(field: Any) -> Any:
    if field.enum_type:
        first: str = field.enum_type.values[min(1, len(field.enum_type.values) - 1)].name
        return [first] if field.is_repeated else first
    if field.name == "page_size":
        return 50
    if field.name.endswith("_id") and not field.is_repeated:
        return "0192f0c0-0000-7000-8000-000000000001"
    return None
