"""Random messages of any type, for tests of JSON."""

import random
from typing import Any

from auditron.invoice.v1 import invoice_events_pb2, invoice_pb2
from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    duration_pb2,
    message_factory,
    struct_pb2,
    wrappers_pb2,
)
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.field_mask_pb2 import FieldMask
from google.rpc import error_details_pb2

from gateway.routes import contracts

TEXTS = ("", "a", "Müller & Söhne", '"\\/\b\n', "日本語", "\U0001f9fe", "x" * 100, "\u2028<script>")
DOUBLES = (0.0, 1.0, -0.5, 1e300, 0.1, 123456789.123, float("inf"), float("-inf"))
FLOATS = (0.5, 0.1, 3.4e38, 1e-10, 16777217.0)


def types() -> list[Any]:
    """Every message type of every contract, nested ones included, and what they use."""
    found = []

    def add(message: Any) -> None:
        found.append(message)
        for nested in message.nested_types:
            if not nested.GetOptions().map_entry:
                add(nested)

    pool = descriptor_pool.Default()
    files = {service.file.name for service in contracts()}
    files |= {"auditron/invoice/v1/invoice_events.proto", "auditron/recon/v1/recon_events.proto"}
    for name in sorted(files):
        for message in pool.FindFileByName(name).message_types_by_name.values():
            add(message)
    return found


def random_message(descriptor: Any, dice: random.Random, depth: int = 0) -> Any:
    """A message whose fields are set or not by chance."""
    message = message_factory.GetMessageClass(descriptor)()
    if descriptor.full_name == "google.protobuf.Timestamp":
        message.seconds = dice.randrange(-62135596800, 253402300799)
        message.nanos = dice.choice((0, 500_000_000, 123_456_000, 1, 999_999_999))
    elif descriptor.full_name == "google.protobuf.Duration":
        message.seconds = dice.randrange(-1000, 1000)
        message.nanos = dice.choice((0, 500_000_000, 1)) * (-1 if message.seconds < 0 else 1)
    elif descriptor.full_name == "google.protobuf.FieldMask":
        message.paths.extend(dice.sample(["a", "b", "c", "d"], dice.randrange(3)))
    elif descriptor.full_name == "google.protobuf.Any":
        inner = dice.choice(_packable(dice, depth))
        message.Pack(inner)
    else:
        _fill(message, dice, depth)
    return message


def _packable(dice: random.Random, depth: int) -> list[Any]:
    mask = FieldMask(paths=["a"])
    info = error_details_pb2.ErrorInfo(reason="X", domain="auditron", metadata={"a": "b", "c": ""})
    events = invoice_events_pb2.InvoicePaid(invoice=invoice_pb2.Invoice(invoice_id="1"))
    time = invoice_pb2.Invoice().create_time
    time.GetCurrentTime()
    return [info, events, time] if depth < 4 else [mask, info]


def _fill(message: Any, dice: random.Random, depth: int) -> None:
    for field in message.DESCRIPTOR.fields:
        if dice.random() < 0.4 or depth > 5:
            continue
        if field.is_repeated:
            for _ in range(dice.randrange(4)):
                if field.message_type:
                    getattr(message, field.name).append(
                        random_message(field.message_type, dice, depth + 1)
                    )
                else:
                    getattr(message, field.name).append(_scalar(field, dice))
        elif field.message_type:
            getattr(message, field.name).CopyFrom(
                random_message(field.message_type, dice, depth + 1)
            )
        else:
            setattr(message, field.name, _scalar(field, dice))


def _scalar(field: Any, dice: random.Random) -> Any:
    match field.cpp_type:
        case FieldDescriptor.CPPTYPE_BOOL:
            return dice.random() < 0.5
        case FieldDescriptor.CPPTYPE_ENUM:
            return dice.choice([*(value.number for value in field.enum_type.values), 999])
        case FieldDescriptor.CPPTYPE_INT32:
            return dice.choice((0, 1, -(2**31), 2**31 - 1))
        case FieldDescriptor.CPPTYPE_UINT32:
            return dice.choice((0, 1, 2**32 - 1))
        case FieldDescriptor.CPPTYPE_INT64:
            return dice.choice((0, -1, 2**53 + 1, -(2**63)))
        case FieldDescriptor.CPPTYPE_UINT64:
            return dice.choice((0, 2**64 - 1))
        case FieldDescriptor.CPPTYPE_DOUBLE:
            return dice.choice(DOUBLES)
        case FieldDescriptor.CPPTYPE_FLOAT:
            return dice.choice(FLOATS)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return bytes(dice.randrange(256) for _ in range(dice.randrange(10)))
    return dice.choice(TEXTS)


def kinds() -> Any:
    """A message with a field of every kind, which no contract has."""
    file = descriptor_pb2.FileDescriptorProto(
        name="gateway/tests/kinds.proto", package="gateway.tests", syntax="proto3"
    )
    file.dependency.extend(one.DESCRIPTOR.name for one in (duration_pb2, struct_pb2, wrappers_pb2))
    file.enum_type.add(name="Hue").value.add(name="HUE_UNSPECIFIED", number=0)
    file.enum_type[0].value.add(name="HUE_RED", number=1)
    message = file.message_type.add(name="Kinds")
    field_type = descriptor_pb2.FieldDescriptorProto
    for number, (name, kind) in enumerate(field_type.Type.items(), 1):
        if name not in ("TYPE_GROUP", "TYPE_MESSAGE", "TYPE_ENUM"):
            message.field.add(name=name.lower()[5:], number=number, type=kind, label=1)
            message.field.add(
                name=f"many_{name.lower()[5:]}", number=number + 50, type=kind, label=3
            )
    others = {
        "hue": (14, ".gateway.tests.Hue"),
        "inner": (11, ".gateway.tests.Kinds"),
        "span": (11, ".google.protobuf.Duration"),
        "tree": (11, ".google.protobuf.Struct"),
        "note": (11, ".google.protobuf.StringValue"),
    }
    for number, (name, (kind, type_name)) in enumerate(others.items(), 200):
        message.field.add(name=name, number=number, type=kind, label=1, type_name=type_name)
    for number, (name, kind) in enumerate(
        {"by_text": 9, "by_flag": 8, "by_number": 3}.items(), 300
    ):
        entry = message.nested_type.add(name=f"{name.title().replace('_', '')}Entry")
        entry.options.map_entry = True
        entry.field.add(name="key", number=1, type=kind, label=1)
        entry.field.add(name="value", number=2, type=3, label=1)
        message.field.add(
            name=name, number=number, type=11, label=3,
            type_name=f".gateway.tests.Kinds.{entry.name}",
        )  # fmt: skip
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("gateway.tests.Kinds"))


Kinds = kinds()
