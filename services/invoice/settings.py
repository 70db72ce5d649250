"""Everything that an operator of invoice can set."""

import os
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """Limits and sizes."""

    # Until billing has told the plan of an organization; 0 = no limit.
    default_documents_per_month: int = 50
    # Child processes of an api process that look at uploads, each of up to 512 MiB.
    checkers: int = 2

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> "Settings":
        """Read INVOICE_*; ValueError for what is malformed."""
        found = cls(
            default_documents_per_month=int(env.get("INVOICE_DEFAULT_DOCUMENTS_PER_MONTH", "50")),
            checkers=int(env.get("INVOICE_CHECKERS", "2")),
        )
        if found.default_documents_per_month < 0 or found.checkers < 1:
            raise ValueError(
                "INVOICE_DEFAULT_DOCUMENTS_PER_MONTH is negative, or INVOICE_CHECKERS below 1"
            )
        return found
