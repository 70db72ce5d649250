"""Reads what the clients were told and what the databases hold, and counts what does not fit.

A process of its own: `python -m tests.fault.checker FOLDER`, with ADMIN_DATABASE_URL; it prints
its verdict as JSON. The folder is that of the run: its history, its mails, its processes' logs.
"""

import asyncio
import json
import os
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]
from auditron.agent.v1 import agent_events_pb2, agent_pb2
from auditron.auth.v1 import auth_events_pb2
from auditron.billing.v1 import billing_events_pb2
from auditron.invoice.v1 import invoice_events_pb2, invoice_pb2
from auditron.recon.v1 import recon_events_pb2, recon_pb2
from auditron.reporting.v1 import reporting_events_pb2, reporting_pb2
from google.protobuf.any_pb2 import Any as Packed

from tests.fault import quiet
from tests.fault.history import Record, read

LOST, DOUBLED, BROKEN = "lost", "doubled", "broken"
PAYABLES, RECEIVABLES, BANK = "1600", "1200", "1800"
SHOWN = 8  # violations of one rule that are told
EVENTS = {
    name: kind
    for module in (
        agent_events_pb2, auth_events_pb2, billing_events_pb2, invoice_events_pb2,
        recon_events_pb2, reporting_events_pb2,
    )
    for name, kind in (
        (message.full_name, getattr(module, message.name))
        for message in module.DESCRIPTOR.message_types_by_name.values()
    )
}  # fmt: skip
STANDING = {
    invoice_pb2.INVOICE_STATE_APPROVED,
    invoice_pb2.INVOICE_STATE_PARTLY_PAID,
    invoice_pb2.INVOICE_STATE_PAID,
}
JOB_ENDED = {
    agent_pb2.JOB_STATE_SUCCEEDED,
    agent_pb2.JOB_STATE_FAILED,
    agent_pb2.JOB_STATE_CANCELLED,
}
ANSWERS = {
    **dict.fromkeys(
        ("upload", "create", "approve", "reject", "reopen"),
        ("invoice", invoice_pb2.Invoice, "invoice_id"),
    ),
    "run_again": ("agent", agent_pb2.Job, "job_id"),
    **dict.fromkeys(
        ("match", "confirm_match", "reject_match", "undo_match"),
        ("recon", recon_pb2.Match, "match_id"),
    ),
    "bank_account": ("recon", recon_pb2.BankAccount, "bank_account_id"),
    "statement": ("recon", recon_pb2.Statement, "statement_id"),
    "report": ("reporting", reporting_pb2.Report, "report_id"),
}


@dataclass(frozen=True)
class Fact:
    """One event of a service's log."""

    organization_id: str
    partition: int
    position: int | None
    aggregate: tuple[str, str, str]  # organization, type, id
    version: int
    name: str  # as "InvoiceApproved"
    payload: Any


@dataclass
class Evidence:
    """All that is compared."""

    con: Any
    told: dict[str, list[Record]]  # by kind
    logs: dict[str, list[Fact]]  # by service, in order of partition and position
    invoices: dict[str, Any]  # rows by id
    matches: dict[str, recon_pb2.Match]  # as their last fact says
    jobs: dict[str, agent_pb2.Job]

    def facts(self, service: str, *names: str) -> list[Fact]:
        return [fact for fact in self.logs[service] if fact.name in names]


@dataclass
class Tally:
    """Counts for each rule how often it was looked at and how often it was broken."""

    kinds: dict[str, str] = field(default_factory=dict)
    checked: Counter[str] = field(default_factory=Counter)
    violations: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def check(self, kind: str, rule: str, holds: bool, what: object = "") -> None:
        self.kinds[rule] = kind
        self.checked[rule] += 1
        if not holds:
            self.violations[rule].append(str(what))

    def verdict(self) -> dict[str, Any]:
        rules = [
            {
                "name": rule,
                "kind": kind,
                "checked": self.checked[rule],
                "count": len(self.violations[rule]),
                "violations": list(dict.fromkeys(self.violations[rule]))[:SHOWN],
            }
            for rule, kind in self.kinds.items()
        ]
        counts = Counter({LOST: 0, DOUBLED: 0, BROKEN: 0})
        for rule in rules:
            counts[rule["kind"]] += rule["count"]
        return {"rules": rules, **counts}


