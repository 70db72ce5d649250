"""Every SQL statement of invoice, by resource.

Functions that take `db` are single selects, one round trip; those that take `tx` run in the
caller's transaction.
"""

from .documents import (
    count_document,
    get_upload_standing,
    insert_document,
    list_unnamed_documents,
    update_entitlements,
)
from .invoices import (
    Found,
    Kept,
    append_fact,
    find_duplicate,
    get_invoice,
    get_invoice_of,
    get_kept,
    get_paid,
    insert_invoice,
    list_invoices,
    lock_invoice,
    update_invoice,
    update_payment,
    update_state,
)
from .policies import get_policy, read_policy, update_policy

__all__ = [
    "Found",
    "Kept",
    "append_fact",
    "count_document",
    "find_duplicate",
    "get_invoice",
    "get_invoice_of",
    "get_kept",
    "get_paid",
    "get_policy",
    "get_upload_standing",
    "insert_document",
    "insert_invoice",
    "list_invoices",
    "list_unnamed_documents",
    "lock_invoice",
    "read_policy",
    "update_entitlements",
    "update_invoice",
    "update_payment",
    "update_policy",
    "update_state",
]
