"""The page that Prometheus reads."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest


class _Page(BaseHTTPRequestHandler):
    timeout = 5  # seconds that a client may keep us waiting

    def do_GET(self) -> None:
        found = self.path.partition("?")[0] == "/metrics"
        body = generate_latest() if found else b"Only /metrics is here.\n"
        self.send_response(200 if found else 404)
        self.send_header("Content-Type", CONTENT_TYPE_LATEST if found else "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing: a scrape is no event."""


class Server:
    """Serves /metrics from a thread of its own until closed."""

    def __init__(self, host: str, port: int) -> None:
        self._server = ThreadingHTTPServer((host, port), _Page)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        self._thread = Thread(
            target=self._server.serve_forever, args=(0.1,), name="metrics", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop serving; returns when the port is free."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def serve_metrics(host: str, port: int) -> Server:
    """Serve /metrics there (port 0: any free one, see `.port`). Raises OSError if it is taken."""
    return Server(host, port)