async def judge(con: Any, folder: Path) -> dict[str, Any]:
    """Apply every rule."""
    found = await gather(con, folder / "history.jsonl")
    tally = Tally()
    check_answers(found, tally)
    await check_organizations(found, tally)
    await check_uploads(found, tally)
    check_decisions(found, tally)
    check_jobs(found, tally)
    await check_deliveries(found, tally, folder / "mail")
    await check_keys(found, tally)
    await check_usage(found, tally)
    await check_statements(found, tally)
    await check_matches(found, tally)
    check_payments(found, tally)
    await check_ledger(found, tally)
    await check_sources(found, tally)
    await check_balances(found, tally)
    await check_facts(found, tally)
    await check_reports(found, tally)
    await check_logs(found, tally)
    await check_rest(found, tally)
    check_processes(tally, folder / "platform" / "logs")
    return tally.verdict()


async def gather(con: Any, history: Path) -> Evidence:
    """Read the history and the databases."""
    told: dict[str, list[Record]] = defaultdict(list)
    for record in read(history):
        told[record["kind"]].append(record)
    logs = {name: await read_log(con, name) for name in await quiet.schemas(con)}
    rows = await con.fetch("select * from invoice.invoices")
    matches = {f.aggregate[2]: f.payload.match for f in logs["recon"] if "Match" in f.name}
    jobs = {f.payload.job.job_id: f.payload.job for f in logs["agent"] if "Job" in f.name}
    invoices = {str(row["invoice_id"]): row for row in rows}
    return Evidence(con, told, logs, invoices, matches, jobs)


async def read_log(con: Any, service: str) -> list[Fact]:
    """A service's facts, oldest first."""
    rows = await con.fetch(f"select * from {service}.events order by partition, position, seq")
    found = []
    for row in rows:
        packed = Packed.FromString(row["payload"])
        kind = EVENTS[packed.type_url.rpartition("/")[2]]
        organization_id = str(row["organization_id"])
        found.append(
            Fact(
                organization_id,
                row["partition"],
                row["position"],
                (organization_id, row["aggregate_type"], row["aggregate_id"]),
                row["aggregate_version"],
                kind.DESCRIPTOR.name,
                kind.FromString(packed.value),
            )
        )
    return found


def check_answers(found: Evidence, tally: Tally) -> None:
    """Every request got an answer in the end, none a wrong one."""
    for record in (r for records in found.told.values() for r in records):
        wrong = record["kind"] in ("refused", "broken", "unanswered")
        text = [record.get(name) for name in ("at_s", "kind", "call", "reason", "detail")]
        tally.check(BROKEN, "every request is answered, and rightly", not wrong, text)


async def check_organizations(found: Evidence, tally: Tally) -> None:
    rows = await found.con.fetch("select organization_id from auth.organizations")
    there = {str(row[0]) for row in rows}
    told = {record["organization_id"] for record in found.told["organization"]}
    for organization_id in told:
        tally.check(LOST, "a signed-up organization is there", organization_id in there)
    tally.check(DOUBLED, "no organization is there twice", len(there) == len(told), there - told)
    sql = "select organization_id from billing.subscriptions where plan_code = 'unlimited'"
    paid = {str(row[0]) for row in await found.con.fetch(sql)}
    for record in found.told["plan"]:
        tally.check(LOST, "a chosen plan stands", record["organization_id"] in paid)


