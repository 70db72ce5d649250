"""Who is sampled, and how a trace goes on elsewhere."""

import json
import subprocess
import sys

import pytest

from libs import telemetry

PROGRAM = """
import json, sys
from opentelemetry import trace
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from libs import telemetry
telemetry.setup("invoice", "api", telemetry.TelemetrySettings(trace_ratio=float(sys.argv[1])))
exporter = InMemorySpanExporter()
trace.get_tracer_provider().add_span_processor(SimpleSpanProcessor(exporter))
seen = []
with telemetry.span("root", url="https://x/?token=canary", rows=3):
    header = telemetry.traceparent()
    seen.append(header)
for parent in (header, "", "rubbish", "00-" + "1" * 32 + "-" + "2" * 16 + "-00"):
    try:
        with telemetry.remote_span("remote", parent, kind="x"):
            seen.append(telemetry.traceparent())
            with telemetry.span("inner"):
                seen.append(telemetry.traceparent())
            raise ValueError("password=canary")
    except ValueError:
        pass
spans = [
    [s.name, f"{s.context.trace_id:032x}", s.parent and f"{s.parent.span_id:016x}",
     s.status.status_code.name, s.to_json()]
    for s in exporter.get_finished_spans()
]
print(json.dumps([seen, spans]))
"""


def run(ratio):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, ratio],
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    assert "canary" not in done.stdout
    return json.loads(done.stdout)


def test_a_sampled_trace_goes_on_by_its_header_and_nothing_else_is_sampled() -> None:
    (root, remote, inner, *others), spans = run("1")
    assert root.split("-")[1] == remote.split("-")[1] == inner.split("-")[1]
    assert others == [""] * 6
    by_name = {span[0]: span for span in spans}
    assert len(spans) == len(by_name) == 3
    assert by_name["remote"][2] == root.split("-")[2]
    assert by_name["inner"][2] == remote.split("-")[2]
    assert by_name["remote"][3] == "ERROR"


def test_an_unsampled_trace_has_no_header_and_no_spans() -> None:
    seen, spans = run("0")
    assert set(seen) == {""}
    assert spans == []


def test_without_setup_there_is_no_trace() -> None:
    assert telemetry.trace_id() == telemetry.traceparent() == ""


@pytest.mark.parametrize(
    "env",
    [{"LOG_LEVEL": "LOUD"}, {"TRACE_RATIO": "1.5"}, {"TRACE_RATIO": "nan"}, {"TRACE_RATIO": "x"}],
)
def test_wrong_settings_are_refused_at_once(env) -> None:
    with pytest.raises(ValueError, match=r"LOG_LEVEL|TRACE_RATIO|float"):
        telemetry.TelemetrySettings.from_env(env)


def test_settings_come_from_the_environment() -> None:
    env = {
        "LOG_LEVEL": "debug",
        "TRACE_RATIO": "0.5",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318",
    }
    assert telemetry.TelemetrySettings.from_env(env) == telemetry.TelemetrySettings(
        "DEBUG", 0.5, "http://c:4318"
    )
    assert telemetry.TelemetrySettings.from_env({}) == telemetry.TelemetrySettings()
