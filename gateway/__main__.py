"""`python -m gateway`: serve until SIGTERM or Ctrl-C, then finish what has begun."""

import asyncio
import contextlib
import gc
import logging
import resource
import signal
from collections.abc import Iterator

import uvicorn
import uvloop

from gateway.app import App
from gateway.protocol import Protocol
from gateway.settings import Settings
from libs import telemetry
from libs.rpc.parent import end_with_parent

log = logging.getLogger(__name__)

WEBSOCKET_BYTES_MAX = 64 * 1024  # clients have nothing to tell; more is a mistake or an attack
KEEP_ALIVE_S = 65


class Server(uvicorn.Server):
    """Leaves signals to us."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


async def serve(settings: Settings) -> None:
    """Serve until told to stop. Raises SystemExit if the address cannot be had."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    app = App(settings)
    host, _, port = settings.metrics_listen.rpartition(":")
    metrics = telemetry.serve_metrics(host, int(port))
    server = Server(configuration(app, settings))
    serving = asyncio.create_task(server.serve())
    told = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((serving, told), return_when=asyncio.FIRST_COMPLETED)
        if not serving.done():
            log.info("draining")
            app.drain()
            await asyncio.sleep(settings.drain_wait_s)
            server.should_exit = True
        await serving
    finally:
        told.cancel()
        metrics.close()


def configuration(app: App, settings: Settings) -> uvicorn.Config:
    """Return how uvicorn serves the application."""
    host, _, port = settings.listen.rpartition(":")
    Protocol.connections_max = settings.connections_max
    return uvicorn.Config(
        app,
        host=host.strip("[]"),
        port=int(port),
        http=Protocol,
        ws="websockets-sansio",
        ws_max_size=WEBSOCKET_BYTES_MAX,
        ws_per_message_deflate=False,
        lifespan="on",
        interface="asgi3",
        loop="none",
        log_config=None,
        log_level="error",  # of requests the application tells itself
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=round(settings.drain_s),
    )


def main() -> None:
    """Set the process up and run."""
    end_with_parent()
    telemetry.setup("gateway", "gateway")
    settings = Settings.from_env()
    log.info("starting", extra={"settings": repr(settings)})
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 65_536)), hard))
    gc.freeze()  # what was imported lives as long as we do; the collector need not look at it
    uvloop.run(serve(settings))


if __name__ == "__main__":
    main()