async def check_uploads(found: Evidence, tally: Tally) -> None:
    """Each acknowledged upload and each invoice by hand is there, and once."""
    rows = await found.con.fetch(
        "select organization_id, sha256, invoice_id from invoice.documents"
    )
    documents = defaultdict(list)
    for row in rows:
        documents[str(row["organization_id"]), row["sha256"]].append(str(row["invoice_id"]))
    for record in found.told["upload"] + found.told["create"]:
        row = found.invoices.get(record["invoice_id"])
        same = row is not None and (str(row["organization_id"]), row["invoice_number"]) == (
            record["organization_id"],
            record["number"],
        )
        tally.check(LOST, "an acknowledged invoice is there", same, short(record))
    for record in found.told["upload"]:
        holders = documents[record["organization_id"], record["sha256"]]
        tally.check(
            DOUBLED,
            "the same bytes are one invoice",
            holders == [record["invoice_id"]],
            short(record),
        )
    numbers = Counter(
        (str(row["organization_id"]), row["invoice_number"]) for row in found.invoices.values()
    )
    for named, count in numbers.items():
        tally.check(DOUBLED, "no invoice is there twice", count == 1, (named, count))
    asked = {r["invoice_id"] for kind in ("upload", "create") for r in found.told[kind]}
    for invoice_id in found.invoices:
        tally.check(BROKEN, "no invoice that nobody sent", invoice_id in asked, invoice_id)


def check_decisions(found: Evidence, tally: Tally) -> None:
    """Each decision of a person is noted once, and the last one stands."""
    words = {
        "approve": invoice_pb2.INVOICE_STATE_APPROVED,
        "reject": invoice_pb2.INVOICE_STATE_REJECTED,
        "reopen": invoice_pb2.INVOICE_STATE_IN_REVIEW,
    }
    told: Counter[tuple[str, int]] = Counter()
    last: dict[str, Record] = {}
    for name, state in words.items():
        # One that was repeated with its key was told once more, and counts once.
        for record in found.told[name]:
            told[record["invoice_id"], state] += 1
            before = last.get(record["invoice_id"])
            if before is None or before["at_s"] <= record["at_s"]:
                last[record["invoice_id"]] = record
    for invoice_id, row in found.invoices.items():
        noted = [invoice_pb2.Decision.FromString(each) for each in row["decisions"]]
        by_people = Counter(each.state for each in noted if each.actor != "policy")
        for name, state in words.items():
            have, want = by_people[state], told[invoice_id, state]
            what = (invoice_id, name, f"{want} acknowledged, {have} noted")
            tally.check(LOST, "an acknowledged decision is noted", have >= want, what)
            tally.check(DOUBLED, "a decision is noted once", have <= want, what)
        if invoice_id in last:
            name = last[invoice_id]["kind"]
            allowed = STANDING if name == "approve" else {words[name]}
            what = (invoice_id, name, row["state"])
            tally.check(LOST, "the last decision stands", row["state"] in allowed, what)


def check_jobs(found: Evidence, tally: Tally) -> None:
    """Each upload was read by one job, which has ended, and its result was recorded once."""
    of_invoice = Counter(job.invoice_id for job in found.jobs.values())
    finished = Counter(f.payload.job.job_id for f in found.facts("agent", "JobFinished"))
    extracted = Counter(f.aggregate[2] for f in found.facts("invoice", "InvoiceExtracted"))
    runs = Counter(record["job_id"] for record in found.told["run_again"])
    for record in found.told["upload"]:
        invoice_id, job = record["invoice_id"], found.jobs.get(record["job_id"])
        ended = job is not None and job.state in JOB_ENDED
        tally.check(LOST, "an upload's job has ended", ended, short(record))
        tally.check(DOUBLED, "an upload has one job", of_invoice[invoice_id] <= 1, short(record))
        if job is None:
            continue
        most = 1 + runs[job.job_id]  # a failed job ends once more for each time it is run again
        what = (record["job_id"], finished[job.job_id])
        tally.check(DOUBLED, "a job ends once", finished[job.job_id] <= most, what)
        what = (invoice_id, extracted[invoice_id])
        tally.check(LOST, "a job's reading is recorded", extracted[invoice_id] >= 1, what)
        tally.check(DOUBLED, "a reading is recorded once", extracted[invoice_id] <= most, what)
        well = job.state == agent_pb2.JOB_STATE_SUCCEEDED
        tally.check(BROKEN, "a sound document is read", well, (job.job_id, job.failure.message))


