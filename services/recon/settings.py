"""Everything that an operator of recon can set."""

import os
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """How much one run looks at, and how many children read statements."""

    # Of an organization's open transactions and invoices the newest so many.
    transactions_max: int = 20_000
    invoices_max: int = 40_000
    # Child processes of a worker that read statements, each of up to 1 GiB.
    readers: int = 2

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> "Settings":
        """Read RECON_*; ValueError for what is malformed."""
        found = cls(
            transactions_max=int(env.get("RECON_TRANSACTIONS_MAX", "20000")),
            invoices_max=int(env.get("RECON_INVOICES_MAX", "40000")),
            readers=int(env.get("RECON_READERS", "2")),
        )
        if min(found.transactions_max, found.invoices_max, found.readers) < 1:
            raise ValueError(
                "RECON_TRANSACTIONS_MAX, RECON_INVOICES_MAX or RECON_READERS is below 1"
            )
        return found
