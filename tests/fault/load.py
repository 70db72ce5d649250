"""What organizations do all day, through the REST API alone, and what they write down of it."""

import asyncio
import hashlib
import random
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from tests.fault import documents
from tests.fault.documents import PAYABLE, RECEIVABLE, Bill, Line
from tests.fault.rest import Answer, Client

IN_REVIEW, RECEIVED = "INVOICE_STATE_IN_REVIEW", "INVOICE_STATE_RECEIVED"
STANDING = {f"INVOICE_STATE_{name}" for name in ("APPROVED", "PARTLY_PAID", "PAID")}
LINES_MAX = 6
# How long a session may live on whose end Redis was not told of.
REVOKED_WITHIN_S = 15.0
WAIT_S = 0.1


@dataclass
class Known:
    """An invoice as its client knows it."""

    invoice_id: str
    bill: Bill
    content: bytes = b""  # of what was uploaded
    job_id: str = ""
    due_at: float = 0.0  # when to look at it again, by time.monotonic()


@dataclass
class Books:
    """One organization: who asks for it, and what it has to do."""

    client: Client
    number: int
    serial: int = 0
    invoices: list[Known] = field(default_factory=list)
    to_approve: list[Known] = field(default_factory=list)
    to_pay: list[Known] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    paid_by: dict[str, Known] = field(default_factory=dict)  # token of a line → invoice

    @property
    def dice(self) -> random.Random:
        return self.client.dice

    def note(self, kind: str, **facts: object) -> None:
        """Write down what was acknowledged."""
        organization_id = self.client.organization_id
        self.client.history.add(kind, organization_id=organization_id, **facts)

    def new_bill(self) -> Bill:
        """The next invoice that comes in or goes out."""
        self.serial += 1
        today = datetime.now(UTC).date()
        issued = today - timedelta(days=self.dice.randrange(30, 60))
        direction = RECEIVABLE if self.dice.random() < 0.3 else PAYABLE
        number = f"{self.number}-{self.serial:05d}-{self.dice.randrange(10**6):06d}"
        return documents.bill(number, direction, issued, issued + timedelta(days=30), self.dice)


def key() -> str:
    """A new idempotency key."""
    return str(uuid.uuid4())


async def open_books(client: Client, number: int) -> Books | None:
    """Found an organization on the plan without limits; every second one trusts good readings."""
    if not await client.sign_up(f"Company {number}"):
        return None
    books = Books(client, number)
    books.note("organization")
    body = {"plan_code": "unlimited"}
    path, again = "/v1/subscription:change_plan", key()
    while True:  # the subscription follows the sign-up by an event
        changed = await client.send("POST", path, {"SUBSCRIPTION_NOT_FOUND"}, key=again, json=body)
        if changed.reason != "SUBSCRIPTION_NOT_FOUND":
            break
        await asyncio.sleep(WAIT_S)
    if changed.ok:
        books.note("plan")
    mail = {"emails": [f"books{number}@example.com"]}
    if (await client.send("PATCH", "/v1/notification_settings", json=mail)).ok:
        books.note("mail")
    if number % 2:
        policy = {"auto_approve_confidence": 0.5}
        if (await client.send("PATCH", "/v1/approval_policy", json=policy)).ok:
            books.note("policy")
    return books


async def clerk(books: Books, until: float) -> None:
    """Upload and type invoices, now and then the same again."""
    while time.monotonic() < until:
        choice = books.dice.random()
        if choice < 0.5:
            await upload(books)
        elif choice < 0.6 and books.invoices:
            await upload_again(books, books.dice.choice(books.invoices))
        else:
            await create(books)
        await asyncio.sleep(books.dice.uniform(0.05, 0.4))


async def upload(books: Books) -> None:
    """Send a new document; sometimes two at once send it, each with a key of its own."""
    bill = books.new_bill()
    make = documents.ubl if books.dice.random() < 0.5 else documents.cii
    content = make(bill)
    if books.dice.random() < 0.15:
        answers = await asyncio.gather(*(_send_document(books, bill, content) for _ in range(2)))
        if answers[0] and answers[1] and answers[0].invoice_id != answers[1].invoice_id:
            books.note(
                "broken", call="upload", reason="the same bytes made two invoices", detail=""
            )
        known = answers[0] or answers[1]
    else:
        known = await _send_document(books, bill, content)
    if known:
        books.invoices.append(known)
        books.to_approve.append(known)