async def check_deliveries(found: Evidence, tally: Tally, mails: Path) -> None:
    """Of each job's end a mail was written, one for each address."""
    sent = agent_pb2.DELIVERY_STATE_SENT
    rows = await found.con.fetch("select * from agent.deliveries")
    told = Counter(str(row["job_id"]) for row in rows if row["state"] == sent)
    asked = {record["organization_id"] for record in found.told["mail"]}
    ends = Counter(fact.payload.job.job_id for fact in found.facts("agent", "JobFinished"))
    for job_id in {r["job_id"] for r in found.told["upload"] if r["organization_id"] in asked}:
        tally.check(LOST, "a job's end is told", told[job_id] >= ends[job_id], job_id)
        tally.check(DOUBLED, "a job's end is told once", told[job_id] <= ends[job_id], job_id)
    for row in rows:
        there = row["state"] != sent or (mails / f"{row['delivery_id']}.eml").exists()
        tally.check(LOST, "what was sent has arrived", there, str(row["delivery_id"]))


async def check_keys(found: Evidence, tally: Tally) -> None:
    """The answer of each idempotency key is kept, and names what was acknowledged."""
    kept = {}
    for service in {service for service, _, _ in ANSWERS.values()}:
        for row in await found.con.fetch(f"select * from {service}.requests"):
            kept[service, str(row["organization_id"]), str(row["request_id"])] = row["answer"]
    for kind, (service, answer_type, name) in ANSWERS.items():
        for record in found.told[kind]:
            answer = kept.get((service, record["organization_id"], record["key"]))
            tally.check(LOST, "a key's answer is kept", answer is not None, short(record))
            if answer is not None:
                same = getattr(answer_type.FromString(answer), name) == record[name]
                tally.check(DOUBLED, "a key has one effect", same, short(record))


async def check_usage(found: Evidence, tally: Tally) -> None:
    """As many documents are counted as were uploaded, in invoice and in billing."""
    told: dict[str, set[str]] = {r["organization_id"]: set() for r in found.told["organization"]}
    for record in found.told["upload"]:
        told[record["organization_id"]].add(record["invoice_id"])
    counts = {
        "billing": "select organization_id, sum(document_count) from billing.usage group by 1",
        "invoice": """
            select organization_id, sum(document_count) from invoice.document_counts group by 1
        """,
    }
    for service, sql in counts.items():
        counted = {str(row[0]): row[1] for row in await found.con.fetch(sql)}
        for organization_id, documents in told.items():
            have, want = counted.get(organization_id, 0), len(documents)
            what = (service, organization_id, f"{want} uploaded, {have} counted")
            tally.check(LOST, "a document is counted", have >= want, what)
            tally.check(DOUBLED, "a document is counted once", have <= want, what)


async def check_statements(found: Evidence, tally: Tally) -> None:
    """Each acknowledged statement is imported, each of its lines is there once."""
    ended = {f.aggregate[2]: f.payload.statement for f in found.facts("recon", "StatementImported")}
    rows = await found.con.fetch("select * from recon.transactions")
    there = Counter(
        (str(row["bank_account_id"]), row["remittance_text"].rpartition(" ")[2], row["amount"])
        for row in rows
    )
    told = set()
    for record in found.told["statement"]:
        statement = ended.get(record["statement_id"])
        well = statement is not None and statement.state == recon_pb2.STATEMENT_STATE_IMPORTED
        tally.check(LOST, "an acknowledged statement is imported", well, record["statement_id"])
        account = record["bank_account_id"]
        told |= {(account, token, Decimal(amount)) for token, amount in record["lines"]}
    for line in told:
        tally.check(LOST, "a line of a statement is there", there[line] >= 1, line)
        tally.check(DOUBLED, "a line of a statement is there once", there[line] <= 1, line)
    tally.check(BROKEN, "no transaction that no statement has", not there.keys() - told)


