"""Money: exact amounts as text in messages, Decimal in Python, rounded by ISO 4217."""

from libs.money.amounts import InvalidMoney, round_to_currency, to_decimal, to_message
from libs.money.currencies import UnknownCurrency, exponent

__all__ = [
    "InvalidMoney",
    "UnknownCurrency",
    "exponent",
    "round_to_currency",
    "to_decimal",
    "to_message",
]