async def upload_again(books: Books, known: Known) -> None:
    """Send bytes that are there already, with a new key: the invoice must be the one of before."""
    if not known.content:
        return
    again = await _send_document(books, known.bill, known.content)
    if again and again.invoice_id != known.invoice_id:
        books.note("broken", call="upload", reason="the same bytes made two invoices", detail="")


async def _send_document(books: Books, bill: Bill, content: bytes) -> Known | None:
    request = {
        "params": {"filename": f"{bill.number}.xml", "direction": bill.direction},
        "content": content,
        "headers": {"Content-Type": "application/xml"},
    }
    once = key()

    async def ask() -> Answer:
        return await books.client.send("POST", "/v1/invoices:upload", key=once, **request)

    answer = await _asked_twice(books, ask, "invoice_id")
    if not answer.ok:
        return None
    books.note(
        "upload",
        key=once,
        invoice_id=answer.body["invoice_id"],
        job_id=answer.body["job_id"],
        sha256=hashlib.sha256(content).hexdigest(),
        number=bill.number,
        gross=bill.gross,
    )
    return Known(answer.body["invoice_id"], bill, content, answer.body["job_id"])


async def create(books: Books) -> None:
    """Type an invoice."""
    bill, once = books.new_bill(), key()

    async def ask() -> Answer:
        body = documents.by_hand(bill)
        return await books.client.send("POST", "/v1/invoices", key=once, json=body)

    answer = await _asked_twice(books, ask, "invoice_id")
    if answer.ok:
        invoice_id = answer.body["invoice_id"]
        books.note("create", key=once, invoice_id=invoice_id, number=bill.number, gross=bill.gross)
        known = Known(invoice_id, bill)
        books.invoices.append(known)
        books.to_approve.append(known)


async def approver(books: Books, until: float) -> None:
    """Decide about every invoice once it can be decided, also those that come at the end."""
    while not _is_over(books, until, books.to_approve):
        known = _next_due(books.to_approve)
        if known is None:
            await asyncio.sleep(WAIT_S)
            continue
        answer = await books.client.send("GET", f"/v1/invoices/{known.invoice_id}")
        if not answer.ok:  # it stands in the history
            continue
        state = answer.body["state"]
        if state == RECEIVED or answer.body.get("reading_failure"):
            if state != RECEIVED:
                await run_again(books, known)
            known.due_at = time.monotonic() + 0.3
            books.to_approve.append(known)
        elif state == IN_REVIEW:
            await decide(books, known)
        elif state in STANDING:  # by the approval policy
            books.to_pay.append(known)
        if books.to_pay and books.dice.random() < 0.03:
            await doubt(books, books.dice.choice(books.to_pay))


async def run_again(books: Books, known: Known) -> None:
    """Run a job again whose attempts were spent while what it needs was away."""
    once, path = key(), f"/v1/jobs/{known.job_id}:retry"
    allowed = {"JOB_NOT_ENDED", "JOB_SUCCEEDED"}
    if (await books.client.send("POST", path, allowed, key=once, json={})).ok:
        books.note("run_again", key=once, job_id=known.job_id, invoice_id=known.invoice_id)


async def doubt(books: Books, known: Known) -> None:
    """Open an approved invoice again, if it is not paid already, and approve it anew."""
    if await verb(books, known, "reopen", {"INVOICE_NOT_REOPENABLE"}, reason="a doubt"):
        await verb(books, known, "approve")


