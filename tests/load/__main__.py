"""`make load`: requests/s, latency and CPU per request through the gateway; writes docs/LOAD.md."""

import asyncio
import json
import os
import random
import sys
import tempfile
import uuid
from base64 import b64encode
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import httpx
import uvloop

from examples.demo import NOTHING_FOREIGN
from libs.run.platform import ROOT, Platform, say
from tests.fault import documents
from tests.load.http_client import Sample, closed_loop, open_loop, request_bytes

CONNECTIONS = 32
SECONDS = float(os.environ.get("LOAD_SECONDS", "8"))
RUNS = int(os.environ.get("LOAD_RUNS", "3"))
INVOICES = int(os.environ.get("LOAD_INVOICES", "10000"))
UPLOAD_BYTES = 100_000
OPEN_RATES = {"get": 800, "list of 50": 150, "create": 150, "upload of 100 kB": 25}
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Figure:
    """One line of the table."""

    endpoint: str
    loop: str
    per_second: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    errors: int
    cpu_us: dict[str, float]  # process → microseconds for each answered request


async def main() -> None:
    """Start the platform at shipped defaults, fill it, measure, write the table."""
    folder = Path(tempfile.mkdtemp(prefix="auditron-load-"))
    platform = Platform(folder, settings=NOTHING_FOREIGN)
    await platform.start(say)
    try:
        figures = await measure(platform)
    finally:
        await platform.stop()
        await platform.embedded.erase()  # what lies outside the folder, too
    write(figures)


