"""What a log call writes, and what it costs the caller."""

import json
import logging
import os
import subprocess
import sys
import threading
import time

import pytest

from libs import telemetry
from libs.telemetry.logs import JsonHandler, LineWriter

CANARIES = [
    "eyJhbGciOiJFUzI1NiJ9.eyJjYW5hcnkiOjF9.c2lnbmF0dXJl",
    "DE89370400440532013000",
    "4111111111111111",
    "aud_live_0199a_c4n4ryc4n4ry",
    "postgresql://app:c4n4ry-password@127.0.0.1/auditron",
    "password=c4n4ry-password",
    "Authorization: Bearer c4n4ry-token",
    "api_key: c4n4ry-key",
    "client_secret='c4n4ry secret'",
]


@pytest.fixture
def pipe():
    read, write = os.pipe()
    yield read, write
    os.close(read)
    os.close(write)


@pytest.fixture
def log(pipe):
    # Outside the tree of loggers, so that pytest's own handlers see nothing of it.
    logger = logging.Logger("services.invoice.api", logging.INFO)  # noqa: LOG001
    logger.addHandler(JsonHandler("invoice", "api", LineWriter(pipe[1])))
    return logger


def fail(error):
    raise error


def lines(log, pipe):
    log.handlers[0].flush()
    return [json.loads(line) for line in os.read(pipe[0], 1_000_000).splitlines()]


def test_a_line_names_process_request_and_fields(log, pipe) -> None:
    with telemetry.bind(request_id="r1", organization_id="o1", user_id="u1"):
        log.info("invoice approved", extra={"invoice_id": "i1", "amount_count": 2, "role": "owner"})
    (line,) = lines(log, pipe)
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "INFO",
        "service": "invoice",
        "role": "api",
        "logger": "services.invoice.api",
        "message": "invoice approved",
        "request_id": "r1",
        "organization_id": "o1",
        "user_id": "u1",
        "invoice_id": "i1",
        "amount_count": 2,
        "extra_role": "owner",
    }


@pytest.mark.parametrize("canary", CANARIES)
def test_no_canary_gets_through_any_part_of_a_record(log, pipe, canary) -> None:
    log.info("message %s", canary)
    log.info("extra", extra={"note": canary, "headers": {"authorization": canary, "x": [canary]}})
    with telemetry.bind(request_id=canary):
        log.warning("key", extra={"counts": {canary: 1}})
    try:
        try:
            fail(ValueError(canary))
        except ValueError as error:
            error.add_note(canary)
            raise RuntimeError({"nested": canary}) from error
    except RuntimeError:
        log.exception("failed")
    log.handlers[0].flush()
    written = os.read(pipe[0], 1_000_000).decode()
    assert written.count("\n") == 4
    assert written.count("[redacted]") >= 8
    for part in (canary, json.dumps(canary)[1:-1], "c4n4ry", "eyJ", "DE89", "4111"):
        assert part not in written


def test_a_message_cannot_forge_a_second_line(log, pipe) -> None:
    log.info('x\n{"level": "INFO", "message": "forged"}\r\n')
    assert len(lines(log, pipe)) == 1


def test_an_exception_is_logged_with_its_end_even_if_it_is_long(log, pipe) -> None:
    try:
        fail(ValueError("begin " + "x" * 50_000 + " end"))
    except ValueError:
        log.exception("failed")
    (line,) = lines(log, pipe)
    assert line["exception_type"] == "ValueError"
    assert line["exception"].endswith("end\n")
    assert len(line["exception"]) <= 16_384


def test_a_record_that_cannot_be_written_does_not_break_its_caller(log, pipe) -> None:
    class Rude:
        def __str__(self):
            raise RuntimeError("canary")

    log.info("%s", Rude())
    log.info("extra", extra={"rude": Rude()})
    log.info("%d", "no number")
    assert [line["level"] for line in lines(log, pipe)] == ["ERROR"] * 3


def test_a_reader_that_stands_still_blocks_nobody_and_what_is_lost_is_counted(pipe) -> None:
    writer = LineWriter(pipe[1], pending_bytes_max=200_000)
    line = b"x" * 999 + b"\n"
    begin = time.perf_counter()
    for _ in range(1_000):
        writer.put(line)
    assert time.perf_counter() - begin < 2
    received = bytearray()

    def read():
        while not received.endswith(b"later\n"):
            received.extend(os.read(pipe[0], 1 << 20))

    reader = threading.Thread(target=read)
    reader.start()
    writer.flush(30)
    writer.put(b"later\n")
    reader.join(30)
    said = [json.loads(row) for row in received.splitlines() if b"dropped" in row]
    assert 0 < sum(row["lines"] for row in said) == 1_000 - received.count(line)


def test_many_threads_write_whole_lines(log, pipe) -> None:
    def write(number):
        for index in range(50):
            log.info("line", extra={"worker": number, "index": index})

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(lines(log, pipe)) == 200


def test_a_log_call_below_the_level_costs_next_to_nothing(log) -> None:
    begin = time.perf_counter()
    for _ in range(10_000):
        log.debug("x %s", log)
    assert time.perf_counter() - begin < 0.1


PROGRAM = """
import logging, sys, warnings
from libs import telemetry
telemetry.setup("old", "worker", telemetry.TelemetrySettings(log_level="DEBUG", trace_ratio=1))
telemetry.setup("invoice", "api", telemetry.TelemetrySettings(log_level="DEBUG", trace_ratio=1))
log = logging.getLogger("services.invoice.api")
log.debug("ours")
logging.getLogger("botocore").info("theirs")
warnings.warn("password=canary")
with telemetry.span("work"):
    log.info("traced")
    print(telemetry.trace_id())
raise ValueError("token=canary")
"""


def test_setup_sends_everything_a_process_says_to_standard_error_as_json() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode == 1
    rows = [json.loads(line) for line in done.stderr.splitlines()]
    assert [row["message"] for row in rows[:1]] == ["ours"]
    assert [row["level"] for row in rows] == ["DEBUG", "WARNING", "INFO", "CRITICAL"]
    assert {row["service"] for row in rows} == {"invoice"}
    assert rows[2]["trace_id"] == done.stdout.strip()
    assert "canary" not in done.stderr


def test_bound_ids_nest_and_come_back() -> None:
    assert telemetry.current() == telemetry.Context()
    with telemetry.bind(request_id="r", organization_id="o"):
        with telemetry.bind(organization_id="p") as inner:
            assert inner == telemetry.current() == telemetry.Context("r", "p", "")
        assert telemetry.current().organization_id == "o"
    assert telemetry.current() == telemetry.Context()


async def test_bound_ids_of_an_abandoned_stream_do_not_leak() -> None:
    async def stream():
        with telemetry.bind(request_id="inside"):
            yield 1
            yield 2

    running = stream()
    await anext(running)
    await running.aclose()
    assert telemetry.current().request_id == ""