async def decide(books: Books, known: Known) -> None:
    """Approve, or reject, or approve and open again; sometimes two people at once."""
    choice = books.dice.random()
    if choice < 0.08:
        await verb(books, known, "reject", reason="not ours")
        return
    if choice < 0.2:
        approvals = [verb(books, known, "approve", {"INVOICE_NOT_IN_REVIEW"}) for _ in range(2)]
        done = any(await asyncio.gather(*approvals))
    else:
        done = await verb(books, known, "approve")
    if done and choice > 0.92 and await verb(books, known, "reopen", reason="a doubt"):
        done = await verb(books, known, "approve")
    if done:
        books.to_pay.append(known)


async def verb(
    books: Books, known: Known, name: str, allowed: Sequence[str] | set[str] = (), **body: str
) -> bool:
    """Call a verb of an invoice; whether it was done."""
    once = key()

    async def ask() -> Answer:
        path = f"/v1/invoices/{known.invoice_id}:{name}"
        return await books.client.send("POST", path, allowed, key=once, json=body)

    answer = await _asked_twice(books, ask, "etag")
    if answer.ok:
        books.note(name, key=once, invoice_id=known.invoice_id)
    return answer.ok


async def banker(books: Books, until: float) -> None:
    """Import statements that pay what is approved, and settle what is left open."""
    once = key()
    account = {"display_name": "Giro", "iban": "DE02120300000000202051", "currency_code": "EUR"}
    opened = await books.client.send("POST", "/v1/bank_accounts", key=once, json=account)
    if not opened.ok:
        return
    account_id = opened.body["bank_account_id"]
    books.note("bank_account", key=once, bank_account_id=account_id)
    while time.monotonic() < until:
        await asyncio.sleep(books.dice.uniform(0.5, 2.0))
        await import_statement(books, account_id)
        await settle(books)
    await import_statement(books, account_id)
    await settle(books)


async def import_statement(books: Books, account_id: str) -> None:
    """Send a statement of payments; a part of an earlier one comes again in it."""
    lines = [made for _ in range(min(LINES_MAX, len(books.to_pay))) for made in _pay(books)]
    if not lines:
        return
    lines.append(_fee(books))
    overlap = [line for line in books.lines[-2:] if books.dice.random() < 0.7]
    content, once = documents.statement([*overlap, *lines]), key()
    path = f"/v1/bank_accounts/{account_id}/statements:import"
    request = {
        "params": {"filename": f"statement-{once[:8]}.csv"},
        "content": content,
        "headers": {"Content-Type": "text/csv"},
    }

    async def ask() -> Answer:
        return await books.client.send("POST", path, key=once, **request)

    answer = await _asked_twice(books, ask, "statement_id")
    if not answer.ok:
        return
    books.lines += lines
    statement_id = answer.body["statement_id"]
    books.note(
        "statement",
        key=once,
        statement_id=statement_id,
        bank_account_id=account_id,
        lines=[[line.token, line.amount] for line in [*overlap, *lines]],
    )
    await _wait_for(books, f"/v1/statements/{statement_id}", "STATEMENT_STATE_IMPORTING")


def _pay(books: Books) -> list[Line]:
    """Lines that pay one invoice, in one of the ways that people have."""
    known = books.to_pay.pop(0)
    choice, gross, number = books.dice.random(), known.bill.gross, known.bill.number
    half = (gross / 2).quantize(documents.CENT)
    if choice < 0.45:
        return [_line(books, known, gross, f"Invoice {number}")]
    if choice < 0.6:
        return [_line(books, known, gross, "")]
    if choice < 0.75:
        return [_line(books, known, gross, "", named=False)]
    if choice < 0.82:
        return [_line(books, known, part, f"Part of {number}") for part in (half, gross - half)]
    if choice < 0.9:
        return [_line(books, known, half, f"Part of {number}")]
    if choice < 0.95:
        less = (gross * Decimal("0.98")).quantize(documents.CENT)
        return [_line(books, known, less, f"{number} less 2 %")]
    return [_line(books, known, gross, number) for _ in range(2)]  # paid twice


def _line(books: Books, known: Known, amount: Decimal, text: str, *, named: bool = True) -> Line:
    bill = known.bill
    sign = -1 if bill.direction == PAYABLE else 1
    name, iban = (bill.party[0], bill.party[2]) if named else ("", "")
    line = _bare_line(books, name, iban, text, sign * amount)
    books.paid_by[line.token] = known
    return line


