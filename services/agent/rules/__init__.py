"""Pure decisions: what readings, models and requests may say, and what follows from them."""

from .accounts import Booking, booking
from .answers import Reading, to_reading, unreadable_text
from .checks import warnings
from .claims import CLAIM_FIELDS, admit, is_unsure, merge
from .parties import Keys, bare, counterparty, keys, placed
from .requests import check_url_form, job_mail, merged_settings

__all__ = [
    "CLAIM_FIELDS",
    "Booking",
    "Keys",
    "Reading",
    "admit",
    "bare",
    "booking",
    "check_url_form",
    "counterparty",
    "is_unsure",
    "job_mail",
    "keys",
    "merge",
    "merged_settings",
    "placed",
    "to_reading",
    "unreadable_text",
    "warnings",
]
