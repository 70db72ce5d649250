"""Traces: a share of requests, followed from the gateway through services, events and jobs."""

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    Status,
    StatusCode,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from libs.telemetry.redaction import redact_text
from libs.telemetry.settings import TelemetrySettings

_propagator = TraceContextTextMapPropagator()
_tracer = trace.get_tracer("auditron")  # a proxy: uses the provider as soon as there is one
Attribute = str | int | float | bool
# A parent that is not sampled, so that neither are its children.
_UNSAMPLED = NonRecordingSpan(SpanContext(trace_id=1, span_id=1, is_remote=True))


def install_traces(service: str, role: str, settings: TelemetrySettings) -> None:
    """Make the process's tracer provider; the first call counts, for OpenTelemetry allows one."""
    if isinstance(trace.get_tracer_provider(), TracerProvider):
        return
    provider = TracerProvider(
        sampler=ParentBased(TraceIdRatioBased(settings.trace_ratio)),
        resource=Resource.create({"service.name": service, "auditron.role": role}),
    )
    if settings.otlp_endpoint:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
            OTLPSpanExporter,  # slow to import, and seldom wanted
        )

        address = f"{settings.otlp_endpoint.rstrip('/')}/v1/traces"
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=address)))
    trace.set_tracer_provider(provider)


def trace_id() -> str:
    """Return the id of the trace we are in, 32 hexadecimal digits; '' if none is being kept."""
    context = trace.get_current_span().get_span_context()
    return f"{context.trace_id:032x}" if context.trace_flags.sampled else ""


def traceparent() -> str:
    """Return the W3C header to send along or to store; '' if this work is not sampled."""
    context = trace.get_current_span().get_span_context()
    if not context.trace_flags.sampled:
        return ""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-01"


@contextmanager
def span(name: str, **attributes: Attribute) -> Iterator[Span]:
    """Open a span below the current one, or as the root of a new trace if the sampler takes it."""
    with _open(name, None, attributes) as opened:
        yield opened


@contextmanager
def remote_span(name: str, traceparent: str, **attributes: Attribute) -> Iterator[Span]:
    """Go on with a trace begun elsewhere; '' or rubbish: neither this nor what follows is sampled.

    Only the place where work begins (gateway, schedule) decides to sample, by `span`.
    """
    context = _parse(traceparent)
    if context is None:
        with trace.use_span(_UNSAMPLED):
            yield _UNSAMPLED
    else:
        parent = trace.set_span_in_context(NonRecordingSpan(context))
        with _open(name, parent, attributes) as opened:
            yield opened


@contextmanager
def _open(name: str, parent: Context | None, attributes: dict[str, Attribute]) -> Iterator[Span]:
    clean = {
        key: redact_text(value) if isinstance(value, str) else value
        for key, value in attributes.items()
    }
    # The messages of exceptions may hold customers' data, so only the type is recorded.
    with _tracer.start_as_current_span(
        name, parent, attributes=clean, record_exception=False, set_status_on_exception=False
    ) as opened:
        try:
            yield opened
        except BaseException as error:
            opened.set_status(Status(StatusCode.ERROR, type(error).__qualname__))
            raise


def _parse(traceparent: str) -> SpanContext | None:
    """Return the parent that a W3C header names; None if there is none or it is not sampled."""
    if not traceparent:
        return None
    extracted = _propagator.extract({"traceparent": traceparent}, Context())
    context = trace.get_current_span(extracted).get_span_context()
    return context if context.is_valid and context.trace_flags.sampled else None
