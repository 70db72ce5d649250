"""Between Money messages and Decimal; rounding to the digits of a currency."""

import re
from decimal import ROUND_HALF_UP, Context, Decimal

from auditron.type.v1.money_pb2 import Money

from libs.money.currencies import UnknownCurrency, exponent

# 15 digits before the point and 10 behind it: sums of a thousand such stay exact in Decimal.
_AMOUNT = re.compile(r"-?[0-9]{1,15}(?:\.[0-9]{1,10})?")
_EXACT = Context(prec=60, rounding=ROUND_HALF_UP)


class InvalidMoney(ValueError):  # noqa: N818  # says what is wrong, as reasons do
    """The amount is no plain decimal number within bounds, or its currency is unknown."""


def to_decimal(money: Money) -> Decimal:
    """Return the amount, with the digits it was given. Raises InvalidMoney."""
    try:
        exponent(money.currency_code)
    except UnknownCurrency as error:
        raise InvalidMoney(str(error)) from None
    if not _AMOUNT.fullmatch(money.amount):
        raise InvalidMoney(
            f"{money.amount[:40]!r} is not an amount: up to 15 digits, a point, up to 10 digits."
        )
    return _without_minus_zero(Decimal(money.amount))


def to_message(amount: Decimal, currency_code: str) -> Money:
    """Return the amount as text: "12.50"; digits beyond the currency's only where they count.

    Raises InvalidMoney for what to_decimal would refuse, UnknownCurrency for an unknown code.
    """
    digits = exponent(currency_code)
    if not amount.is_finite() or abs(amount.adjusted()) > 40:
        raise InvalidMoney(f"{amount} is not an amount.")
    whole, _, fraction = format(_without_minus_zero(amount), "f").partition(".")
    fraction = fraction.rstrip("0").ljust(digits, "0")
    text = f"{whole}.{fraction}" if fraction else whole
    if not _AMOUNT.fullmatch(text):
        raise InvalidMoney(f"{amount} has more digits than an amount may have.")
    return Money(amount=text, currency_code=currency_code)


def round_to_currency(amount: Decimal, currency_code: str) -> Decimal:
    """Return the amount rounded half up (away from zero) to the currency's digits.

    Raises InvalidMoney if it is not finite, UnknownCurrency for an unknown code.
    """
    digits = exponent(currency_code)
    if not amount.is_finite() or amount.adjusted() > 40:
        raise InvalidMoney(f"{amount} is not an amount.")
    return _without_minus_zero(amount.quantize(Decimal(1).scaleb(-digits), context=_EXACT))


def _without_minus_zero(amount: Decimal) -> Decimal:
    return amount or abs(amount)
