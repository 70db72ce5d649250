"""The main job through the REST API alone: `make demo`, or `make demo FILES="a.pdf b.csv"`."""

import asyncio
import json
import mimetypes
import shutil
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.live import Live
from rich.table import Table

from libs.run.platform import ROOT, Platform

EXAMPLES = Path(__file__).resolve().parent
CAMT = b"urn:iso:std:iso:20022:tech:xsd:camt.05"  # 052, 053 and 054 are statements
OWN_SALES = "sale"  # a file with this in its name is an invoice of ours
CONTENT_TYPES = {".xml": "application/xml", ".csv": "text/csv"}
ENDED = ("JOB_STATE_SUCCEEDED", "JOB_STATE_FAILED", "JOB_STATE_CANCELLED")
REPORTS = ("PROFIT_AND_LOSS", "BALANCE_SHEET", "TRIAL_BALANCE", "PAYABLES_AGEING",
           "RECEIVABLES_AGEING")  # fmt: skip
# Why something is not posted yet: what passes when another thing is.
PASSING = {"LEDGER_NOT_READY", "INVOICE_NOT_POSTED", "EARLIER_MATCH_WAITS"}
WAIT_S = 240
# What a developer may have exported for other work: it would send documents and mail to others, or
# take payments. Stores that the environment names are meant for this platform, too.
NOTHING_FOREIGN = dict.fromkeys(
    ("OPENAI_API_KEY", "STRIPE_API_KEY", "SMTP_URL", "OTEL_EXPORTER_OTLP_ENDPOINT"), ""
)

console = Console(width=None if sys.stdout.isatty() else 140)


class Refused(Exception):  # noqa: N818
    """The API answered with a problem."""

    def __init__(self, problem: dict[str, Any]) -> None:
        super().__init__(f"{problem.get('reason')}: {problem.get('detail')}")
        self.problem = problem


@dataclass
class Api:
    """The REST API with a token."""

    http: httpx.AsyncClient
    token: str = ""

    async def call(self, method: str, path: str, **request: Any) -> Any:
        """The JSON that a request answers. Refused where it is a problem."""
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        headers |= request.pop("headers", {})
        answer = await self.http.request(method, path, headers=headers, **request)
        if answer.status_code >= 400:
            raise Refused(answer.json())
        return answer.json() if "json" in answer.headers.get("content-type", "") else answer.content

    async def every(self, path: str, **query: str) -> list[dict[str, Any]]:
        """All that a list has, page after page."""
        found: list[dict[str, Any]] = []
        while True:
            page = await self.call("GET", path, params=query)
            found += page.get(path.rpartition("/")[2], [])
            if not page.get("next_page_token"):
                return found
            query["page_token"] = page["next_page_token"]

    async def send(self, path: str, file: Path, **query: str) -> Any:
        """Stream a file as the body of a POST."""
        kind = CONTENT_TYPES.get(file.suffix.lower()) or mimetypes.guess_type(file.name)[0]
        headers = {"Content-Type": kind or "application/octet-stream"}
        query["filename"] = file.name
        return await self.call(
            "POST", path, params=query, content=file.read_bytes(), headers=headers
        )


@dataclass
class Upload:
    """One document on its way."""

    file: Path
    invoice_id: str = ""
    job_id: str = ""
    progress: str = "waiting"
    outcome: str = ""
    invoice: dict[str, Any] = field(default_factory=dict)


async def main(files: Sequence[Path]) -> None:
    """Run every step, and stop whatever was started."""
    started = time.monotonic()
    folder = ROOT / ".data" / "demo"
    shutil.rmtree(folder / "out", ignore_errors=True)
    out = folder / "out"
    out.mkdir(parents=True, exist_ok=True)
    async with (
        platform(folder / "platform") as url,
        httpx.AsyncClient(base_url=url, timeout=60) as http,
    ):
        await carry(Api(http), files, out)
    console.print(f"\nDone in {time.monotonic() - started:.0f} s. The reports lie in [b]{out}[/b]")


async def carry(api: Api, files: Sequence[Path], out: Path) -> None:
    """Carry documents and statements to the reports, which are written into the folder `out`."""
    statements = [file for file in files if is_statement(file)]
    await sign_up(api)
    uploads = await upload_and_watch(api, [file for file in files if file not in statements])
    await review(api, uploads)
    if statements:
        await reconcile(api, statements)
    await write_reports(api, out)


def is_statement(file: Path) -> bool:
    """Whether a file is a bank's: a table, or XML in the namespace of one of its messages."""
    with file.open("rb") as content:
        is_camt = CAMT in content.read(65_536)
    return file.suffix.lower() == ".csv" or (file.suffix.lower() == ".xml" and is_camt)


