"""What an invoice may contain, what speaks against it, when it is approved, what a reading changes.

Pure.
"""

from .contents import (
    filename_of,
    invoice_violations,
    made_by_hand,
    merge,
    normalize,
    person_readings,
    policy_violations,
    reason_violations,
    seconds_to_next_month,
    upload_violations,
)
from .filters import Filters, filters
from .identity import keys, search_words
from .readings import after_reading, is_trusted, reading_violations, reading_warnings
from .review import (
    check_approvable,
    check_in_review,
    check_reopenable,
    decide,
    keep_paid,
    payments,
    settle,
    warnings,
)

__all__ = [
    "Filters",
    "after_reading",
    "check_approvable",
    "check_in_review",
    "check_reopenable",
    "decide",
    "filename_of",
    "filters",
    "invoice_violations",
    "is_trusted",
    "keep_paid",
    "keys",
    "made_by_hand",
    "merge",
    "normalize",
    "payments",
    "person_readings",
    "policy_violations",
    "reading_violations",
    "reading_warnings",
    "reason_violations",
    "search_words",
    "seconds_to_next_month",
    "settle",
    "upload_violations",
    "warnings",
]
