"""Turns rows into protobuf messages and back: a column has the name of its field.

| field | column |
|---|---|
| Timestamp, Date, Duration | timestamptz, date, interval |
| Money `f` | `f` numeric, with `f_currency_code` or the row's single `currency_code` |
| string | text, uuid or numeric (as plain digits) |
| enum, number, bool, bytes | the same |
| another message | bytea, serialized |
| repeated | an array of the above; of Money: bytea[] |
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any, TypeVar

from auditron.type.v1.money_pb2 import Money
from google.protobuf.descriptor import Descriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.date_pb2 import Date

from .connection import Record

AnyMessage = TypeVar("AnyMessage", bound=Message)
Convert = Callable[[Any], Any]
Field = Any  # a descriptor: the stubs have two types for it that do not fit each other

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_AMOUNT = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_CURRENCY = "currency_code"


def to_message(
    row: Record | Mapping[str, Any] | None, message_type: type[AnyMessage]
) -> AnyMessage:
    """Return a message filled from the columns that have a field; null leaves the field unset.

    None, as a statement's missing row, is a mistake: ask before where a row may be missing.
    """
    assert row is not None, "there is no row"
    read: Callable[[Any], AnyMessage] = _reader(message_type.DESCRIPTOR, tuple(row.keys()))
    return read(row)


def values(message: Message, *columns: str) -> list[Any]:
    """Return what to write into the columns, in their order.

    None stands for an unset field that has presence, and for an empty id (`*_id`). Raises
    ValueError for an amount that is no plain decimal number, for a date that is none, and for
    amounts of several currencies where the columns hold one.
    """
    shared, getters = _writer(message.DESCRIPTOR, columns)
    if shared:
        _shared_currency(message, shared)
    return [get(message) for get in getters]


def columns_of(
    message_type: type[Message], *others: str, one_currency: bool = False
) -> tuple[str, ...]:
    """Return the columns of a message's fields but the others, in the order of the contract.

    An amount's currency stands in a column of its own; with one_currency that of all of them in
    `currency_code`.
    """
    found = []
    for field in message_type.DESCRIPTOR.fields:
        if field.name in others:
            continue
        found.append(field.name)
        if _is_amount(field):
            found.append(_CURRENCY if one_currency else f"{field.name}_{_CURRENCY}")
    return tuple(dict.fromkeys(found))


def places(columns: Sequence[str], first: int) -> str:
    """Return the placeholders of values for these columns, from a number on: "$3, $4, $5"."""
    return ", ".join(f"${number}" for number in range(first, first + len(columns)))


def plain(amount: Decimal) -> str:
    """Return a finite number's digits without exponent, "12.30"; ValueError if it is not finite."""
    if not amount.is_finite():
        raise ValueError(f"{amount} is not an amount")
    return format(amount, "f")


@lru_cache(maxsize=4096)
def _reader(descriptor: Descriptor, columns: tuple[str, ...]) -> Convert:
    message_type, fields = GetMessageClass(descriptor), descriptor.fields_by_name
    single: list[tuple[str, Convert | None]] = []
    amounts: list[tuple[str, str]] = []
    for column in columns:
        field = fields.get(column)
        if field is None:
            continue
        if _is_amount(field):
            own = f"{column}_{_CURRENCY}"
            currency = own if own in columns else _CURRENCY
            assert currency in columns, f"{column} has no currency: select {own} or {_CURRENCY} too"
            amounts.append((column, currency))
        else:
            single.append((column, _each(field, _from_column(field))))

    def read(row: Any) -> Any:
        found = {}
        for column, convert in single:
            value = row[column]
            if value is not None:
                found[column] = value if convert is None else convert(value)
        for column, currency in amounts:
            value = row[column]
            if value is not None:
                found[column] = Money(amount=plain(value), currency_code=row[currency])
        return message_type(**found)

    return read


def _from_column(field: Field) -> Convert | None:
    if field.type == field.TYPE_STRING:
        return _text
    if field.message_type is None:
        return None
    known: dict[str, Convert] = {
        Timestamp.DESCRIPTOR.full_name: _timestamp,
        Duration.DESCRIPTOR.full_name: _duration,
        Date.DESCRIPTOR.full_name: _date,
    }
    name = field.message_type.full_name
    return known.get(name) or GetMessageClass(field.message_type).FromString


