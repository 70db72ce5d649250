"""JSON and text → protobuf: strict, and every wrong field is named."""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from gateway import values
from gateway.problems import Problem
from libs.rpc.errors import Violation

VIOLATIONS_MAX = 50
NAME_MAX = 100  # characters of a field's name that are repeated to the client
DATE = "google.type.Date"
TEXT_DEPTH = 4  # of dotted names

# Fills a message, or a field of it, from a value that stands at this path.
Fill = Callable[[Any, Any, str, list[Violation]], None]

_fields: dict[str, dict[str, Fill]] = {}


class _Unclear(ValueError):  # noqa: N818  # says what is wrong with it
    """Python's reader takes it, but it is not JSON, or not the same to every reader."""


def parse_json(body: bytes) -> Any:
    """Return what the body says. Raises Problem for what is not plain, unambiguous JSON."""
    try:
        # Not orjson: it takes the last of two equal names, and another reader may take the first.
        return json.loads(
            body.decode(), object_pairs_hook=_without_repeats, parse_constant=_no_constant
        )
    except UnicodeDecodeError:
        detail = "The body is not UTF-8."
    except RecursionError:
        detail = "The body is nested too deeply."
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        detail = f"The body is not JSON: {error.msg} at {where}."
    except _Unclear as error:
        detail = f"The body is not plain JSON: {error}."
    except ValueError:
        detail = "The body holds a number that is too long."
    raise Problem(400, "BODY_MALFORMED", detail)


def fill(message: Message, given: Any, at: str, wrong: list[Violation]) -> None:
    """Set the fields of a message from a JSON object; what is wrong is added to `wrong`."""
    _filler(message.DESCRIPTOR)(message, given, at, wrong)


def text_fields(message: Any, but: Iterable[str] = ()) -> dict[str, FieldDescriptor]:
    """Return the fields that text can fill, as in a query: by dotted path, those in `but` left out.

    Lists of messages cannot; a Date can, whole or in its parts.
    """
    return dict(_text_fields(message, "", frozenset(but)))


def from_text(
    fields: Mapping[str, FieldDescriptor],
    pairs: Iterable[tuple[str, str]],
    wrong: list[Violation],
) -> dict[str, Any]:
    """Return the JSON object that names and texts stand for, for `fill`."""
    found: dict[str, Any] = {}
    for name, text in pairs:
        field = fields.get(name)
        if field is None:
            note(wrong, name, "no such parameter")
            continue
        *parents, last = name.split(".")
        holder: Any = found
        for parent in parents:
            holder = holder.setdefault(parent, {}) if isinstance(holder, dict) else None
        if not isinstance(holder, dict):
            note(wrong, name, "given whole and in parts")
        elif field.is_repeated:
            holder.setdefault(last, []).append(_typed(field, text))
        elif last in holder:
            note(wrong, name, "given more than once")
        else:
            holder[last] = _typed(field, text)
    return found


def note(wrong: list[Violation], at: str, description: str) -> None:
    """Add what is wrong at a path, unless there is enough already."""
    if len(wrong) < VIOLATIONS_MAX:
        wrong.append((at[: 4 * NAME_MAX] or "body", description))


def _typed(field: FieldDescriptor, text: str) -> Any:
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return {"true": True, "false": False}.get(text, text)
    if field.cpp_type == FieldDescriptor.CPPTYPE_ENUM and text.isdecimal() and len(text) < 10:
        return int(text)
    return text


def _text_fields(
    message: Any, prefix: str, but: frozenset[str]
) -> Iterable[tuple[str, FieldDescriptor]]:
    for field in message.fields:
        path = f"{prefix}{field.name}"
        nested = field.message_type
        if path in but:
            continue
        if nested is None:
            yield path, field
        elif not field.is_repeated:
            if nested.full_name in values.TEXTS or nested.full_name == DATE:
                yield path, field
            if nested.full_name not in values.SPECIAL and path.count(".") + 1 < TEXT_DEPTH:
                yield from _text_fields(nested, f"{path}.", but)


