"""The stores of a test run in containers, for machines with a Docker engine."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import yaml
from docker.errors import DockerException  # type: ignore[import-untyped]
from testcontainers.core.container import DockerContainer
from testcontainers.core.wait_strategies import LogMessageWaitStrategy

from libs.embedded import EmbeddedError

# The development cluster names the versions; here they are the same.
VALUES = Path(__file__).resolve().parents[2] / "charts/platform/values.yaml"
PASSWORD = "for-tests-only"  # noqa: S105  # of servers that live as long as the tests
START_S = 120


@contextmanager
def containers() -> Iterator[dict[str, str]]:
    """Run PostgreSQL, Redis and S3 in containers; yields the settings by which they are found.

    Raises EmbeddedError if there is no engine.
    """
    images = yaml.safe_load(VALUES.read_text())["images"]
    # PostgreSQL starts, says on one stream that it is ready, is set up, and starts on the other.
    postgres = _container(images["postgres"], 5432, "database system is ready", both_streams=True)
    postgres.with_env("POSTGRES_PASSWORD", PASSWORD).with_command("-c max_connections=300")
    redis = _container(images["redis"], 6379, "Ready to accept connections")
    s3 = _container(images["s3"], 9000, "Starting s3 server")
    s3.with_env("RCLONE_AUTH_KEY", f'"{PASSWORD},{PASSWORD}"')  # quoted: one entry of a list
    s3.with_command("serve s3 /tmp --addr :9000 --config /dev/null")
    with ExitStack() as stack:
        address = {}
        for container, port in ((postgres, 5432), (redis, 6379), (s3, 9000)):
            try:
                started = stack.enter_context(container)
            except (DockerException, TimeoutError, RuntimeError) as error:
                raise EmbeddedError(f"{container.image} does not start: {error}") from error
            address[port] = f"{started.get_container_host_ip()}:{started.get_exposed_port(port)}"
        yield {
            "ADMIN_DATABASE_URL": f"postgresql://postgres:{PASSWORD}@{address[5432]}/postgres",
            "REDIS_URL": f"redis://{address[6379]}/0",
            "S3_ENDPOINT_URL": f"http://{address[9000]}",
            "S3_ACCESS_KEY": PASSWORD,
            "S3_SECRET_KEY": PASSWORD,
        }


def _container(image: str, port: int, ready: str, *, both_streams: bool = False) -> DockerContainer:
    try:
        container = DockerContainer(image)
    except DockerException as error:
        raise EmbeddedError(f"no Docker engine is found: {error}") from error
    is_ready = LogMessageWaitStrategy(ready, predicate_streams_and=both_streams)
    return container.with_exposed_ports(port).waiting_for(is_ready.with_startup_timeout(START_S))