@asynccontextmanager
async def platform(folder: Path) -> AsyncIterator[str]:
    """The whole platform, each role a process of its own; its address."""
    running = Platform(folder, split=True, settings=NOTHING_FOREIGN, gateway_port=8090)
    with console.status("starting") as status:
        await running.start(status.update)
    console.print(f"[b]{len(running.children)} processes run[/b]: {', '.join(running.children)}")
    console.print(f"REST API at {running.url}, a page to try it at {running.url}/docs")
    try:
        yield running.url
    finally:
        with console.status("stopping everything"):
            await running.stop()


async def sign_up(api: Api) -> None:
    """A new organization, whose owner we are."""
    stamp = datetime.now(UTC).strftime("%Y%m%d%H%M%S")
    tokens = await api.call("POST", "/v1/signup", json={
        "email": f"demo-{stamp}@example.com", "password": f"a long demo password {stamp}",
        "display_name": "Demo", "organization_name": "Harbour Lane Trading GmbH",
        "base_currency_code": "EUR", "region_code": "DE",
    })  # fmt: skip
    api.token = tokens["access_token"]
    console.rule("1 · organization")
    console.print(
        f"{tokens['organization']['display_name']}, books in "
        f"{tokens['organization']['base_currency_code']}; signed in as {tokens['user']['email']}"
    )


async def upload_and_watch(api: Api, documents: Sequence[Path]) -> list[Upload]:
    """Upload each document and show its job live until all have ended."""
    console.rule("2 · documents are uploaded and read")
    uploads = [Upload(file) for file in documents]
    with Live(console=console, refresh_per_second=8, transient=True) as live:
        await asyncio.gather(*(upload_one(api, one, live, uploads) for one in uploads))
    for one in uploads:
        if one.invoice_id:
            one.invoice = await api.call("GET", f"/v1/invoices/{one.invoice_id}")
    table = Table("file", "type", "number", "supplier", "issued", "due", "net", "tax", "gross",
                  "read from", "sure", title="what was read")  # fmt: skip
    for one in uploads:
        table.add_row(*read_row(one))
    console.print(table)
    return uploads


async def upload_one(api: Api, one: Upload, live: Live, uploads: list[Upload]) -> None:
    """Upload, then follow the job's events until it has ended."""

    def show(text: str) -> None:
        one.progress = text
        table = Table("file", "job")
        for each in uploads:
            table.add_row(each.file.name, each.progress)
        live.update(table)

    show("uploading")
    query = {"direction": "DIRECTION_RECEIVABLE"} if OWN_SALES in one.file.name else {}
    try:
        invoice = await api.send("/v1/invoices:upload", one.file, **query)
    except Refused as refused:
        one.outcome = str(refused)
        return show(f"[red]refused[/red] {refused}")
    one.invoice_id, one.job_id = invoice["invoice_id"], invoice["job_id"]
    show("queued")
    async with asyncio.timeout(WAIT_S):
        async for job in watched(api, one.job_id):
            show(job_text(job))
    if job["state"] == "JOB_STATE_FAILED":
        one.outcome = job.get("failure", {}).get("message", "")
    return None


async def watched(api: Api, job_id: str) -> AsyncIterator[dict[str, Any]]:
    """The job after every change until it has ended, as server-sent events."""
    headers = {"Authorization": f"Bearer {api.token}", "Accept": "text/event-stream"}
    state = ""
    while state not in ENDED:  # the agent hears of an upload a moment later, and streams may end
        async with api.http.stream("GET", f"/v1/jobs/{job_id}:watch", headers=headers) as answer:
            async for line in answer.aiter_lines():
                if answer.status_code == 200 and line.startswith("data:"):
                    job = json.loads(line.removeprefix("data:"))
                    if "state" in job:
                        state = job["state"]
                        yield job
        if state not in ENDED:
            await asyncio.sleep(0.2)


def job_text(job: dict[str, Any]) -> str:
    """A job's state and steps in one line."""
    marks = {"STEP_STATE_SUCCEEDED": "✓", "STEP_STATE_FAILED": "✗", "STEP_STATE_RUNNING": "…"}
    steps = " ".join(
        f"{marks.get(step['state'], '')}{step['name']}" for step in job.get("steps", [])
    )
    return f"{job['state'].removeprefix('JOB_STATE_').lower():10} {steps}"