async def check_matches(found: Evidence, tally: Tally) -> None:
    """What was acknowledged of matches stands."""
    undone = {record["match_id"] for record in found.told["undo_match"]}
    confirmed = {recon_pb2.MATCH_STATE_CONFIRMED}
    for kind, state in (
        ("match", recon_pb2.MATCH_STATE_CONFIRMED),
        ("confirm_match", recon_pb2.MATCH_STATE_CONFIRMED),
        ("reject_match", recon_pb2.MATCH_STATE_REJECTED),
        ("undo_match", recon_pb2.MATCH_STATE_UNDONE),
    ):
        for record in found.told[kind]:
            match = found.matches.get(record["match_id"])
            is_undone = state in confirmed and record["match_id"] in undone
            wanted = recon_pb2.MATCH_STATE_UNDONE if is_undone else state
            stands = match is not None and match.state == wanted
            tally.check(LOST, "an acknowledged match stands", stands, short(record))
    for kind in ("confirm_match", "reject_match", "undo_match"):
        for match_id, count in Counter(r["match_id"] for r in found.told[kind]).items():
            tally.check(DOUBLED, "of two people one confirms", count == 1, (kind, match_id))
    facts = found.facts("recon", "MatchConfirmed", "MatchRejected", "MatchUndone")
    for told, count in Counter((f.name, f.aggregate[2]) for f in facts).items():
        tally.check(DOUBLED, "a match is confirmed, refused, undone once", count == 1, told)
    holders = Counter(
        transaction_id
        for match in found.matches.values()
        if match.state == recon_pb2.MATCH_STATE_CONFIRMED
        for transaction_id in {each.transaction_id for each in match.allocations}
    )
    for transaction_id, count in holders.items():
        tally.check(DOUBLED, "a transaction is in one confirmed match", count == 1, transaction_id)
    rows = await found.con.fetch("select transaction_id, match_id, state from recon.transactions")
    for row in rows:
        match = found.matches.get(str(row["match_id"]))
        is_matched = row["state"] == recon_pb2.TRANSACTION_STATE_MATCHED
        held = str(row["transaction_id"]) in holders
        same = held == is_matched and (match is None or is_matched == (match.state in confirmed))
        tally.check(BROKEN, "a transaction says what its match says", same, tuple(row))


def paid(found: Evidence) -> dict[str, Decimal]:
    """How much of each invoice the confirmed matches pay."""
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for match in found.matches.values():
        if match.state == recon_pb2.MATCH_STATE_CONFIRMED:
            for each in match.allocations:
                sums[each.invoice_id] += abs(Decimal(each.amount.amount))
    return sums


def check_payments(found: Evidence, tally: Tally) -> None:
    """No invoice is paid more than its gross, and it says how much of it is paid."""
    sums = paid(found)
    for invoice_id, row in found.invoices.items():
        amount = sums[invoice_id]
        what = (invoice_id, row["gross"], amount)
        tally.check(DOUBLED, "no invoice is paid more than its gross", amount <= row["gross"], what)
        said = row["paid"] or Decimal()
        what = (invoice_id, f"matches pay {amount}, the invoice says {said}")
        tally.check(LOST, "an invoice knows its payments", said == amount, what)
        if row["state"] in STANDING:
            wanted = invoice_pb2.INVOICE_STATE_PARTLY_PAID if amount else min(STANDING)
            wanted = invoice_pb2.INVOICE_STATE_PAID if amount >= row["gross"] else wanted
            what = (invoice_id, row["state"], amount)
            tally.check(
                BROKEN, "an invoice's state fits its payments", row["state"] == wanted, what
            )


async def check_ledger(found: Evidence, tally: Tally) -> None:
    """Every entry and all of them together sum to zero; the numbers have no gap."""
    entries = await found.con.fetch(
        """
        select e.organization_id, e.number, e.posting_count, count(p.line) as lines,
          sum(p.amount) as total
        from reporting.journal_entries e
        left join reporting.postings p
          on p.organization_id = e.organization_id and p.entry_number = e.number
        group by 1, 2, 3 order by 1, 2
        """
    )
    numbers: dict[str, list[int]] = defaultdict(list)
    for row in entries:
        tally.check(BROKEN, "an entry sums to zero", row["total"] == 0, tuple(row))
        whole = row["lines"] == row["posting_count"]
        tally.check(LOST, "an entry has all its postings", whole, tuple(row))
        numbers[str(row["organization_id"])].append(row["number"])
    for organization_id, found_numbers in numbers.items():
        whole = found_numbers == list(range(1, len(found_numbers) + 1))
        tally.check(BROKEN, "entries are numbered without gaps", whole, organization_id)
    total = await found.con.fetchval("select coalesce(sum(amount), 0) from reporting.postings")
    tally.check(BROKEN, "the ledger sums to zero", total == 0, total)
    refused = await found.con.fetch("select reason, message from reporting.posting_rejections")
    tally.check(LOST, "no fact is left unposted", not refused, [tuple(row) for row in refused])


