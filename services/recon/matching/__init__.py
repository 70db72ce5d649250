"""Finds which bank transactions pay which invoices, and says why; pure values in and out."""

from .engine import Outcome, match, reconcile
from .records import (
    Allocation,
    DoublePayment,
    Invoice,
    Match,
    Memory,
    Settings,
    Transaction,
    invoice_of,
    transaction_of,
)

__all__ = [
    "Allocation", "DoublePayment", "Invoice", "Match", "Memory", "Outcome", "Settings",
    "Transaction", "invoice_of", "match", "reconcile", "transaction_of",
]  # fmt: skip
