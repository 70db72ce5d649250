"""The chart of accounts that every organization begins with, and which accounts the rules use.

It is neutral to countries. The first digits tell what an account is: 0 and 1 what is owned, 1600
what is owed to suppliers, 2 equity, 3 other debts, 4 income, 5 goods and services bought, 6 costs
of running, 7 interest and taxes.
"""

from auditron.reporting.v1 import reporting_pb2
from auditron.reporting.v1.reporting_pb2 import AccountType

ASSET = reporting_pb2.ACCOUNT_TYPE_ASSET
LIABILITY = reporting_pb2.ACCOUNT_TYPE_LIABILITY
EQUITY = reporting_pb2.ACCOUNT_TYPE_EQUITY
INCOME = reporting_pb2.ACCOUNT_TYPE_INCOME
EXPENSE = reporting_pb2.ACCOUNT_TYPE_EXPENSE

RECEIVABLES = "1200"
INPUT_VAT = "1400"
PAYABLES = "1600"
BANK = "1800"
OUTPUT_VAT = "3806"
REVENUE = "4400"
DISCOUNTS_GRANTED = "4730"
EXCHANGE_GAINS = "4840"
DISCOUNTS_RECEIVED = "5730"
OTHER_EXPENSES = "6300"
ROUNDING = "6850"
BANK_CHARGES = "6855"
EXCHANGE_LOSSES = "6880"

# What the rules alone post to: an invoice or a bank account that names one of them is wrong.
RESERVED = frozenset({RECEIVABLES, INPUT_VAT, PAYABLES, OUTPUT_VAT})

_CHART: tuple[tuple[str, str, AccountType], ...] = (
    ("0400", "Equipment and furniture", ASSET),
    ("1100", "Stock of goods", ASSET),
    (RECEIVABLES, "Trade receivables", ASSET),
    ("1300", "Other receivables and prepaid expenses", ASSET),
    (INPUT_VAT, "Input VAT", ASSET),
    (PAYABLES, "Trade payables", LIABILITY),
    (BANK, "Bank", ASSET),
    ("1850", "Cash in hand", ASSET),
    ("2900", "Capital", EQUITY),
    ("2970", "Retained earnings and opening balances", EQUITY),
    ("3500", "Loans", LIABILITY),
    ("3700", "Other liabilities", LIABILITY),
    (OUTPUT_VAT, "Output VAT", LIABILITY),
    (REVENUE, "Revenue", INCOME),
    (DISCOUNTS_GRANTED, "Discounts granted", INCOME),
    ("4830", "Other income", INCOME),
    (EXCHANGE_GAINS, "Exchange gains", INCOME),
    ("5400", "Goods and materials", EXPENSE),
    (DISCOUNTS_RECEIVED, "Discounts received", EXPENSE),
    ("5900", "Services bought for resale", EXPENSE),
    ("6000", "Wages and salaries", EXPENSE),
    (OTHER_EXPENSES, "Other operating expenses", EXPENSE),
    ("6310", "Rent", EXPENSE),
    ("6325", "Electricity, gas and water", EXPENSE),
    ("6400", "Insurance and fees", EXPENSE),
    ("6500", "Vehicles", EXPENSE),
    ("6600", "Advertising", EXPENSE),
    ("6640", "Meals and entertainment", EXPENSE),
    ("6650", "Travel", EXPENSE),
    ("6800", "Postage and shipping", EXPENSE),
    ("6805", "Telephone and internet", EXPENSE),
    ("6815", "Office supplies", EXPENSE),
    ("6825", "Legal and professional fees", EXPENSE),
    ("6837", "Software and licences", EXPENSE),
    (ROUNDING, "Rounding differences", EXPENSE),
    (BANK_CHARGES, "Bank charges", EXPENSE),
    (EXCHANGE_LOSSES, "Exchange losses", EXPENSE),
    ("7300", "Interest paid", EXPENSE),
    ("7600", "Income taxes", EXPENSE),
)


def chart() -> list[reporting_pb2.Account]:
    """Return the accounts of a new ledger, by code."""
    return [
        reporting_pb2.Account(account_code=code, display_name=name, type=type_)
        for code, name, type_ in _CHART
    ]
