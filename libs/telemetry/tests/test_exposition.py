"""The metrics page."""

import socket
import urllib.error
import urllib.request

import pytest

from libs.telemetry import metrics, serve_metrics


def get(port, path):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
        return answer.headers["Content-Type"], answer.read().decode()


def test_the_page_shows_every_metric_and_nothing_else_is_served() -> None:
    metrics.RPC_REQUESTS.labels("invoice", "GetInvoice", "OK").inc()
    metrics.TASK_QUEUE_LENGTH.labels("agent").set(7)
    server = serve_metrics("127.0.0.1", 0)
    try:
        kind, page = get(server.port, "/metrics")
        assert kind.startswith("text/plain")
        assert (
            'auditron_rpc_requests_total{code="OK",method="GetInvoice",service="invoice"} 1.0'
            in page
        )
        assert 'auditron_task_queue_length{service="agent"} 7.0' in page
        for name in (
            "auditron_rpc_duration_seconds", "auditron_http_requests_total",
            "auditron_http_duration_seconds", "auditron_db_query_seconds",
            "auditron_task_wait_seconds", "auditron_task_outcomes_total",
            "auditron_event_lag_seconds", "auditron_event_handled_total",
            "auditron_dead_letters_total",
        ):  # fmt: skip
            assert f"# TYPE {name}" in page
        with pytest.raises(urllib.error.HTTPError) as refused:
            get(server.port, "/")
        refused.value.close()
        assert refused.value.code == 404
    finally:
        server.close()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", server.port)) != 0


def test_a_client_that_says_nothing_does_not_stop_the_others() -> None:
    server = serve_metrics("127.0.0.1", 0)
    try:
        with socket.create_connection(("127.0.0.1", server.port)):
            assert "auditron_" in get(server.port, "/metrics")[1]
    finally:
        server.close()
