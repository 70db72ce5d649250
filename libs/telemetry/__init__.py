"""Logs, traces and metrics of a process, set up once: `telemetry.setup("invoice", "api")`."""

from libs.telemetry import metrics
from libs.telemetry.context import Context, bind, current
from libs.telemetry.exposition import Server, serve_metrics
from libs.telemetry.logs import install_logs
from libs.telemetry.redaction import redact, redact_text
from libs.telemetry.settings import TelemetrySettings
from libs.telemetry.traces import install_traces, remote_span, span, trace_id, traceparent

__all__ = [
    "Context",
    "Server",
    "TelemetrySettings",
    "bind",
    "current",
    "metrics",
    "redact",
    "redact_text",
    "remote_span",
    "serve_metrics",
    "setup",
    "span",
    "trace_id",
    "traceparent",
]


def setup(service: str, role: str, settings: TelemetrySettings | None = None) -> None:
    """Install logs and traces for this process; calling again renames it. Default: the environment.

    Raises ValueError if the environment holds a wrong level or ratio.
    """
    settings = settings or TelemetrySettings.from_env()
    install_logs(service, role, settings.log_level)
    install_traces(service, role, settings)
