"""Amounts keep every digit, and parts sum to their whole."""

from decimal import Decimal

import pytest
from auditron.type.v1.money_pb2 import Money
from hypothesis import strategies as st

from libs import money

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
