import random
from typing import Any

import orjson
import pytest
from google.protobuf import json_format, struct_pb2
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import status_pb2

from gateway.encoding import encoder, to_json
from gateway.tests import messages
from gateway.tests.messages import Kinds


def expected(message: Any) -> Any:
    """What protobuf's own JSON says; masks aside, whose paths stay as they are in ours."""
    return json_format.MessageToDict(message, preserving_proto_field_name=True)


@pytest.mark.parametrize("descriptor", messages.types(), ids=lambda found: found.full_name)
def test_every_message_is_written_as_protobuf_writes_it(descriptor: Any) -> None:
    dice = random.Random(descriptor.full_name)
    for _ in range(30):
        message = messages.random_message(descriptor, dice)
        assert encoder(descriptor)(message) == expected(message)
        assert orjson.loads(to_json(message)) == orjson.loads(orjson.dumps(expected(message)))


def test_every_kind_of_field_is_written_as_protobuf_writes_it() -> None:
    dice = random.Random(1)
    left_out = {"tree", "note", "by_text", "by_flag", "by_number", "inner"}
    for _ in range(300):
        message = Kinds()
        for field in Kinds.DESCRIPTOR.fields:
            if field.name in left_out:
                continue
            if field.message_type:
                found = messages.random_message(field.message_type, dice)
                getattr(message, field.name).CopyFrom(found)
            elif field.is_repeated:
                getattr(message, field.name).extend(messages._scalar(field, dice) for _ in range(3))
            else:
                setattr(message, field.name, messages._scalar(field, dice))
        message.tree.update({"a": [1, None, {"b": "c"}]})
        message.note.value = "n"
        message.by_text["x"], message.by_flag[True], message.by_number[7] = 1, 2, 3
        message.inner.string = "deep"
        assert encoder(Kinds.DESCRIPTOR)(message) == expected(message)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_json_does_not_know_are_texts(value: float) -> None:
    for name in ("double", "float"):
        message = Kinds(**{name: value})
        assert encoder(Kinds.DESCRIPTOR)(message) == expected(message)


def test_a_payload_of_an_unknown_contract_is_written_as_its_bytes() -> None:
    unknown = AnyMessage(type_url="type.googleapis.com/auditron.later.v9.Thing", value=b"\x08\x01")
    broken = AnyMessage(type_url="type.googleapis.com/google.rpc.Status", value=b"\xff\xff")
    status = status_pb2.Status(code=5, details=[unknown, broken, AnyMessage()])
    assert encoder(status.DESCRIPTOR)(status)["details"] == [
        {"@type": unknown.type_url, "value": "CAE="},
        {"@type": broken.type_url, "value": "//8="},
        {},
    ]


def test_a_time_has_no_more_digits_than_it_needs() -> None:
    for nanos, text in ((0, ""), (120_000_000, ".120"), (1_000, ".000001"), (7, ".000000007")):
        found = encoder(Timestamp.DESCRIPTOR)(Timestamp(seconds=0, nanos=nanos))
        assert found == f"1970-01-01T00:00:00{text}Z"


def test_a_struct_is_written_by_protobuf_itself() -> None:
    tree = struct_pb2.Struct()
    tree.update({"a": True})
    assert encoder(tree.DESCRIPTOR)(tree) == {"a": True}
