"""One span for each query, where the request is sampled."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from opentelemetry import trace

_tracer = trace.get_tracer("auditron")
_nothing = nullcontext()


def traced(con: Any, schema: str) -> AbstractContextManager[None]:
    """Write a span for each query inside, with its text but without its arguments."""
    if not trace.get_current_span().get_span_context().trace_flags.sampled:
        return _nothing
    writes: AbstractContextManager[None] = con.query_logger(_writer(schema))
    return writes


def _writer(schema: str) -> Callable[[Any], None]:
    def write(query: Any) -> None:
        """Write the span of a query that has just ended, seen from the same context."""
        ended = time.time_ns()
        span = _tracer.start_span(
            f"{query.query.split(None, 1)[0].lower()} {schema}",
            kind=trace.SpanKind.CLIENT,
            start_time=ended - int(query.elapsed * 1e9),
            attributes={
                "db.system.name": "postgresql",
                "db.namespace": schema,
                "db.query.text": query.query,
            },
        )
        if query.exception is not None:
            kind = type(query.exception).__name__
            span.set_attribute("error.type", kind)
            span.set_status(trace.StatusCode.ERROR, kind)
        span.end(ended)

    return write