def _text(value: Any) -> str:
    if type(value) is str:
        return value
    return plain(value) if isinstance(value, Decimal) else str(value)


def _timestamp(value: datetime) -> Timestamp:
    since = value - _EPOCH
    return Timestamp(seconds=since.days * 86400 + since.seconds, nanos=since.microseconds * 1000)


def _duration(value: timedelta) -> Duration:
    result = Duration()
    result.FromTimedelta(value)
    return result


def _date(value: date) -> Date:
    return Date(year=value.year, month=value.month, day=value.day)


@lru_cache(maxsize=4096)
def _writer(
    descriptor: Descriptor, columns: tuple[str, ...]
) -> tuple[tuple[str, ...], list[Convert]]:
    """Return the amounts that share one currency, and a function for each column."""
    fields = descriptor.fields_by_name
    every = tuple(name for name, field in fields.items() if _is_amount(field))
    written = tuple(name for name in every if name in columns)
    shared = tuple(name for name in written if f"{name}_{_CURRENCY}" not in columns)
    return shared, [_getter(fields, column, written or every) for column in columns]


def _getter(fields: Mapping[str, Field], column: str, amounts: tuple[str, ...]) -> Convert:
    field = fields.get(column)
    if field is not None:
        return _field_getter(field)
    if column == _CURRENCY and amounts:
        return lambda message: _shared_currency(message, amounts)
    name = column.removesuffix(f"_{_CURRENCY}")
    assert name != column and _is_amount(fields.get(name)), f"no field for column {column}"  # noqa: PT018
    return lambda message: getattr(message, name).currency_code if message.HasField(name) else None


def _field_getter(field: Field) -> Convert:
    name = field.name
    convert = _each(field, _to_column(field))
    if field.has_presence:

        def get(message: Any) -> Any:
            if not message.HasField(name):
                return None
            value = getattr(message, name)
            return value if convert is None else convert(value)

        return get
    if field.is_repeated:
        return lambda message: (convert or list)(getattr(message, name))
    if field.type == field.TYPE_STRING and name.endswith("_id"):
        return lambda message: getattr(message, name) or None
    return lambda message: getattr(message, name)


def _to_column(field: Field) -> Convert | None:
    if field.message_type is None:
        return None
    known: dict[str, Convert] = {
        Timestamp.DESCRIPTOR.full_name: lambda value: value.ToDatetime(tzinfo=UTC),
        Duration.DESCRIPTOR.full_name: lambda value: value.ToTimedelta(),
        Date.DESCRIPTOR.full_name: lambda value: date(value.year, value.month, value.day),
    }
    if _is_amount(field):
        return _decimal
    serialize: Convert = lambda value: value.SerializeToString()  # noqa: E731
    return known.get(field.message_type.full_name, serialize)


def _decimal(money: Money) -> Decimal:
    if not _AMOUNT.fullmatch(money.amount):
        raise ValueError(f"{money.amount!r} is not an amount")
    return Decimal(money.amount)


def _shared_currency(message: Any, amounts: Sequence[str]) -> str | None:
    """Return the one currency of the amounts that are set; ValueError if there are several."""
    found = {getattr(message, name).currency_code for name in amounts if message.HasField(name)}
    if getattr(message, _CURRENCY, ""):
        found.add(message.currency_code)
    if len(found) > 1:
        raise ValueError(f"several currencies where one is kept: {sorted(found)}")
    return found.pop() if found else None


def _is_amount(field: Field) -> bool:
    if field is None or field.is_repeated or field.message_type is None:
        return False
    return bool(field.message_type.full_name == Money.DESCRIPTOR.full_name)


def _each(field: Field, convert: Convert | None) -> Convert | None:
    """Return the conversion of a whole field from that of one element."""
    is_map = field.message_type is not None and field.message_type.GetOptions().map_entry
    assert not is_map, f"{field.full_name} is a map: make it a message"
    if convert is None or not field.is_repeated:
        return convert
    return lambda elements: [convert(element) for element in elements]