def read_row(one: Upload) -> list[str]:
    """The table's row of one document."""
    invoice = one.invoice
    if not invoice:
        return [one.file.name, f"[red]{one.outcome}[/red]", *[""] * 9]
    readings = invoice.get("readings", [])
    sources = sorted(
        {r["source"].removeprefix("READING_SOURCE_").lower() for r in readings if "source" in r}
    )
    needed = [
        r.get("confidence", 0.0) for r in readings if r["field"] in ("invoice_number", "gross")
    ]
    kind = invoice.get("document_type", "").removeprefix("DOCUMENT_TYPE_").lower()
    return [
        one.file.name,
        kind.replace("_", " ") or "?",
        invoice.get("invoice_number", ""),
        invoice.get("supplier", {}).get("display_name", ""),
        day(invoice.get("issue_date")),
        day(invoice.get("due_date")),
        *(money(invoice.get(name)) for name in ("net", "tax", "gross")),
        ", ".join(sources) or invoice.get("reading_failure", ""),
        f"{min(needed):.2f}" if needed else "",
    ]


async def review(api: Api, uploads: Sequence[Upload]) -> None:
    """Approve what is complete; say what a person has to look at."""
    console.rule("3 · review and approval")
    table = Table("file", "state", "account", "decision")
    for one in uploads:
        if not one.invoice_id:
            table.add_row(one.file.name, "not stored", "", one.outcome)
            continue
        invoice, decision = one.invoice, ""
        if invoice["state"] == "INVOICE_STATE_IN_REVIEW":
            try:
                path = f"/v1/invoices/{one.invoice_id}:approve"
                invoice = await api.call("POST", path, json={"etag": invoice["etag"]})
                decision = "approved" + warned(invoice)
            except Refused as refused:
                decision = f"[yellow]waits for a person[/yellow]: {refused}"
        table.add_row(
            one.file.name,
            invoice["state"].removeprefix("INVOICE_STATE_").lower(),
            invoice.get("account_code", ""),
            decision or "; ".join(d["actor"] for d in invoice.get("decisions", [])),
        )
    console.print(table)


def warned(invoice: dict[str, Any]) -> str:
    """The invoice's warnings in brackets."""
    return f" ({'; '.join(invoice['warnings'])})" if invoice.get("warnings") else ""


async def reconcile(api: Api, statements: Sequence[Path]) -> None:
    """Import each statement, wait for the matching, confirm what is proposed."""
    console.rule("4 · bank statement and matching")
    # Without an IBAN it takes the statements of any account.
    account = await api.call(
        "POST", "/v1/bank_accounts", json={"display_name": "Main account", "currency_code": "EUR"}
    )
    for file in statements:
        path = f"/v1/bank_accounts/{account['bank_account_id']}/statements:import"
        statement = await api.send(path, file)
        with console.status(f"importing {file.name}"):
            statement = await until(
                lambda: api.call("GET", f"/v1/statements/{statement['statement_id']}"),  # noqa: B023
                lambda found: found["state"] != "STATEMENT_STATE_IMPORTING",
            )
        console.print(
            f"{file.name}: {statement.get('format', '')} "
            f"{statement['state'].removeprefix('STATEMENT_STATE_').lower()}, "
            f"{statement.get('transaction_count', 0)} lines, "
            f"{statement.get('imported_count', 0)} of them new "
            f"{statement.get('failure', '')} {'; '.join(statement.get('warnings', []))}"
        )
    run = await api.call("POST", "/v1/reconciliations", json={})
    with console.status("matching"):
        await until(
            lambda: api.call("GET", f"/v1/reconciliations/{run['reconciliation_id']}"),
            lambda found: found["state"] != "RECONCILIATION_STATE_RUNNING",
        )
    await show_matches(api)


async def show_matches(api: Api) -> None:
    """Confirm the proposals, then print every match with its reasons."""
    for match in await api.every("/v1/matches", state="MATCH_STATE_PROPOSED"):
        await api.call("POST", f"/v1/matches/{match['match_id']}:confirm", json={})
    transactions = {one["transaction_id"]: one for one in await api.every("/v1/transactions")}
    invoices = {one["invoice_id"]: one for one in await api.every("/v1/invoices")}
    table = Table("transaction", "amount", "invoices", "sure", "confirmed by", "why")
    for match in await api.every("/v1/matches"):
        allocations = match["allocations"]
        of_bank = [transactions[key] for key in sorted({a["transaction_id"] for a in allocations})]
        numbers = [invoices[a["invoice_id"]].get("invoice_number", "") for a in allocations]
        table.add_row(
            "\n".join(one.get("remittance_text", "") for one in of_bank),
            "\n".join(money(one["amount"]) for one in of_bank),
            "\n".join(numbers),
            f"{match.get('confidence', 0):.2f}",
            match.get("actor", "").partition(":")[0],
            "\n".join(match.get("reasons", [])),
        )
    console.print(table)
    left = [t for t in transactions.values() if t["state"] == "TRANSACTION_STATE_OPEN"]
    for one in left:
        console.print(f"left open: {money(one['amount'])}  {one.get('remittance_text', '')}")


