"""Protobuf → JSON: a function for each message type, made once from its descriptor."""

import base64
import math
import struct
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import orjson
from google.protobuf import descriptor_pool, json_format, message_factory
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

Encode = Callable[[Any], Any]
# Well-known types that are left to protobuf's own JSON.
SELDOM = (
    *("Struct", "Value", "ListValue", "BoolValue", "BytesValue", "DoubleValue", "FloatValue"),
    *("Int32Value", "Int64Value", "StringValue", "UInt32Value", "UInt64Value"),
)

_encoders: dict[str, Encode] = {}


def to_json(message: Message) -> bytes:
    """Return the message as JSON: proto field names, enum names, int64 as text, unset = absent."""
    return orjson.dumps(encoder(message.DESCRIPTOR)(message))


def encoder(descriptor: Any) -> Encode:
    """Return the function that turns a message of this type into what orjson can write."""
    name = descriptor.full_name
    found = _encoders.get(name)
    if found is None:
        found = _encoders[name] = _SPECIAL.get(name) or _of_message(descriptor)
    return found


def _of_message(descriptor: Any) -> Encode:
    table: dict[int, tuple[str, Encode | None]] = {}

    def encode(message: Any) -> dict[str, Any]:
        if not table:  # filled late, for a message may hold others of its own type
            table.update({f.number: (str(f.name), _of_field(f)) for f in descriptor.fields})
        found = {}
        for field, value in message.ListFields():
            name, convert = table[field.number]
            found[name] = value if convert is None else convert(value)
        return found

    return encode


def _of_field(field: Any) -> Encode | None:
    """Return how the field's value is converted; None: it is JSON already."""
    if field.message_type and field.message_type.GetOptions().map_entry:
        value = _of_one(field.message_type.fields_by_name["value"])
        return lambda found: {
            _key(key): value(found[key]) if value else found[key] for key in found
        }
    one = _of_one(field)
    if not field.is_repeated:
        return one
    return list if one is None else lambda found: [one(item) for item in found]


def _of_one(field: Any) -> Encode | None:
    if field.message_type:
        return encoder(field.message_type)
    if field.enum_type:
        names = {value.number: value.name for value in field.enum_type.values}
        return lambda number: names.get(number, number)
    return _bytes if field.type == FieldDescriptor.TYPE_BYTES else _SCALARS.get(field.cpp_type)


def _key(key: Any) -> str:
    return str(key).lower() if isinstance(key, bool) else str(key)


def _bytes(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _double(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _float(value: float) -> float | str:
    """Return the shortest number that is the same in 32 bits."""
    if not math.isfinite(value):
        return _double(value)
    bits = struct.pack("f", value)
    short = (float(f"{value:.{digits}g}") for digits in range(6, 10))
    return next(number for number in short if struct.pack("f", number) == bits)


def _fraction(nanos: int) -> str:
    """Return ".5" as protobuf writes it: with 3, 6 or 9 digits, or none at all."""
    if not nanos:
        return ""
    digits = f"{nanos:09}"
    for length in (3, 6):
        if not int(digits[length:]):
            return f".{digits[:length]}"
    return f".{digits}"


def _timestamp(value: Any) -> str:
    day = datetime.fromtimestamp(value.seconds, UTC).isoformat()[:19]
    return f"{day}{_fraction(value.nanos)}Z"


def _duration(value: Any) -> str:
    sign = "-" if value.seconds < 0 or value.nanos < 0 else ""
    return f"{sign}{abs(value.seconds)}{_fraction(abs(value.nanos))}s"


def _field_mask(value: Any) -> str:
    return ",".join(value.paths)


def _any(value: Any) -> dict[str, Any]:
    if not value.type_url:
        return {}
    try:
        name = value.type_url.rpartition("/")[2]
        descriptor = descriptor_pool.Default().FindMessageTypeByName(name)
        inner = message_factory.GetMessageClass(descriptor).FromString(value.value)
    except (KeyError, DecodeError):  # of a contract that is newer than ours
        return {"@type": value.type_url, "value": _bytes(value.value)}
    found = encoder(descriptor)(inner)
    if isinstance(found, dict) and descriptor.full_name not in _SPECIAL:
        return {"@type": value.type_url, **found}
    return {"@type": value.type_url, "value": found}


def _slowly(value: Message) -> Any:
    return json_format.MessageToDict(value, preserving_proto_field_name=True)


# Scalars that are not JSON as they are.
_SCALARS: dict[int, Encode] = {
    FieldDescriptor.CPPTYPE_INT64: str,
    FieldDescriptor.CPPTYPE_UINT64: str,
    FieldDescriptor.CPPTYPE_DOUBLE: _double,
    FieldDescriptor.CPPTYPE_FLOAT: _float,
}
_SPECIAL: dict[str, Encode] = {
    "google.protobuf.Timestamp": _timestamp,
    "google.protobuf.Duration": _duration,
    "google.protobuf.FieldMask": _field_mask,
    "google.protobuf.Any": _any,
    # No contract answers with these on a hot path.
    **{f"google.protobuf.{name}": _slowly for name in SELDOM},
}
