"""Every metric that more than one service writes; a service's own are declared in that service."""

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics

disable_created_metrics()  # type: ignore[no-untyped-call]  # they double the page and nobody asks for them

_QUICK = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2.5, 10)
_SLOW = (0.005, 0.02, 0.1, 0.5, 1, 2.5, 10, 30, 120, 600, 3600)

RPC_REQUESTS = Counter(
    "auditron_rpc_requests_total", "Calls answered.", ("service", "method", "code")
)
RPC_SECONDS = Histogram(
    "auditron_rpc_duration_seconds", "Time to answer a call.", ("service", "method"), buckets=_QUICK
)
HTTP_REQUESTS = Counter(
    "auditron_http_requests_total", "Requests answered.", ("method", "route", "code")
)
HTTP_SECONDS = Histogram(
    "auditron_http_duration_seconds", "Time to answer.", ("method", "route"), buckets=_QUICK
)
DB_QUERY_SECONDS = Histogram(
    "auditron_db_query_seconds",
    "Time of one database round trip.",
    ("schema", "kind"),
    buckets=_QUICK,
)
TASK_QUEUE_LENGTH = Gauge(
    "auditron_task_queue_length", "Tasks due and not yet begun.", ("service",)
)
TASK_WAIT_SECONDS = Histogram(
    "auditron_task_wait_seconds", "Time from due to begun.", ("service", "kind"), buckets=_SLOW
)
TASK_OUTCOMES = Counter(
    "auditron_task_outcomes_total", "Attempts ended.", ("service", "kind", "outcome")
)
EVENT_LAG_SECONDS = Histogram(
    "auditron_event_lag_seconds",
    "Time from a fact to its effect here.",
    ("service", "producer"),
    buckets=_SLOW,
)
EVENT_WAITING_SECONDS = Gauge(
    "auditron_event_waiting_seconds",
    "Age of the oldest fact that was seen here and is not handled yet; 0: none.",
    ("service", "producer"),
)
EVENTS_HANDLED = Counter("auditron_event_handled_total", "Facts handled.", ("service", "producer"))
DEAD_LETTERS = Counter(
    "auditron_dead_letters_total", "Facts that could not be handled.", ("service", "producer")
)