async def check_sources(found: Evidence, tally: Tally) -> None:
    """Each approval and each confirmed match has one entry, each undoing one reversal."""
    rows = await found.con.fetch("select * from reporting.journal_entries")
    posted: Counter[tuple[str, str, bool]] = Counter(
        (row["source_type"], row["source_id"], row["reversed_entry_id"] is not None) for row in rows
    )
    wanted: Counter[tuple[str, str, bool]] = Counter()
    for service, kind, forth, back in (
        ("invoice", "invoice", "InvoiceApproved", "InvoiceReopened"),
        ("recon", "match", "MatchConfirmed", "MatchUndone"),
    ):
        approved = set()
        for fact in found.facts(service, forth, back):
            subject = fact.aggregate[2]
            if fact.name == forth:
                approved.add(subject)
                wanted[kind, subject, False] += 1
            elif subject in approved:  # a rejected invoice that is opened again has no entry
                approved.remove(subject)
                wanted[kind, subject, True] += 1
    for source in {each[:2] for each in wanted.keys() | posted.keys()}:
        have, want = ([one[*source, back] for back in (False, True)] for one in (posted, wanted))
        what = (*source, f"{want} facts forth and back, {have} entries")
        # What was undone while it waited for something else was never posted, nor reversed.
        stands = have[0] - have[1] == want[0] - want[1]
        tally.check(LOST, "an approval, a match, an undoing is posted", stands, what)
        once = have[0] <= want[0] and have[1] <= want[1]
        tally.check(DOUBLED, "a fact is posted once", once, what)


async def check_balances(found: Evidence, tally: Tally) -> None:
    """Payables, receivables and bank say what invoices and matches say."""
    sums = paid(found)
    wanted: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    by_invoice: dict[str, Decimal] = defaultdict(Decimal)
    for invoice_id, row in found.invoices.items():
        if row["state"] in STANDING:
            is_payable = row["direction"] == invoice_pb2.DIRECTION_PAYABLE
            left = row["gross"] - sums[invoice_id]
            by_invoice[invoice_id] = -left if is_payable else left
            account = PAYABLES if is_payable else RECEIVABLES
            wanted[str(row["organization_id"]), account] += by_invoice[invoice_id]
    sql = "select invoice_id, sum(amount) from reporting.postings group by 1"
    rows = {str(row[0]): row[1] for row in await found.con.fetch(sql) if row[0]}
    for invoice_id in rows.keys() | by_invoice.keys():
        have, want = rows.get(invoice_id, Decimal()), by_invoice[invoice_id]
        what = (invoice_id, f"open {want}, in the ledger {have}")
        tally.check(BROKEN, "an invoice's balance is what is open of it", have == want, what)
    await _add_bank(found, wanted)
    sql = "select organization_id, account_code, sum(amount) from reporting.postings group by 1, 2"
    have_all = {(str(row[0]), row[1]): row[2] for row in await found.con.fetch(sql)}
    for named in wanted.keys() | {
        key for key in have_all if key[1] in (PAYABLES, RECEIVABLES, BANK)
    }:
        have, want = have_all.get(named, Decimal()), wanted[named]
        what = (*named, f"{want} expected, {have} in the ledger")
        tally.check(BROKEN, "payables, receivables and bank tie", have == want, what)


async def _add_bank(found: Evidence, wanted: dict[tuple[str, str], Decimal]) -> None:
    """The bank account holds what the matched transactions came to."""
    rows = await found.con.fetch("select * from recon.transactions")
    amounts = {str(row["transaction_id"]): row for row in rows}
    for match in found.matches.values():
        if match.state == recon_pb2.MATCH_STATE_CONFIRMED:
            for transaction_id in {each.transaction_id for each in match.allocations}:
                row = amounts[transaction_id]
                wanted[str(row["organization_id"]), BANK] += row["amount"]


