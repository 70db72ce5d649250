"""Amounts keep every digit, and parts sum to their whole."""

from decimal import Decimal, getcontext

import pytest
from auditron.type.v1.money_pb2 import Money
from hypothesis import given
from hypothesis import strategies as st

from libs import money
from libs.money.currencies import _EXPONENTS

AMOUNTS = st.decimals(-(10**14), 10**14, places=2)
WEIGHTS = st.lists(st.decimals(0, 10**6, places=3), min_size=1, max_size=30).filter(any)


@pytest.mark.parametrize("text", ["0", "12.34", "-0.5", "7.10", "999999999999999.9999999999"])
def test_an_amount_is_read_with_its_digits(text) -> None:
    assert str(money.to_decimal(Money(amount=text, currency_code="EUR"))) == text


def test_minus_zero_is_zero() -> None:
    assert str(money.to_decimal(Money(amount="-0.00", currency_code="EUR"))) == "0.00"
    assert money.to_message(Decimal("-0.00"), "EUR").amount == "0.00"
    assert str(money.round_to_currency(Decimal("-0.001"), "EUR")) == "0.00"


@pytest.mark.parametrize(
    "text",
    ["", " 1", "1 ", "1\n", "+1", "1.", ".5", "1e3", "1E-2", "NaN", "Infinity", "-Infinity", "1,5",
     "1_000", "٣", "\uff11", "0x10", "--1", "1.2.3", "1" * 16, "0." + "1" * 11, "1" * 100_000],
)  # fmt: skip
def test_what_is_no_plain_number_is_refused(text) -> None:
    with pytest.raises(money.InvalidMoney):
        money.to_decimal(Money(amount=text, currency_code="EUR"))


@pytest.mark.parametrize("code", ["", "eur", "EU", "EURO", "XXX", "XAU", "ABC", "€"])
def test_an_unknown_currency_is_refused(code) -> None:
    with pytest.raises(money.InvalidMoney):
        money.to_decimal(Money(amount="1", currency_code=code))
    for refused in (
        lambda: money.exponent(code),
        lambda: money.to_message(Decimal(1), code),
        lambda: money.round_to_currency(Decimal(1), code),
        lambda: money.split(Decimal(1), [Decimal(1)], code),
    ):
        with pytest.raises(money.UnknownCurrency):
            refused()


@pytest.mark.parametrize(
    ("amount", "code", "text"),
    [
        ("12.5", "EUR", "12.50"),
        ("12.5000", "EUR", "12.50"),
        ("12.3456", "EUR", "12.3456"),
        ("1E+3", "EUR", "1000.00"),
        ("1E-7", "EUR", "0.0000001"),
        ("12", "JPY", "12"),
        ("12.0", "JPY", "12"),
        ("1000", "JPY", "1000"),
        ("1", "KWD", "1.000"),
        ("-3", "CLF", "-3.0000"),
    ],
)
def test_an_amount_is_written_with_the_digits_of_its_currency(amount, code, text) -> None:
    assert money.to_message(Decimal(amount), code) == Money(amount=text, currency_code=code)


@pytest.mark.parametrize(
    "amount", ["NaN", "sNaN", "Infinity", "-Infinity", "1E+15", "1E-11", "1E+999999", "1E-999999"]
)
def test_what_is_no_amount_is_not_written(amount) -> None:
    with pytest.raises(money.InvalidMoney):
        money.to_message(Decimal(amount), "EUR")
    with pytest.raises((money.InvalidMoney, ValueError)):
        money.split(Decimal(1), [Decimal("NaN")], "EUR")


@pytest.mark.parametrize(
    ("amount", "code", "rounded"),
    [
        ("1.005", "EUR", "1.01"),
        ("-1.005", "EUR", "-1.01"),
        ("1.0049999", "EUR", "1.00"),
        ("2.5", "JPY", "3"),
        ("-2.5", "JPY", "-3"),
        ("0.0005", "KWD", "0.001"),
        ("999999999999999.995", "EUR", "1000000000000000.00"),
        ("1E-999999", "EUR", "0.00"),
    ],
)
def test_rounding_is_half_up_to_the_digits_of_the_currency(amount, code, rounded) -> None:
    assert str(money.round_to_currency(Decimal(amount), code)) == rounded


@pytest.mark.parametrize("amount", ["NaN", "Infinity", "1E+999999"])
def test_what_is_no_amount_is_not_rounded(amount) -> None:
    with pytest.raises(money.InvalidMoney):
        money.round_to_currency(Decimal(amount), "EUR")


@pytest.mark.parametrize(
    ("amount", "weights", "code", "parts"),
    [
        ("100", "1 1 1", "EUR", "33.34 33.33 33.33"),
        ("-100", "1 1 1", "EUR", "-33.34 -33.33 -33.33"),
        ("0.01", "1 1 1", "EUR", "0.01 0.00 0.00"),
        ("10", "1 2", "JPY", "3 7"),
        ("1.000", "1 1 1", "KWD", "0.334 0.333 0.333"),
        ("0", "1 0", "EUR", "0.00 0.00"),
        ("5", "0 1", "EUR", "0.00 5.00"),
        ("19.00", "110 -10", "EUR", "20.90 -1.90"),
        ("1.001", "1 1", "EUR", "0.501 0.500"),
        ("1E+3", "1 3", "EUR", "250.00 750.00"),
    ],
)
def test_a_split_gives_each_its_share(amount, weights, code, parts) -> None:
    divided = money.split(Decimal(amount), [Decimal(weight) for weight in weights.split()], code)
    assert [str(part) for part in divided] == parts.split()


@pytest.mark.parametrize("weights", [[], ["0"], ["1", "-1"], ["NaN"], ["Infinity", "1"]])
def test_weights_that_say_nothing_are_refused(weights) -> None:
    with pytest.raises(ValueError, match="weights"):
        money.split(Decimal(1), [Decimal(weight) for weight in weights], "EUR")


@given(AMOUNTS, WEIGHTS, st.sampled_from(["EUR", "JPY", "KWD"]))
def test_parts_always_sum_to_the_whole_and_are_less_than_a_unit_off(amount, weights, code) -> None:
    parts = money.split(amount, weights, code)
    assert sum(parts) == amount
    assert money.split(-amount, weights, code) == [-part for part in parts]
    unit = Decimal(1).scaleb(-max(money.exponent(code), 2))
    context = getcontext().copy()
    context.prec = 60
    for part, weight in zip(parts, weights, strict=True):
        exact = context.divide(context.multiply(amount, weight), sum(weights))
        assert abs(context.subtract(part, exact)) < unit


@given(AMOUNTS, st.sampled_from(sorted(_EXPONENTS)))
def test_what_is_written_is_read_again(amount, code) -> None:
    assert money.to_decimal(money.to_message(amount, code)) == amount


def test_every_code_is_three_capital_letters_and_stands_once() -> None:
    assert len(_EXPONENTS) == 171
    assert all(len(code) == 3 and code.isalpha() and code.isupper() for code in _EXPONENTS)