def _fee(books: Books) -> Line:
    return _bare_line(books, "", "", "Account fee", Decimal(-books.dice.randrange(100, 900)) / 100)


def _bare_line(books: Books, name: str, iban: str, text: str, amount: Decimal) -> Line:
    books.serial += 1
    token = f"ZX{books.number:03d}Q{books.serial:05d}"
    day = datetime.now(UTC).date() - timedelta(days=books.dice.randrange(1, 9))
    return Line(token, day, name, iban, f"{text} {token}".strip(), amount)


async def settle(books: Books) -> None:
    """Confirm and refuse what is proposed, match by hand what is open, undo a little."""
    proposed = await _list(books, "matches", "MATCH_STATE_PROPOSED")
    for match in proposed:
        name = "reject" if books.dice.random() < 0.1 else "confirm"
        people = 2 if books.dice.random() < 0.2 else 1
        await asyncio.gather(*(match_verb(books, match["match_id"], name) for _ in range(people)))
    still_open = await _list(books, "transactions", "TRANSACTION_STATE_OPEN")
    for transaction in still_open:
        if books.dice.random() < 0.5:
            people = 2 if books.dice.random() < 0.3 else 1
            await asyncio.gather(*(match_by_hand(books, transaction) for _ in range(people)))
    confirmed = await _list(books, "matches", "MATCH_STATE_CONFIRMED")
    if confirmed and books.dice.random() < 0.4:
        await match_verb(books, books.dice.choice(confirmed)["match_id"], "undo")


# What another person, or the engine, may have done in the meantime.
OVERTAKEN = {
    "MATCH_NOT_PROPOSED",
    "MATCH_NOT_CONFIRMED",
    "TRANSACTION_MATCHED",
    "INVOICE_SETTLED",
    "INVOICE_NOT_OPEN",
}


async def match_verb(books: Books, match_id: str, name: str) -> None:
    """Confirm, reject or undo a match."""
    once = key()

    async def ask() -> Answer:
        path = f"/v1/matches/{match_id}:{name}"
        return await books.client.send("POST", path, OVERTAKEN, key=once, json={})

    answer = await _asked_twice(books, ask, "etag")
    if answer.ok:
        books.note(f"{name}_match", key=once, match_id=match_id)


async def match_by_hand(books: Books, transaction: dict[str, Any]) -> None:
    """Say that a transaction pays the invoice for which it was made."""
    token = transaction["remittance_text"].rpartition(" ")[2]
    known = books.paid_by.get(token)
    if known is None:
        return
    once = key()
    amount = str(abs(Decimal(transaction["amount"]["amount"])))
    allocation = {
        "transaction_id": transaction["transaction_id"],
        "invoice_id": known.invoice_id,
        "amount": {"amount": amount, "currency_code": "EUR"},
    }

    async def ask() -> Answer:
        # INVALID_ARGUMENT: a part of the invoice is paid by another transaction already.
        allowed = OVERTAKEN | {"INVALID_ARGUMENT"}
        body = {"allocations": [allocation]}
        return await books.client.send("POST", "/v1/matches", allowed, key=once, json=body)

    answer = await _asked_twice(books, ask, "match_id")
    if answer.ok:
        books.note("match", key=once, match_id=answer.body["match_id"])


async def reporter(all_books: list[Books], dice: random.Random, until: float) -> None:
    """Have a report written now and then."""
    while time.monotonic() < until:
        books = dice.choice(all_books)
        once, today = key(), datetime.now(UTC).date()
        body = {
            "kind": dice.choice(["REPORT_KIND_TRIAL_BALANCE", "REPORT_KIND_PROFIT_AND_LOSS"]),
            "format": dice.choice(["REPORT_FORMAT_CSV", "REPORT_FORMAT_XLSX"]),
            "start_date": f"{today - timedelta(days=90)}",
            "end_date": f"{today}",
        }
        answer = await books.client.send("POST", "/v1/reports", key=once, json=body)
        if answer.ok:
            books.note("report", key=once, report_id=answer.body["report_id"])
        await asyncio.sleep(dice.uniform(2.0, 4.0))