def _filler(descriptor: Any) -> Fill:
    name = descriptor.full_name
    if read := values.SPECIAL.get(name):
        return _special(read)
    plain = _plain(descriptor)
    if name != DATE:
        return plain
    whole = _special(values.read_date)

    def fill_date(message: Any, given: Any, at: str, wrong: list[Violation]) -> None:
        (whole if type(given) is str else plain)(message, given, at, wrong)

    return fill_date


def _special(read: values.Read) -> Fill:
    def fill_whole(message: Any, given: Any, at: str, wrong: list[Violation]) -> None:
        try:
            read(message, given)
        except ValueError as error:
            note(wrong, at, str(error))

    return fill_whole


def _plain(descriptor: Any) -> Fill:
    fields = _fields.get(descriptor.full_name)
    if fields is None:
        # Known before it is filled: a message may hold others of its own type.
        fields = _fields[descriptor.full_name] = {}
        fields.update({field.name: _field(field) for field in descriptor.fields})

    def fill_message(message: Any, given: Any, at: str, wrong: list[Violation]) -> None:
        if type(given) is not dict:
            note(wrong, at, "must be an object")
            return
        prefix = f"{at}." if at else ""
        for name, value in given.items():
            path = f"{prefix}{name[:NAME_MAX]}"
            set_field = fields.get(name)
            if set_field is None:
                note(wrong, path, "no such field")
            elif value is not None:  # null is absent
                set_field(message, value, path, wrong)

    return fill_message


def _field(field: Any) -> Fill:
    if field.message_type and field.message_type.GetOptions().map_entry:
        return _map(field)
    if field.is_repeated:
        return _list(field)
    set_field = _message(field) if field.message_type else _scalar(field)
    return _one_of(field, set_field)


def _scalar(field: Any) -> Fill:
    name, convert = field.name, values.converter(field)

    def set_field(message: Any, value: Any, at: str, wrong: list[Violation]) -> None:
        try:
            setattr(message, name, convert(value))
        except ValueError as error:
            note(wrong, at, str(error))

    return set_field


def _message(field: Any) -> Fill:
    name, inner = field.name, _filler(field.message_type)

    def set_field(message: Any, value: Any, at: str, wrong: list[Violation]) -> None:
        held = getattr(message, name)
        held.SetInParent()
        inner(held, value, at, wrong)

    return set_field


def _list(field: Any) -> Fill:
    name = field.name
    inner = _filler(field.message_type) if field.message_type else None
    convert = None if inner else values.converter(field)

    def set_field(message: Any, value: Any, at: str, wrong: list[Violation]) -> None:
        if type(value) is not list:
            note(wrong, at, "must be a list")
            return
        held = getattr(message, name)
        for index, item in enumerate(value):
            try:
                if convert:
                    held.append(convert(item))
                elif inner:
                    inner(held.add(), item, f"{at}.{index}", wrong)
            except ValueError as error:
                note(wrong, f"{at}.{index}", str(error))

    return set_field


def _map(field: Any) -> Fill:
    name, entry = field.name, field.message_type.fields_by_name
    key, value_field = values.converter(entry["key"]), entry["value"]
    assert not value_field.message_type, f"{field.full_name}: no map of messages is read from JSON"
    convert = values.converter(value_field)

    def set_field(message: Any, value: Any, at: str, wrong: list[Violation]) -> None:
        if type(value) is not dict:
            note(wrong, at, "must be an object")
            return
        held = getattr(message, name)
        for text, item in value.items():
            try:
                held[key(text)] = convert(item)
            except ValueError as error:
                note(wrong, f"{at}.{text[:NAME_MAX]}", str(error))

    return set_field


def _one_of(field: Any, set_field: Fill) -> Fill:
    """Return what refuses a second member of a oneof."""
    oneof = field.containing_oneof
    if oneof is None or len(oneof.fields) == 1:  # of one member: how proto3 says "optional"
        return set_field

    def set_alone(message: Any, value: Any, at: str, wrong: list[Violation]) -> None:
        if other := message.WhichOneof(oneof.name):
            note(wrong, at, f"excludes {other}")
        set_field(message, value, at, wrong)

    return set_alone


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Unclear("a name stands twice in one object")
    return found


def _no_constant(name: str) -> Any:
    raise _Unclear(f"{name} is no number")