async def measure(platform: Platform) -> list[Figure]:
    """Every endpoint in a closed and in an open loop."""
    port = int(platform.url.rpartition(":")[2])
    async with httpx.AsyncClient(base_url=platform.url, timeout=60) as http:
        token = await sign_up(http)
        ids = await fill(port, http, token)
    figures = []
    for name, make, wanted in endpoints(token, ids):
        runs = []
        for _ in range(RUNS):
            say(f"{name}, closed loop with {CONNECTIONS} connections")
            runs.append(
                await timed(
                    platform,
                    name,
                    "closed",
                    lambda make=make, wanted=wanted: closed_loop(
                        port, make, wanted, CONNECTIONS, SECONDS
                    ),
                )
            )
        figures.append(sorted(runs, key=lambda figure: figure.per_second)[len(runs) // 2])
        rate = OPEN_RATES[name]
        say(f"{name}, open loop at {rate}/s")
        figures.append(
            await timed(
                platform,
                name,
                f"open, {rate}/s",
                lambda make=make, wanted=wanted, rate=rate: open_loop(
                    port, make, wanted, rate, SECONDS
                ),
            )
        )
    return figures


async def sign_up(http: httpx.AsyncClient) -> str:
    """An organization on the largest plan; its token."""
    answer = await http.post("/v1/signup", json={
        "email": "load@example.com", "password": "a password for load",
        "organization_name": "Load", "base_currency_code": "EUR",
    })  # fmt: skip
    token = str(answer.raise_for_status().json()["access_token"])
    headers = {"Authorization": f"Bearer {token}"}
    plans = (await http.get("/v1/plans")).json()["plans"]
    unlimited = [p for p in plans if not p["entitlements"].get("documents_per_month")]
    while True:  # the subscription follows the sign-up by an event
        body = {"plan_code": unlimited[-1]["plan_code"]}
        changed = await http.post("/v1/subscription:change_plan", json=body, headers=headers)
        if changed.status_code == 200:
            break
        await asyncio.sleep(0.1)
    await asyncio.sleep(2)  # until invoice has heard of it
    return token


def invoice_body() -> bytes:
    """An invoice with five lines."""
    lines = [
        {"description": f"Item {number}", "quantity": "2", "unit_price": "10.00",
         "tax_rate": "19", "amount": {"amount": "20.00", "currency_code": "EUR"}}
        for number in range(5)
    ]  # fmt: skip
    return json.dumps({
        "direction": "DIRECTION_PAYABLE", "document_type": "DOCUMENT_TYPE_INVOICE",
        "invoice_number": uuid.uuid4().hex[:12], "supplier": {"display_name": "Paper Ltd"},
        "issue_date": {"year": 2026, "month": 9, "day": 1},
        "net": {"amount": "100.00", "currency_code": "EUR"},
        "tax": {"amount": "19.00", "currency_code": "EUR"},
        "gross": {"amount": "119.00", "currency_code": "EUR"}, "lines": lines,
    }).encode()  # fmt: skip


async def fill(port: int, http: httpx.AsyncClient, token: str) -> list[str]:
    """Invoices to read; the ids of some."""
    say(f"creating {INVOICES} invoices")
    headers = json_headers(token)
    left = iter(range(INVOICES))

    async def worker() -> None:
        for _ in left:
            answer = await http.post("/v1/invoices", content=invoice_body(), headers=headers)
            answer.raise_for_status()

    await asyncio.gather(*(worker() for _ in range(16)))
    page = await http.get("/v1/invoices", params={"page_size": 1000}, headers=headers)
    return [invoice["invoice_id"] for invoice in page.raise_for_status().json()["invoices"]]


def json_headers(token: str) -> dict[str, str]:
    """What every request with JSON says."""
    return {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}


def e_invoice() -> Callable[[], bytes]:
    """Return what makes UBL invoices of 100 kB with a document attached, each of another number."""
    day, number = date(2026, 9, 1), uuid.UUID(int=0).hex
    bill = documents.bill(number, documents.PAYABLE, day, day, random.Random(7))
    head, party, tail = documents.ubl(bill).partition(b"<a:AccountingSupplierParty>")
    opening = (
        b"<a:AdditionalDocumentReference><b:ID>1</b:ID><a:Attachment>"
        b'<b:EmbeddedDocumentBinaryObject mimeCode="application/pdf" filename="a.pdf">'
    )
    closing = b"</b:EmbeddedDocumentBinaryObject></a:Attachment></a:AdditionalDocumentReference>"
    left = UPLOAD_BYTES - sum(map(len, (head, opening, closing, party, tail)))
    attached = b64encode(os.urandom(left // 4 * 3))
    template = b"".join((head, opening, attached, closing, party, tail))
    return lambda: template.replace(number.encode(), uuid.uuid4().hex.encode())


def endpoints(token: str, ids: list[str]) -> list[tuple[str, Callable[[], bytes], int]]:
    """Name, request maker and the status that is right."""
    turn = {"next": 0}
    document = e_invoice()

    def get() -> bytes:
        turn["next"] = (turn["next"] + 1) % len(ids)
        path = f"/v1/invoices/{ids[turn['next']]}"
        return request_bytes("GET", path, json_headers(token))

    def create() -> bytes:
        return request_bytes("POST", "/v1/invoices", json_headers(token), invoice_body())

    def upload() -> bytes:
        headers = json_headers(token) | {"Content-Type": "application/xml"}
        return request_bytes("POST", "/v1/invoices:upload?filename=load.xml", headers, document())

    listing = request_bytes("GET", "/v1/invoices?page_size=50", json_headers(token))
    return [
        ("get", get, 200),
        ("list of 50", lambda: listing, 200),
        ("create", create, 200),
        ("upload of 100 kB", upload, 200),
    ]


async def timed(
    platform: Platform, name: str, loop: str, run: Callable[[], Awaitable[Sample]]
) -> Figure:
    """Run, and take the CPU time of every process meanwhile."""
    before, begun = cpu_seconds(platform), asyncio.get_running_loop().time()
    sample: Sample = await run()
    took = asyncio.get_running_loop().time() - begun
    after = cpu_seconds(platform)
    answered = max(len(sample.seconds), 1)
    times = sorted(sample.seconds) or [0.0]

    def quantile(part: float) -> float:
        return times[min(int(len(times) * part), len(times) - 1)] * 1000

    return Figure(
        endpoint=name,
        loop=loop,
        per_second=len(sample.seconds) / took,
        p50_ms=quantile(0.5),
        p95_ms=quantile(0.95),
        p99_ms=quantile(0.99),
        errors=sum(sample.errors.values()),
        cpu_us={key: (after[key] - before.get(key, 0)) / answered * 1e6 for key in after},
    )


def cpu_seconds(platform: Platform) -> dict[str, float]:
    """User and system time so far of each part, its children included; "load" is this process."""
    roots = {name: child.pid for name, child in platform.children.items()}
    servers = platform.embedded
    roots |= {"postgres": servers.postgres.pid, "redis": servers.redis.pid, "s3": servers.s3.pid}
    parents, times = _processes()
    found = {"load": sum(os.times()[:2])}
    for name, root in roots.items():
        family = {root}
        grown = True
        while grown:
            more = {pid for pid, parent in parents.items() if parent in family} - family
            family |= more
            grown = bool(more)
        found[name] = sum(times.get(pid, 0.0) for pid in family if pid)
    return found


def _processes() -> tuple[dict[int, int], dict[int, float]]:
    parents, times = {}, {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(entry.name)] = int(fields[1])
        # With the children that have ended and were waited for.
        times[int(entry.name)] = sum(map(int, fields[11:15])) / TICKS
    return parents, times


def write(figures: list[Figure]) -> None:
    """docs/LOAD.md, and the same on the terminal."""
    shown = ["gateway", "invoice", "auth", "postgres", "redis", "s3", "load"]
    head = ["endpoint", "loop", "requests/s", "p50 ms", "p95 ms", "p99 ms", "errors"]
    rows = [[*head, *(f"{name} µs" for name in shown), "server µs"]]
    for one in figures:
        server = sum(value for key, value in one.cpu_us.items() if key != "load")
        times = [f"{one.cpu_us.get(name, 0):.0f}" for name in shown]
        rows.append([
            one.endpoint, one.loop, f"{one.per_second:.0f}", f"{one.p50_ms:.1f}",
            f"{one.p95_ms:.1f}", f"{one.p99_ms:.1f}", str(one.errors), *times, f"{server:.0f}",
        ])  # fmt: skip
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines.insert(1, "|" + "---|" * len(rows[0]))
    target = ROOT / "docs" / "LOAD.md"
    before = target.read_text() if target.exists() else ""
    kept = before[before.index("## The peer") :] if "## The peer" in before else ""
    made = (
        f"Made by `make load` on {datetime.now(UTC):%Y-%m-%d}: {os.cpu_count()} cores, Python "
        f"{sys.version.split()[0]}, everything on this machine, the load generator included; "
        "embedded stores; shipped defaults (permissions, row-level security, limits, logs, "
        f"metrics, tracing on). {INVOICES} invoices with 5 lines stand before. An upload is a UBL "
        "invoice with a document attached, each another; what follows it within the run counts in "
        "server µs, its reading by the agent included. Closed loop: "
        f"{CONNECTIONS} connections, the median of {RUNS} runs of {SECONDS:.0f} s. Open loop: "
        "times count from when a request should have started. µs: CPU time, user and system, "
        "for each answered request; server µs is the sum without the load generator."
    )
    text = "\n".join(["# Load", "", made, "", *lines, "", kept])
    target.write_text(text.rstrip() + "\n")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    uvloop.run(main())
