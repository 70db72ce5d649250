"""Single values as JSON or text has them, checked and turned into what protobuf holds."""

import base64
import binascii
import math
import re
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any, NoReturn

from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor

from gateway.encoding import SELDOM

Convert = Callable[[Any], Any]  # raises ValueError that says what is wrong
Read = Callable[[Any, Any], None]  # fills a message from a value; raises likewise

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_TIME = re.compile(
    r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:Z|[+-]\d{2}:\d{2})", re.ASCII
)
_DURATION = re.compile(r"-?\d{1,12}(?:\.\d{1,9})?s", re.ASCII)
_MASK = re.compile(r"(?:[a-z][a-z0-9_.]*(?:,[a-z][a-z0-9_.]*)*)?", re.ASCII)
_INTEGER = re.compile(r"-?\d{1,20}", re.ASCII)
_NUMBER = re.compile(r"-?\d{1,40}(?:\.\d{1,40})?(?:[eE][+-]?\d{1,3})?", re.ASCII)


def converter(field: FieldDescriptor) -> Convert:
    """Return what turns a value into the scalar of this field."""
    if field.cpp_type == FieldDescriptor.CPPTYPE_ENUM:
        return _enum(field)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return _bytes
    return _SCALARS[field.cpp_type]


def wrong(description: str) -> NoReturn:
    """Say what is wrong with a value."""
    raise ValueError(description)


def _bool(value: Any) -> bool:
    return value if type(value) is bool else wrong("must be true or false")


def _integer(least: int, beyond: int) -> Convert:
    def convert(value: Any) -> int:
        is_whole = type(value) is float and value.is_integer()
        if is_whole or (type(value) is str and _INTEGER.fullmatch(value)):
            value = int(value)
        if type(value) is not int:
            wrong("must be an integer")
        if not least <= value < beyond:
            wrong(f"must be from {least} to {beyond - 1}")
        return int(value)

    return convert


def _number(value: Any) -> float:
    if type(value) is str and _NUMBER.fullmatch(value):
        value = float(value)
    if type(value) is int and abs(value) < 2**1023:
        value = float(value)
    if type(value) is not float or not math.isfinite(value):
        wrong("must be a number")
    return float(value)


def _enum(field: FieldDescriptor) -> Convert:
    kind: Any = field.enum_type
    numbers = {value.name: value.number for value in kind.values}
    known = set(numbers.values())
    names = ", ".join(numbers)

    def convert(value: Any) -> int:
        if type(value) is str and value in numbers:
            return int(numbers[value])
        if type(value) is int and value in known:
            return value
        return wrong(f"must be one of {names}")

    return convert


def _string(value: Any) -> str:
    if type(value) is not str:
        wrong("must be text")
    if "\0" in value:
        wrong("must not hold the character NUL")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            wrong("must be valid Unicode text")
    return str(value)


def _bytes(value: Any) -> bytes:
    if type(value) is not str:
        wrong("must be base64")
    text = value.translate({ord("-"): "+", ord("_"): "/"})
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return wrong("must be base64")


def _timestamp(message: Any, value: Any) -> None:
    try:
        message.FromJsonString(value if type(value) is str and _TIME.fullmatch(value) else "")
    except ValueError:
        wrong("must be a time as 2026-01-31T12:00:00Z")


def _duration(message: Any, value: Any) -> None:
    try:
        message.FromJsonString(value if type(value) is str and _DURATION.fullmatch(value) else "")
    except ValueError:
        wrong("must be a duration as 1.5s")


def _field_mask(message: Any, value: Any) -> None:
    if type(value) is not str or not _MASK.fullmatch(value):
        wrong("must be names of fields, separated by commas")
    message.paths.extend(path for path in value.split(",") if path)


def read_date(message: Any, value: str) -> None:
    """Fill a google.type.Date from text as "2026-01-31"."""
    try:
        day = date.fromisoformat(value if _DATE.fullmatch(value) else "")
    except ValueError:
        wrong("must be a day as 2026-01-31")
    message.year, message.month, message.day = day.year, day.month, day.day


def _seldom(message: Any, value: Any) -> None:
    try:
        json_format.ParseDict(value, message)
    except (json_format.ParseError, TypeError, ValueError, AttributeError):
        wrong("has the wrong form")


def _any(_message: Any, _value: Any) -> None:
    wrong("cannot be given")


_SCALARS: Mapping[int, Convert] = {
    FieldDescriptor.CPPTYPE_BOOL: _bool,
    FieldDescriptor.CPPTYPE_INT32: _integer(-(2**31), 2**31),
    FieldDescriptor.CPPTYPE_UINT32: _integer(0, 2**32),
    FieldDescriptor.CPPTYPE_INT64: _integer(-(2**63), 2**63),
    FieldDescriptor.CPPTYPE_UINT64: _integer(0, 2**64),
    FieldDescriptor.CPPTYPE_DOUBLE: _number,
    FieldDescriptor.CPPTYPE_FLOAT: _number,
    FieldDescriptor.CPPTYPE_STRING: _string,
}
# Messages that JSON writes as one text.
TEXTS: Mapping[str, Read] = {
    "google.protobuf.Timestamp": _timestamp,
    "google.protobuf.Duration": _duration,
    "google.protobuf.FieldMask": _field_mask,
}
# All messages that JSON writes in a way of their own.
SPECIAL: Mapping[str, Read] = {
    **TEXTS,
    "google.protobuf.Any": _any,
    **{f"google.protobuf.{name}": _seldom for name in SELDOM},
}
