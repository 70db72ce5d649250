"""What an operator can set about logs and traces."""

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class TelemetrySettings:
    """Level of our own loggers (foreign ones stay at WARNING), share of traces kept, collector."""

    log_level: str = "INFO"
    trace_ratio: float = 0.01
    otlp_endpoint: str = ""  # base address of an OTLP/HTTP collector; empty: spans go nowhere

    def __post_init__(self) -> None:
        """Refuse what would fail later or silently."""
        if self.log_level not in logging.getLevelNamesMapping():
            raise ValueError(f"LOG_LEVEL is not a level: {self.log_level}")
        if not 0 <= self.trace_ratio <= 1:
            raise ValueError(f"TRACE_RATIO is not between 0 and 1: {self.trace_ratio}")

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> "TelemetrySettings":
        """Read LOG_LEVEL, TRACE_RATIO and OTEL_EXPORTER_OTLP_ENDPOINT."""
        return cls(
            log_level=env.get("LOG_LEVEL", "INFO").upper(),
            trace_ratio=float(env.get("TRACE_RATIO", "0.01")),
            otlp_endpoint=env.get("OTEL_EXPORTER_OTLP_ENDPOINT", ""),
        )