async def visitor(client: Client, ended: list[tuple[str, float]], until: float) -> None:
    """Come and go: once gone, a session opens nothing."""
    if not await client.sign_up("Visitor"):
        return
    client.history.add("organization", organization_id=client.organization_id)
    while time.monotonic() < until:
        if token := await client.log_out():
            client.history.add("log_out", organization_id=client.organization_id)
            ended.append((token, time.monotonic()))
        await asyncio.sleep(client.dice.uniform(1.0, 3.0))
        for old, ended_at in ended[-20:]:
            late_s = time.monotonic() - ended_at
            if late_s > REVOKED_WITHIN_S and await client.opens(old):
                what = f"a session opens something {late_s:.0f} s after its end"
                client.history.add("broken", call="GET /v1/users/me", reason=what, detail="")


async def newcomers(
    make: Callable[[int], Client], all_books: list[Books], dice: random.Random, until: float
) -> None:
    """Sign up further organizations, each with an invoice."""
    while time.monotonic() < until:
        await asyncio.sleep(dice.uniform(3.0, 6.0))
        number = len(all_books)
        books = await open_books(make(number), number)
        if books is None:
            return
        all_books.append(books)
        await create(books)
        await upload(books)
        await approver(books, 0.0)


async def look_again(all_books: list[Books]) -> None:
    """Ask once more for all that was acknowledged, and for what belongs to others."""
    await asyncio.gather(*(_look_again(books, all_books) for books in all_books))


async def _look_again(books: Books, all_books: list[Books]) -> None:
    for known in books.invoices:
        path = f"/v1/invoices/{known.invoice_id}"
        seen = await books.client.send("GET", path)
        if seen.ok and seen.body.get("invoice_number") != known.bill.number:
            books.note("broken", call=f"GET {path}", reason="another number", detail="")
        if known.content:
            document = await books.client.send("GET", f"{path}/document")
            if document.ok and document.body != known.content:
                books.note("broken", call=f"GET {path}/document", reason="other bytes", detail="")
    others = [known for other in all_books if other is not books for known in other.invoices]
    for known in books.dice.sample(others, min(5, len(others))):
        path = f"/v1/invoices/{known.invoice_id}"
        seen = await books.client.send("GET", path, {"INVOICE_NOT_FOUND"})
        if seen.ok:
            books.note("broken", call=f"GET {path}", reason="another organization's", detail="")


async def _asked_twice(books: Books, ask: Callable[[], Awaitable[Answer]], same: str) -> Answer:
    """Ask; sometimes twice, at once or one after the other: with one key the answers are one."""
    choice = books.dice.random()
    if choice < 0.05:
        answer, again = await asyncio.gather(ask(), ask())
    else:
        answer = await ask()
        again = await ask() if choice < 0.2 else answer
    if answer.ok and again.ok and again.body[same] != answer.body[same]:
        what = f"{same} was {answer.body[same]}, then {again.body[same]}"
        books.note("broken", call="repeated request", reason=what, detail="")
    return answer if answer.ok else again


async def _list(books: Books, collection: str, state: str) -> list[dict[str, Any]]:
    answer = await books.client.send(
        "GET", f"/v1/{collection}", params={"state": state, "page_size": "200"}
    )
    return list(answer.body.get(collection, [])) if answer.ok else []


async def _wait_for(books: Books, path: str, state: str) -> None:
    """Wait until a resource has left a state; what never does is found at the end."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        answer = await books.client.send("GET", path)
        if not answer.ok or answer.body["state"] != state:
            return
        await asyncio.sleep(2 * WAIT_S)


def _is_over(books: Books, until: float, left: Sequence[Known]) -> bool:
    now = time.monotonic()
    return now > until and (not left or now > books.client.give_up_at)


def _next_due(waiting: list[Known]) -> Known | None:
    for index, known in enumerate(waiting):
        if known.due_at <= time.monotonic():
            return waiting.pop(index)
    return None
