"""Page sizes, and tokens that only lead where they came from."""

import base64
import datetime as dt
import json
from typing import Any

import pytest
from auditron.event.v1 import event_pb2
from auditron.recon.v1 import recon_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.rpc import (
    InvalidArgument,
    decode_token,
    encode_token,
    filter_hash,
    fitting,
    page_asked,
    page_of,
    page_size,
)
from libs.rpc.pages import PAGE_BYTES_MAX, PageTokenInvalid
from libs.rpc.settings import MESSAGE_BYTES_MAX
from libs.rpc.tests.probe import Probe

VALUES = st.one_of(
    st.text(max_size=50).filter(lambda text: "\x00" not in text),
    st.integers(-(2**63), 2**63 - 1),
    st.booleans(),
    st.none(),
    st.dates(),
    st.datetimes(timezones=st.just(dt.UTC)),
    st.decimals(allow_nan=False, allow_infinity=False),
)


@pytest.mark.parametrize(("asked", "given_"), [(0, 50), (1, 1), (1000, 1000), (5000, 1000)])
def test_a_page_is_fifty_long_by_default_and_a_thousand_at_most(asked: int, given_: int) -> None:
    assert page_size(asked) == given_


def test_a_negative_page_size_is_the_callers_mistake() -> None:
    with pytest.raises(InvalidArgument) as caught:
        page_size(-1)
    assert caught.value.violations[0][0] == "page_size"


def probes(sizes: list[int]) -> list[Any]:
    """Resources in order, of about so many bytes."""
    return [Probe(number=number, text="x" * size) for number, size in enumerate(sizes, 1)]


@settings(max_examples=30, deadline=None)  # megabytes each
@given(st.lists(st.integers(0, MESSAGE_BYTES_MAX), max_size=8), st.integers(1, 8))
def test_a_page_holds_as_much_as_was_asked_for_and_fits_into_a_message(
    sizes: list[int], size: int
) -> None:
    found = probes(sizes[: size + 1])
    count = fitting(found, size)
    assert min(1, len(found)) <= count <= size
    held = sum(resource.ByteSize() for resource in found[:count])
    assert count <= 1 or held <= PAGE_BYTES_MAX
    if count < min(size, len(found)):  # one more would not fit
        assert held + found[count].ByteSize() > PAGE_BYTES_MAX


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.sampled_from([0, 1_000, 900_000, PAGE_BYTES_MAX]), max_size=12), st.integers(1, 5)
)
def test_pages_follow_each_other_without_a_gap(sizes: list[int], size: int) -> None:
    every = probes(sizes)
    seen, token = [], ""
    while True:
        [last] = decode_token(token, "f", int) if token else [0]
        found = every[last : last + size + 1]
        page, token = page_of(found, size, "f", lambda probe: [probe.number])
        seen += page
        if not token:
            break
        assert page
    assert seen == every


@given(st.lists(VALUES, max_size=4))
def test_a_token_gives_back_what_it_was_made_of(values: list[Any]) -> None:
    found = decode_token(encode_token(values, "f"), "f", *map(type, values))
    assert found == values
    assert [type(value) for value in found] == [type(value) for value in values]


def test_a_token_belongs_to_its_filter() -> None:
    first = filter_hash(Probe(text="open"))
    token = encode_token(["a"], first)
    assert decode_token(token, first) == ["a"]
    with pytest.raises(InvalidArgument) as caught:
        decode_token(token, filter_hash(Probe(text="paid")))
    assert caught.value.reason == "PAGE_TOKEN_INVALID"


def test_page_size_and_token_are_no_part_of_the_filter() -> None:
    request = event_pb2.ListEventsRequest
    assert filter_hash(request(partition=1, page_size=5)) == filter_hash(request(partition=1))
    assert filter_hash(request(partition=1)) != filter_hash(request(partition=2))


def packed(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "!!!!",
        "é",
        "a" * 5_000,
        packed("f"),
        packed({}),
        packed([]),
        packed(["f"]),
        packed(["f", 1]),
        packed(["f", "a", "b"]),
        packed(["f", 2**63]),
        packed(["f", 1.5]),
        packed(["f", "a\x00b"]),
        packed(["f", ["a"]]),
        packed(["f", {"datetime": "yesterday"}]),
        packed(["f", {"datetime": 1}]),
        packed(["f", {"Decimal": "NaN"}]),
        packed(["f", {"Decimal": "1e999999999999999999999"}]),
        packed(["f", {"Decimal": []}]),
        packed(["f", {"eval": "1"}]),
        packed(["f", None]),
    ],
)
def test_a_forged_token_is_the_callers_mistake(token: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        decode_token(token, "f", str)
    assert caught.value.reason == "PAGE_TOKEN_INVALID"


@given(st.text(max_size=300))
def test_no_token_is_a_bug(text: str) -> None:
    with pytest.raises(InvalidArgument):
        decode_token(text, "f")


def test_a_list_is_asked_for_its_first_page_and_for_what_follows() -> None:
    request = recon_pb2.ListTransactionsRequest(page_size=7, bank_account_id="b")
    size, filters, after = page_asked(request, str)
    assert (size, filters, after) == (7, filter_hash(request), None)
    request.page_token = encode_token(["a"], filters)
    assert page_asked(request, str) == (7, filters, "a")
    with pytest.raises(PageTokenInvalid):
        page_asked(request, int, str)
    request.page_token = encode_token([1, "a"], filters)
    assert page_asked(request, int, str) == (7, filters, (1, "a"))
    request.bank_account_id = "another"
    with pytest.raises(PageTokenInvalid):
        page_asked(request, int, str)