async def check_facts(found: Evidence, tally: Tally) -> None:
    """The last fact about each resource is how it stands in its table."""
    for service, kind, table in (
        ("invoice", "invoice", "invoices"),
        ("recon", "match", "matches"),
        ("agent", "job", "jobs"),
    ):
        last = {f.aggregate[2]: f for f in found.logs[service] if f.aggregate[1] == kind}
        rows = await found.con.fetch(f"select {kind}_id, state, version from {service}.{table}")
        for row in rows:
            fact = last.pop(str(row[0]), None)
            said = fact and (getattr(fact.payload, kind).state, fact.version)
            what = (service, kind, tuple(row), said)
            same = said == (row["state"], row["version"])
            tally.check(BROKEN, "a table says what the last fact says", same, what)
        tally.check(LOST, "every fact has its row", not last, (service, list(last)))


async def check_reports(found: Evidence, tally: Tally) -> None:
    rows = await found.con.fetch("select report_id, state from reporting.reports")
    states = {str(row[0]): row[1] for row in rows}
    for record in found.told["report"]:
        state = states.get(record["report_id"])
        well = state == reporting_pb2.REPORT_STATE_READY
        tally.check(LOST, "an acknowledged report is written", well, (record["report_id"], state))


async def check_logs(found: Evidence, tally: Tally) -> None:
    """Positions have no gap, versions their order, nobody is behind, nothing is a dead letter."""
    for service, facts in found.logs.items():
        heads = await found.con.fetch(f"select partition, position from {service}.heads")
        for head in heads:
            positions = [fact.position for fact in facts if fact.partition == head["partition"]]
            whole = positions == list(range(1, head["position"] + 1))
            what = (service, head["partition"])
            tally.check(BROKEN, "positions run without gaps to the head", whole, what)
        last: dict[tuple[str, str, str], int] = {}
        for fact in facts:
            before = last.get(fact.aggregate, 0)
            what = (service, *fact.aggregate, fact.name, f"{fact.version} after {before}")
            tally.check(BROKEN, "versions are in their order", fact.version > before, what)
            last[fact.aggregate] = fact.version
        sql = f"select producer, event_id, error from {service}.dead_letters"
        letters = await found.con.fetch(f"{sql} where replay_time is null")
        what = [service, *(tuple(row) for row in letters)]
        tally.check(LOST, "no event is a dead letter", not letters, what)
        failed = await found.con.fetch(
            f"select kind, error from {service}.tasks where state = 'FAILED'"
        )
        what = [service, *(tuple(row) for row in failed)]
        tally.check(LOST, "no task has failed", not failed, what)


async def check_rest(found: Evidence, tally: Tally) -> None:
    left = await quiet.unfinished(found.con)
    tally.check(LOST, "nothing is left unfinished", not left, left)


def check_processes(tally: Tally, logs: Path) -> None:
    """No process has met a failure that it did not know what to do with."""
    for file in sorted(logs.glob("*.log")):
        if file.stem in ("postgres", "redis", "s3"):
            continue
        for line in file.read_text(errors="replace").splitlines():
            told = json.loads(line) if line.startswith("{") else {"message": line, "level": "RAW"}
            error = told.get("exception_type", "")
            # One that starts while PostgreSQL is away ends, and is started again.
            known = told["level"] not in ("RAW", "ERROR", "CRITICAL") or (
                told["message"] == "uncaught exception" and error == "DatabaseUnavailable"
            )
            what = (file.stem, told["message"][:200], error, told.get("exception", "")[-500:])
            tally.check(BROKEN, "every failure is one that was foreseen", known, what)


def short(record: Record) -> str:
    """A record of the history in few words."""
    ids = [str(value) for name, value in record.items() if name.endswith("_id")]
    return " ".join([f"{record['at_s']} s", record["kind"], *ids[1:], record.get("key", "")])


async def main(folder: Path) -> None:
    con = await asyncpg.connect(os.environ["ADMIN_DATABASE_URL"])
    try:
        verdict = await judge(con, folder)
    finally:
        await con.close()
    json.dump(verdict, sys.stdout)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
