"""What is wrong with a request, and what can be an id."""

import uuid

import pytest

from libs.rpc import Fault, InvalidArgument, check, is_uuid, uuid_or

ID = "0191e5c0-0000-7000-8000-00000000000a"


def test_what_is_wrong_is_raised_and_nothing_where_nothing_is() -> None:
    check([])
    check(violation for violation in ())
    with pytest.raises(InvalidArgument) as caught:
        check(("field", f"wrong {number}") for number in range(2))
    assert caught.value.violations == [("field", "wrong 0"), ("field", "wrong 1")]


def test_an_id_is_stored_without_capitals() -> None:
    assert uuid_or(Fault("none"), ID.upper()) == uuid_or(Fault("none"), ID) == ID


@pytest.mark.parametrize(
    "text",
    [
        "", "7", "'; drop table jobs", ID[:-1], f"{ID}0", f"{ID}\n", f" {ID}", f"{{{ID}}}",
        f"urn:uuid:{ID}", ID.replace("-", ""), ID.replace("a", "g"), ID.replace("a", "٣"),
        uuid.UUID(ID).hex[:16] + "----" + uuid.UUID(ID).hex[16:],
    ],
)  # fmt: skip
def test_an_id_that_is_written_otherwise_is_none(text: str) -> None:
    assert not is_uuid(text)
    with pytest.raises(Fault, match="no such thing"):
        uuid_or(Fault("no such thing"), text)
