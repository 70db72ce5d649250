"""Everything that an operator of reporting can set."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True)
class Settings:
    """How many reports are written at a time, and when a file counts as left behind."""

    render_workers: int = 1
    unnamed_for: timedelta = timedelta(hours=1)

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> "Settings":
        """Read REPORTING_RENDER_WORKERS and REPORTING_UNNAMED_HOURS; ValueError if not numbers."""
        return cls(
            render_workers=int(env.get("REPORTING_RENDER_WORKERS", "1")),
            unnamed_for=timedelta(hours=float(env.get("REPORTING_UNNAMED_HOURS", "1"))),
        )
