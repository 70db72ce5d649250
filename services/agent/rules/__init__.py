"""Pure decisions: what readings, models and requests may say, and what follows from them."""

from .accounts import Booking, booking
from .answers import Reading, to_reading, unreadable_text
from .automation import (
    AUTOMATIC,
    ERROR_MAX,
    MANUAL,
    PAGE_SOURCES,
    SAMPLE_SHARE,
    SUGGESTED,
    Checked,
    Evidence,
    Outcome,
    Review,
    merged_automation,
    reviewed,
    with_rates,
)
from .checks import warnings
from .claims import CLAIM_FIELDS, admit, has_pictures, is_scan, is_shown, is_spent, is_unsure, merge
from .outcomes import (
    MEASURED,
    corrected,
    is_persons,
    issuer,
    rightly_read,
    supplier_keys,
    was_recognised,
)
from .parties import Keys, bare, counterparty, keys, placed
from .requests import check_budget, check_url_form, job_mail, merged_settings
from .splits import Fate, cut_filename, cut_request_id, fate_warnings, further

__all__ = [
    "AUTOMATIC",
    "CLAIM_FIELDS",
    "ERROR_MAX",
    "MANUAL",
    "MEASURED",
    "PAGE_SOURCES",
    "SAMPLE_SHARE",
    "SUGGESTED",
    "Booking",
    "Checked",
    "Evidence",
    "Fate",
    "Keys",
    "Outcome",
    "Reading",
    "Review",
    "admit",
    "bare",
    "booking",
    "check_budget",
    "check_url_form",
    "corrected",
    "counterparty",
    "cut_filename",
    "cut_request_id",
    "fate_warnings",
    "further",
    "has_pictures",
    "is_persons",
    "is_scan",
    "is_shown",
    "is_spent",
    "is_unsure",
    "issuer",
    "job_mail",
    "keys",
    "merge",
    "merged_automation",
    "merged_settings",
    "placed",
    "reviewed",
    "rightly_read",
    "supplier_keys",
    "to_reading",
    "unreadable_text",
    "warnings",
    "was_recognised",
    "with_rates",
]
