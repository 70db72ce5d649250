"""How a request's path, query, body and headers fill the message of its RPC."""

import re
import uuid
from collections.abc import Iterable, Sequence
from typing import Any

from google.protobuf import message_factory
from google.protobuf.message import Message

from gateway import decoding, values
from gateway.problems import Problem, invalid
from gateway.routes import Route, field_at
from libs.rpc import Violation, is_uuid, settable

REQUEST_ID = "request_id"
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
# Other idempotency keys are named within this, so that they fit a field that takes a UUID.
_KEYS = uuid.UUID("5c7a3a3e-6c0e-5d0c-9d0a-5a6f3b1f4f11")

Pairs = Iterable[tuple[str, str]]


class Binding:
    """Fills one route's message: the request, or the header of an upload."""

    def __init__(self, route: Route) -> None:
        self.route = route
        self._make: Any = message_factory.GetMessageClass(route.fields)
        self._path = [_setter(route, path) for path in route.path_fields]
        taken = {*route.path_fields, route.body}
        takes_text = route.body != "*" or route.is_upload
        self.text_fields = decoding.text_fields(route.fields, but=taken) if takes_text else {}
        self._has_request_id = REQUEST_ID in route.fields.fields_by_name
        # Without a request_id a repeated PATCH or DELETE has no second effect anyway, and before
        # somebody is known there is nobody's answer to keep: there a key asks for nothing more.
        self._refuses_key = route.verb == "POST" and not (self._has_request_id or route.is_public)
        self._mask_over = self._maskable()

    def request(
        self, path: Sequence[str], query: Pairs, body: bytes | None, idempotency_key: str
    ) -> Any:
        """Return the request; body None: there is none. Raises Problem that names wrong fields."""
        message = self._make()
        wrong: list[Violation] = []
        if query:
            texts = decoding.from_text(self.text_fields, query, wrong)
            decoding.fill(message, texts, "", wrong)
        if body is not None:
            self._fill_from(body, message, wrong)
        return self._finish(message, path, idempotency_key, wrong)

    def header(self, path: Sequence[str], pairs: Pairs, idempotency_key: str) -> Any:
        """Return an upload's header. Raises Problem, naming every wrong field."""
        return self.request(path, pairs, None, idempotency_key)

    def raw_request(
        self,
        path: Sequence[str],
        query: Pairs,
        body: bytes,
        content_type: str,
        idempotency_key: str,
    ) -> Any:
        """Return the request whose field takes the body as it came. Raises Problem."""
        message = self.request(path, query, None, idempotency_key)
        held = getattr(message, self.route.raw_field)
        held.content_type, held.data = content_type, body
        return message

    def _fill_from(self, body: bytes, message: Any, wrong: list[Violation]) -> None:
        given = decoding.parse_json(body) if body.strip() else {}
        name = self.route.body
        if name == "*":
            decoding.fill(message, given, "", wrong)
            return
        held = getattr(message, name)
        held.SetInParent()
        decoding.fill(held, given, name, wrong)
        if self._mask_over and not message.HasField("update_mask") and isinstance(given, dict):
            message.update_mask.paths.extend(key for key in given if key in self._mask_over)

    def _finish(
        self, message: Any, path: Sequence[str], idempotency_key: str, wrong: list[Violation]
    ) -> Message:
        for (parents, name, convert, at), text in zip(self._path, path, strict=True):
            holder = message
            for parent in parents:
                holder = getattr(holder, parent)
            try:
                value = convert(text)
                if (given := getattr(holder, name)) and given != value:
                    decoding.note(wrong, at, "differs from the path")
                setattr(holder, name, value)
            except ValueError as error:
                decoding.note(wrong, at, str(error))
        if request_id := self._request_id(idempotency_key):
            if message.request_id not in ("", request_id):
                decoding.note(wrong, REQUEST_ID, "differs from the header Idempotency-Key")
            message.request_id = request_id
        if wrong:
            raise invalid(wrong)
        return message  # type: ignore[no-any-return]

    def _request_id(self, idempotency_key: str) -> str:
        """Return the request_id that a key stands for, '' if there is none to fill."""
        if not idempotency_key or self.route.verb == "GET":
            return ""
        if not _KEY.fullmatch(idempotency_key):
            raise Problem(
                400, "IDEMPOTENCY_KEY_INVALID", "Idempotency-Key has 1 to 255 printable characters."
            )
        if self._refuses_key:
            raise Problem(
                400,
                "IDEMPOTENCY_KEY_UNSUPPORTED",
                "No answer is kept here: a request with Idempotency-Key would be done again.",
            )
        if not self._has_request_id:
            return ""
        if is_uuid(idempotency_key):
            return idempotency_key.lower()
        return str(uuid.uuid5(_KEYS, idempotency_key))

    def _maskable(self) -> frozenset[str]:
        """Return the fields whose presence in a PATCH's body says that they shall change."""
        route = self.route
        has_mask = "update_mask" in route.fields.fields_by_name
        if route.verb != "PATCH" or not has_mask or route.body in ("", "*"):
            return frozenset()
        resource = field_at(route.fields, route.body).message_type
        kept = {path.removeprefix(f"{route.body}.") for path in route.path_fields}
        return frozenset(settable(resource)) - kept


def _setter(route: Route, path: str) -> tuple[list[str], str, values.Convert, str]:
    *parents, name = path.split(".")
    return parents, name, values.converter(field_at(route.fields, path)), path