async def write_reports(api: Api, out: Path) -> None:
    """Write each report as PDF and Excel, fetch the files, and print the trial balance."""
    console.rule("5 · reports")
    period = await booked_period(api)
    orders = [
        {"kind": f"REPORT_KIND_{kind}", "format": f"REPORT_FORMAT_{form}", **period}
        for kind in REPORTS for form in ("PDF", "XLSX")
    ]  # fmt: skip
    with console.status("writing the reports"):
        reports = [await api.call("POST", "/v1/reports", json=order) for order in orders]
        for report in reports:
            path = f"/v1/reports/{report['report_id']}"
            done = await until(
                lambda: api.call("GET", path),  # noqa: B023
                lambda found: found["state"] != "REPORT_STATE_GENERATING",
            )
            if done["state"] == "REPORT_STATE_READY":
                (out / done["filename"]).write_bytes(await api.call("GET", f"{path}/file"))
    balance = {"kind": "REPORT_KIND_TRIAL_BALANCE"} | period
    show_report(await api.call("GET", "/v1/reports:query", params=balance))
    files = Table("file", "bytes", title=f"in {out}")
    for file in sorted(out.iterdir()):
        files.add_row(file.name, f"{file.stat().st_size:,}")
    console.print(files)


async def booked_period(api: Api) -> dict[str, str]:
    """Wait until everything decided is posted or has a reason not to be; the years of the books."""
    states = [f"INVOICE_STATE_{state}" for state in ("APPROVED", "PARTLY_PAID", "PAID")]
    decided = {one["invoice_id"] for state in states
               for one in await api.every("/v1/invoices", states=state)}  # fmt: skip
    confirmed = await api.every("/v1/matches", state="MATCH_STATE_CONFIRMED")
    decided |= {one["match_id"] for one in confirmed}

    def is_posted(found: tuple[list[dict[str, Any]], list[dict[str, Any]]]) -> bool:
        entries, rejections = found
        waits_for_others = {one["reason"] for one in rejections} <= PASSING
        return decided <= {one["source_id"] for one in [*entries, *rejections]} and (
            not rejections or not waits_for_others
        )

    with console.status("waiting for the ledger"):
        try:
            entries, rejections = await until(lambda: posted(api), is_posted, within_s=60)
        except TimeoutError:
            entries, rejections = await posted(api)
            console.print("[yellow]the ledger lacks something that was decided[/yellow]")
    for one in rejections:
        console.print(f"[yellow]not posted[/yellow]: {one['message']}")
    years = {entry["posting_date"]["year"] for entry in entries} or {datetime.now(UTC).year}
    return {"start_date": f"{min(years)}-01-01", "end_date": f"{max(years)}-12-31"}


async def posted(api: Api) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The ledger's entries, and what it could not post."""
    return await api.every("/v1/journal_entries"), await api.every("/v1/posting_rejections")


def show_report(report: dict[str, Any]) -> None:
    """Print a report's table."""
    table = Table("account", "", *report["columns"], title=report["title"])
    for column in table.columns[2:]:
        column.justify = "right"
    for row in report["rows"]:
        style = "bold" if row["kind"] != "KIND_DETAIL" else ""
        table.add_row(row.get("account_code", ""), row["label"], *row["amounts"], style=style)
    console.print(table)


async def until(
    ask: Callable[[], Any],
    is_so: Callable[[Any], bool],
    each: Callable[[Any], None] = lambda _: None,
    within_s: float = WAIT_S,
) -> Any:
    """Ask again until the answer is so. TimeoutError after within_s."""
    async with asyncio.timeout(within_s):
        while True:
            answer = await ask()
            each(answer)
            if is_so(answer):
                return answer
            await asyncio.sleep(0.15)


def day(value: dict[str, int] | None) -> str:
    """A google.type.Date as 2026-09-02."""
    return f"{value['year']}-{value['month']:02}-{value['day']:02}" if value else ""


def money(value: dict[str, str] | None) -> str:
    """A Money as 12.34 EUR."""
    return f"{value['amount']} {value['currency_code']}" if value else ""


def examples() -> list[Path]:
    """The documents and statements that lie here."""
    kinds = (".pdf", ".xml", ".jpg", ".csv")
    return sorted(file for file in EXAMPLES.iterdir() if file.suffix in kinds)


if __name__ == "__main__":
    given = [Path(name) for name in sys.argv[1:]]
    absent = [str(file) for file in given if not file.is_file()]
    if absent:
        sys.exit(f"no such file: {', '.join(absent)}")
    try:
        asyncio.run(main(given or examples()))
    except KeyboardInterrupt:
        sys.exit(130)
    except Refused as problem:
        sys.exit(f"the API refused: {problem}")
