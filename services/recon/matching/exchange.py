"""The engine behind one function of bytes, so that it can run in a process of its own."""

from dataclasses import asdict

import orjson

from .engine import reconcile
from .records import Memory, invoice_of, transaction_of


def reconcile_json(data: bytes) -> bytes:
    """Takes {"invoices", "transactions", "rejected": [[transaction, invoice]]} as JSON.

    Returns {"matches", "double_payments"}, surest first, amounts as decimal text. Raises KeyError
    or ValueError for other input.
    """
    given = orjson.loads(data)
    outcome = reconcile(
        [invoice_of(row) for row in given["invoices"]],
        [transaction_of(row) for row in given["transactions"]],
        memory=Memory(rejected=frozenset((t, i) for t, i in given["rejected"])),
    )
    return orjson.dumps(asdict(outcome), default=str)
