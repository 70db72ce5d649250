"""Imports, runs and the facts of invoice, through the running services."""

import asyncio
import itertools
import random
import resource
import threading
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from auditron.invoice.v1 import invoice_pb2, invoice_pb2_grpc
from auditron.recon.v1 import recon_pb2

from libs.events import set_cursor
from libs.jobs import Permanent
from libs.pg import uuid7
from libs.sandbox import Limits, Sandbox
from libs.testkit import eventually, running_services
from services.recon import booking, rules, store
from services.recon.jobs import Importing, Reconciling, importing, reconciling, sweeping
from services.recon.settings import Settings
from services.recon.tests.conftest import DAY, EXAMPLES, IBAN, Books, Stub, csv, eur, on

IMPORTED, FAILED = recon_pb2.STATEMENT_STATE_IMPORTED, recon_pb2.STATEMENT_STATE_FAILED
PROPOSED, CONFIRMED = recon_pb2.MATCH_STATE_PROPOSED, recon_pb2.MATCH_STATE_CONFIRMED
OPEN = recon_pb2.TRANSACTION_STATE_OPEN
PAYABLE = invoice_pb2.DIRECTION_PAYABLE
CREDIT_NOTE = invoice_pb2.DOCUMENT_TYPE_CREDIT_NOTE


def camt(*lines: tuple[Any, ...], opening: str = "", closing: str = "") -> bytes:
    """A CAMT.053 statement: (day, amount, name, text, IBAN, end-to-end id) a line."""
    entries = ""
    for day, amount, name, text, iban, reference in lines:
        side, other = ("DBIT", "Cdtr") if amount.startswith("-") else ("CRDT", "Dbtr")
        account = f"<{other}Acct><Id><IBAN>{iban}</IBAN></Id></{other}Acct>" if iban else ""
        entries += (
            f'<Ntry><Amt Ccy="EUR">{amount.lstrip("-")}</Amt><CdtDbtInd>{side}</CdtDbtInd>'
            f"<Sts><Cd>BOOK</Cd></Sts><BookgDt><Dt>{day}</Dt></BookgDt><NtryDtls><TxDtls>"
            f"<Refs><EndToEndId>{reference}</EndToEndId></Refs><RltdPties><{other}><Pty><Nm>{name}"
            f"</Nm></Pty></{other}>{account}</RltdPties><RmtInf><Ustrd>{text}</Ustrd></RmtInf>"
            "</TxDtls></NtryDtls></Ntry>"
        )
    balances = "".join(
        f'<Bal><Tp><CdOrPrtry><Cd>{kind}</Cd></CdOrPrtry></Tp><Amt Ccy="EUR">{amount}</Amt>'
        f"<CdtDbtInd>CRDT</CdtDbtInd><Dt><Dt>{DAY}</Dt></Dt></Bal>"
        for kind, amount in (("OPBD", opening), ("CLBD", closing))
        if amount
    )
    return (
        '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"><BkToCstmrStmt><Stmt>'
        f"<Id>1</Id><Acct><Id><IBAN>{IBAN}</IBAN></Id><Ccy>EUR</Ccy></Acct>{balances}{entries}"
        "</Stmt></BkToCstmrStmt></Document>"
    ).encode()


def other_layout(*lines: tuple[Any, ...]) -> bytes:
    """A statement as of another bank program: (day, amount, name, text) a line."""
    rows = ["Datum;Name;Verwendungszweck;Betrag;Waehrung"]
    rows += [f"{day:%d.%m.%Y};{name};{text};{amount};EUR" for day, amount, name, text in lines]
    return "\n".join(rows).encode()


# Imports.


@pytest.mark.parametrize("first", ["csv", "camt053.xml"])
async def test_csv_and_camt_of_the_same_days_are_one_set_of_lines(books, first):
    account = await books.account(iban=IBAN)
    second = {"csv": "camt053.xml", "camt053.xml": "csv"}[first]
    counts = []
    for form in (first, second, first, second):
        data = (EXAMPLES / f"statement.{form}").read_bytes()
        statement = await books.imported(account, data, filename=f"statement.{form}")
        assert (statement.state, statement.transaction_count) == (IMPORTED, 8)
        counts.append(statement.imported_count)
    assert counts == [8, 0, 0, 0]
    assert len(await books.transactions()) == 8


async def test_two_formats_that_come_at_once_are_one_set_of_lines(books):
    account = await books.account(iban=IBAN)
    forms = ("csv", "camt053.xml", "csv", "camt053.xml")
    files = [(EXAMPLES / f"statement.{form}").read_bytes() for form in forms]
    done = await asyncio.gather(*(books.imported(account, data) for data in files))
    assert sorted(each.imported_count for each in done) == [0, 0, 0, 8]
    assert len(await books.transactions()) == 8


async def test_a_statement_says_its_format_balances_and_days(books):
    account = await books.account(iban=IBAN)
    data = (EXAMPLES / "statement.camt053.xml").read_bytes()
    statement = await books.imported(account, data)
    assert statement.format == "CAMT.053"
    assert statement.opening_balance == eur("12480.55")
    assert statement.closing_balance == eur("8301.03")
    assert (statement.start_date.day, statement.end_date.day) == (28, 9)
    assert not statement.warnings
    [(_, _, told)] = await books.told("StatementImported")
    assert told.statement == statement


async def test_an_mt940_of_days_that_a_camt_had_imports_no_line_twice(books):
    account = await books.account(iban="DE02120300000000202051")
    day = f"{DAY:%y%m%d}"
    rows = [
        ":20:1", ":25:DE02120300000000202051", ":28C:1/1", f":60F:C{day}EUR10,00",
        f":61:{day}{DAY:%m%d}D5,00NTRFNONREF", ":86:105?20Parking?32Shop",
        f":62F:C{day}EUR5,00", "-",
    ]  # fmt: skip
    statement = await books.imported(account, "\r\n".join(rows).encode(), filename="a.sta")
    assert (statement.format, statement.imported_count) == ("MT940", 1)
    assert (statement.opening_balance, statement.closing_balance) == (eur("10.00"), eur("5.00"))
    [line] = await books.transactions()
    assert (line.counterparty_name, line.remittance_text) == ("Shop", "Parking")
    same = (DAY, "-5.00", "Shop", "Parking", "", "")
    assert (await books.imported(account, camt(same))).imported_count == 0


async def test_a_file_of_several_numbers_that_are_no_iban_is_refused(books):
    account = await books.account(iban="DE02120300000000202051")
    records = [
        "01,BANK,OWN,260107,1200,1,80,,2/", "02,OWN,BANK,1,260106,,EUR,2/",
        "03,11111,EUR,010,100,,/", "16,195,500,Z,,,/", "49,600,3/",
        "03,22222,EUR,010,100,,/", "16,195,700,Z,,,/", "49,800,3/",
        "98,1400,2,8/", "99,1400,1,10/",
    ]  # fmt: skip
    statement = await books.imported(account, "\n".join(records).encode(), filename="a.bai")
    assert statement.state == FAILED
    assert "several accounts (11111, 22222)" in statement.failure
    assert not await books.transactions()


async def test_equal_lines_of_two_formats_are_counted_not_merged(books):
    account = await books.account(iban=IBAN)
    same = (DAY, "-5.00", "Shop", "parking", "", "")
    short = ("Shop", "parking")
    await books.imported(account, csv((DAY, "-5,00", *short), (DAY, "-5,00", *short)))
    twice = await books.imported(account, camt(same, same))
    thrice = await books.imported(account, camt(same, same, same))
    assert (twice.imported_count, thrice.imported_count) == (0, 1)


async def test_lines_that_differ_beside_the_amount_are_both_imported(books):
    account = await books.account(iban=IBAN)
    iban = "DE02500105170137075030"
    await books.imported(account, csv((DAY, "-5,00", "A GmbH", "RE 1", iban)))
    other_iban = (DAY, "-5.00", "A GmbH", "RE 1", "DE02701500000000594937", "E1")
    other_text = (DAY, "-5.00", "A GmbH", "RE 12", iban, "E2")
    other_day = (DAY + timedelta(1), "-5.00", "A GmbH", "RE 1", iban, "E3")
    assert (await books.imported(account, camt(other_iban))).imported_count == 1
    assert (await books.imported(account, camt(other_text))).imported_count == 1
    assert (await books.imported(account, camt(other_day))).imported_count == 1
    same = (DAY, "-5.00", "Another spelling", "RE 1", iban, "E4")
    assert (await books.imported(account, camt(same))).imported_count == 0


async def test_overlapping_statements_of_one_format_import_no_line_twice(books):
    account = await books.account()
    lines = [(DAY + timedelta(n // 3), f"{n},00", "A", f"line {n}") for n in range(1, 13)]
    lines[5:5] = [lines[4]] * 2
    counts = [
        (await books.imported(account, csv(*lines[a:b]))).imported_count
        for a, b in ((0, 8), (4, 14), (0, 14))
    ]
    assert counts == [8, 6, 0]


async def test_statements_that_do_not_go_on_say_so(books):
    account = await books.account(iban=IBAN)
    line = ("10.00", "A", "b", "", "")
    first = await books.imported(account, camt((DAY, *line), opening="0.00", closing="10.00"))
    later = DAY + timedelta(10)
    second = await books.imported(account, camt((later, *line), opening="20.00", closing="30.00"))
    assert not first.warnings
    assert any("lines between them are missing" in each for each in second.warnings)
    wrong = await books.imported(
        account, camt((later + timedelta(1), *line), opening="30.00", closing="41.00")
    )
    assert any("closing balance" in each for each in wrong.warnings)
    assert wrong.state == IMPORTED


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (csv(*[(DAY, f"{n},00", "A", "b") for n in range(1, 1200)]) + b"\n10.03.2026;;A;;b;zwei;",
         "Line 1201, amount: 'zwei' is not an amount."),
        (camt((DAY, "1.00", "A", "b", "", "x"))[:-40], "XML: Not well-formed"),
        (b"<Document>BkToCstmrStmt</Document>", "No CAMT.052, 053 or 054 statement"),
        (b"\xff\xfe\x00\x01 hello, world", "No line with a date and an amount"),
        (csv((DAY, "9" * 40, "A", "b")), "Line 2, amount"),
        (csv((DAY, "1,00", "A", "b")).replace(b"EUR", b"EUX"), "Line 2, currency: 'EUX'"),
        (b"<!DOCTYPE x [<!ENTITY a 'b'>]><Document>BkToCstmrStmt</Document>", "not allowed"),
        ((EXAMPLES / "statement.camt053.xml").read_bytes().replace(
            b"DE02120300000000202051", b"DE02500105170137075030"), "not of DE0212"),
    ],
)  # fmt: skip
async def test_a_malformed_statement_imports_nothing_and_says_where(books, data, says):
    account = await books.account(iban=IBAN)
    statement = await books.imported(account, data)
    assert statement.state == FAILED
    assert says in statement.failure
    assert not await books.transactions()
    assert statement.imported_count == 0
    left = await books.recon.runtime.db.read(
        books.organization_id, "select count(*) as lines from statement_lines"
    )
    assert left[0]["lines"] == 0
    [(name, _, payload)] = await books.told("")
    assert (name, payload.statement.state) == ("StatementImported", FAILED)


class Uploaded:
    """A statement that no worker knows of, to be imported by the test's own hand."""

    def __init__(self, books: Books, data: bytes) -> None:
        self.books, self.data, self.statement_id = books, data, uuid7()
        runtime = books.recon.runtime
        self.importing = Importing(
            runtime.db, runtime.blobs, books.recon.service.worker_sandboxes[0]
        )
        named = recon_pb2.GetStatementRequest(statement_id=self.statement_id)
        self.task = books.task(store.IMPORT, named)

    async def put(self, account: recon_pb2.BankAccount) -> "Uploaded":
        runtime, organization_id = self.books.recon.runtime, self.books.organization_id
        key = rules.object_key(organization_id, self.statement_id)
        await runtime.blobs.put_bytes(key, self.data, "text/csv")
        wanted = recon_pb2.Statement(
            statement_id=self.statement_id, bank_account_id=account.bank_account_id,
            size_bytes=len(self.data),
        )  # fmt: skip
        async with runtime.db.tenant(organization_id) as tx:
            await store.insert_statement(tx, organization_id, wanted, "", "EUR")
        return self

    async def run(self) -> recon_pb2.Statement:
        await self.importing.run(self.task)
        return await self.books.statement(self.statement_id)


async def test_an_import_that_is_run_again_changes_nothing(books):
    account = await books.account()
    data = csv(*[(DAY, f"{n},00", "A", f"line {n}") for n in range(1, 50)])
    upload = await Uploaded(books, data).put(account)
    first = await upload.run()
    assert (first.state, first.imported_count) == (IMPORTED, 49)
    assert await upload.run() == first
    assert len(await books.transactions()) == 49


async def test_an_import_that_is_stopped_anywhere_goes_on_where_it_was(books, monkeypatch):
    monkeypatch.setattr(importing, "MOVED", 100)
    account = await books.account(iban=IBAN)
    lines = [(DAY + timedelta(n % 5), f"{n}", "A", f"line {n}") for n in range(1, 4001)]
    camt_of_some = camt(*[(*line, "", f"E{n}") for n, line in enumerate(lines[:300])])
    before = await (await Uploaded(books, camt_of_some).put(account)).run()
    assert before.imported_count == 300
    upload = await Uploaded(books, csv(*lines)).put(account)
    chance, left = random.Random(5), 0

    def stoppable(name: str, real: Any) -> None:
        async def step(*arguments: Any, **more: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0:
                attempt.cancel()
            return await real(*arguments, **more)

        monkeypatch.setattr(store, name, step)

    for name in (
        "lock_importing", "insert_lines", "update_staged", "take_account", "mark_seen",
        "list_lines", "list_others", "mark_repeated", "update_compared", "take_lines",
        "finish_statement",
    ):  # fmt: skip
        stoppable(name, getattr(store, name))
    for stops in itertools.count():
        left = chance.randint(1, 15 * (stops + 1))
        attempt = asyncio.create_task(upload.importing.run(upload.task))
        await asyncio.gather(attempt, return_exceptions=True)
        if not attempt.cancelled():
            attempt.result()
            break
    statement = await books.statement(upload.statement_id)
    assert stops > 5
    assert (statement.state, statement.transaction_count) == (IMPORTED, 4000)
    assert statement.imported_count == 3700
    rows = await books.recon.runtime.db.read(
        books.organization_id,
        "select count(*) as n, count(distinct remittance_text) as d from transactions",
    )
    assert (rows[0]["n"], rows[0]["d"]) == (4000, 4000)


async def test_two_workers_on_one_import_make_every_line_once(books, monkeypatch):
    monkeypatch.setattr(importing, "MOVED", 100)
    account = await books.account()
    known = [(DAY, f"{n},00", "A", f"line-{n}") for n in range(1, 1001)]
    await (await Uploaded(books, other_layout(*known)).put(account)).run()
    data = csv(*[(DAY, f"{n},00", "A", f"line {n}") for n in range(1, 2001)])
    upload = await Uploaded(books, data).put(account)
    runtime = books.recon.runtime
    second = Sandbox(Limits())
    await second.start()
    try:
        other = Importing(runtime.db, runtime.blobs, second)
        await asyncio.gather(upload.importing.run(upload.task), other.run(upload.task))
    finally:
        await second.close()
    statement = await books.statement(upload.statement_id)
    assert (statement.state, statement.imported_count) == (IMPORTED, 1000)


async def broken_off(upload: Uploaded, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run an import that fails as soon as one line has gone over."""
    real = store.take_lines

    async def once(*arguments: Any) -> bool:
        patch.setattr(store, "take_lines", broken)
        return await real(*arguments)

    async def broken(*_: Any) -> bool:
        raise RuntimeError("no more")

    with monkeypatch.context() as patch:
        patch.setattr(importing, "MOVED", 1)
        patch.setattr(store, "take_lines", once)
        with pytest.raises(RuntimeError):
            await upload.run()


async def test_what_was_tried_often_enough_fails_unless_lines_have_gone_over(books, monkeypatch):
    account = await books.account()
    data = csv((DAY, "1,00", "A", "b"), (DAY, "2,00", "A", "c"))
    lost = await Uploaded(books, data).put(account)
    await lost.importing.failed(lost.task, RuntimeError("no store"))
    statement = await books.statement(lost.statement_id)
    assert (statement.state, statement.failure) == (
        FAILED, "Something went wrong; import it again.",
    )  # fmt: skip
    begun = await Uploaded(books, data).put(account)
    await broken_off(begun, monkeypatch)
    assert len(await books.transactions()) == 1
    await begun.importing.failed(begun.task, RuntimeError("no more"))
    done = await eventually(
        lambda: books.statement(begun.statement_id), lambda s: s.state == IMPORTED
    )
    assert (done.imported_count, list(done.warnings)) == (2, [])


async def test_what_goes_over_for_a_day_without_an_end_ends_and_says_so(books, monkeypatch):
    account, db = await books.account(), books.recon.runtime.db
    data = csv((DAY, "1,00", "A", "b"), (DAY, "2,00", "A", "c"))
    upload = await Uploaded(books, data).put(account)
    await broken_off(upload, monkeypatch)
    async with db.tenant(books.organization_id) as tx:
        await tx.execute("update statements set create_time = now() - interval '25 hours'")
    await upload.importing.failed(upload.task, RuntimeError("no end"))
    statement = await books.statement(upload.statement_id)
    assert (statement.state, statement.imported_count) == (IMPORTED, 1)
    assert list(statement.warnings) == ["Not every line could be imported; import the file again."]
    again = await books.imported(account, data)
    assert (again.state, again.imported_count) == (IMPORTED, 1)


async def test_thousands_of_lines_of_one_day_and_amount_are_told_apart(books):
    account = await books.account()
    first = [(DAY, "9,99", f"Kunde {n}", f"Abo {n}") for n in range(2_000)]
    await (await Uploaded(books, csv(*first)).put(account)).run()
    more = [(DAY, "9,99", f"Kunde {n}", f"Abo-{n}") for n in range(1_000, 3_000)]
    done = await (await Uploaded(books, other_layout(*more)).put(account)).run()
    assert (done.state, done.imported_count) == (IMPORTED, 1_000)


async def test_what_cannot_be_told_apart_imports_nothing_and_says_why(books, monkeypatch):
    monkeypatch.setattr(importing, "MOVED", 2)
    monkeypatch.setattr(importing, "OTHERS_MAX", 3)
    account = await books.account()
    await books.imported(account, csv(*[(DAY, "9,99", f"A {n}", f"b {n}") for n in range(4)]))
    lines = [(DAY, f"{n},00", "A", "new") for n in range(1, 5)] + [(DAY, "9,99", "Z", "z")]
    statement = await books.imported(account, other_layout(*lines))
    assert statement.state == FAILED
    assert "cannot be told" in statement.failure
    assert len(await books.transactions()) == 4
    async with books.recon.runtime.db.tenant(books.organization_id) as tx:
        assert await tx.fetchval("select count(*) from statement_lines") == 0
    free = await books.imported(account, other_layout(*lines[:2]))
    assert (free.state, free.imported_count) == (IMPORTED, 2)


async def test_lines_are_compared_beside_the_loop_and_outside_any_transaction(books, monkeypatch):
    account, db = await books.account(), books.recon.runtime.db
    await books.imported(account, csv((DAY, "9,99", "A", "Abo eins")))
    upload = await Uploaded(books, other_layout((DAY, "9,99", "A", "Abo-eins"))).put(account)
    real, begun, looked = importing.repeated_lines, threading.Event(), threading.Event()
    on_time = []

    def compare(*arguments: Any) -> Any:
        begun.set()
        on_time.append(looked.wait(10))
        return real(*arguments)

    monkeypatch.setattr(importing, "repeated_lines", compare)
    run = asyncio.create_task(upload.run())
    await eventually(lambda: asyncio.to_thread(begun.is_set))
    async with db.tenant(books.organization_id) as tx:
        await tx.fetch("select from bank_accounts, statements for update nowait")
    looked.set()
    assert (await run).imported_count == 0
    assert on_time == [True]


async def test_of_an_account_one_statement_at_a_time_goes_over(books):
    account, db = await books.account(), books.recon.runtime.db
    first, second = [
        await Uploaded(books, csv((DAY, "1,00", "A", text))).put(account) for text in "ab"
    ]
    async with db.tenant(books.organization_id) as tx:
        assert await store.lock_importing(tx, first.statement_id)
        assert await store.take_account(tx, first.statement_id)
        assert await store.take_account(tx, first.statement_id)
        assert not await store.take_account(tx, second.statement_id)
    waits = await second.run()
    assert (waits.state, waits.imported_count) == (recon_pb2.STATEMENT_STATE_IMPORTING, 0)
    assert (await first.run()).state == IMPORTED
    await eventually(
        lambda: books.statement(second.statement_id), lambda each: each.state == IMPORTED
    )


async def test_a_line_that_is_there_word_for_word_takes_no_others_place(books):
    account = await books.account(iban=IBAN)
    line = (DAY, "-5.00", "Shop", "parking", "", "")
    first = await books.imported(account, camt(line))
    second = await books.imported(account, csv(*[(DAY, "-5,00", "Shop", "parking.")] * 2))
    third = await books.imported(account, camt(line, line))
    assert [each.imported_count for each in (first, second, third)] == [1, 1, 0]


async def test_a_statement_of_twenty_megabytes_takes_bounded_memory_and_time(books):
    account, chance = await books.account(iban=IBAN), random.Random(1)
    lines = (
        (
            DAY + timedelta(n // 500),
            f"{chance.randrange(1, 10**6)}",
            f"Kunde {n} GmbH",
            f"R{n} " * 60,
        )
        for n in range(45_000)
    )
    data = csv(*lines)
    assert len(data) > 18_000_000
    before = resource.getrusage(resource.RUSAGE_SELF)
    statement = await books.imported(account, data, within_s=600)
    assert (statement.state, statement.imported_count) == (IMPORTED, 45_000)
    after = resource.getrusage(resource.RUSAGE_SELF)
    assert after.ru_maxrss - before.ru_maxrss < 120_000  # KiB; the test holds the file itself
    assert (
        after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 60
    )  # s; it is about a tenth


async def test_a_file_that_takes_too_much_to_read_fails_for_that(books):
    account = await books.account()
    line = b"10.03.2026;10.03.2026;A GmbH;;text;1,00;EUR\n"
    upload = await Uploaded(books, csv() + b"\n" + line * 150_000).put(account)
    hurried = Sandbox(Limits(cpu_s=1))
    await hurried.start()
    try:
        runtime = books.recon.runtime
        await Importing(runtime.db, runtime.blobs, hurried).run(upload.task)
    finally:
        await hurried.close()
    statement = await books.statement(upload.statement_id)
    assert (statement.state, statement.failure) == (
        FAILED, "Reading the file takes more time than it may.",
    )  # fmt: skip
    assert not await books.transactions()


async def test_objects_that_no_statement_names_are_swept(books, monkeypatch):
    runtime = books.recon.runtime
    account = await books.account()
    kept = await books.imported(account, csv((DAY, "1,00", "A", "b")))
    orphan = rules.object_key(books.organization_id, uuid7())
    await runtime.blobs.put_bytes(orphan, b"x", "text/csv")
    monkeypatch.setattr(sweeping, "UNNAMED_FOR", timedelta(seconds=-5))
    await sweeping.sweep(runtime.db, runtime.blobs)
    prefix = f"statements/{books.organization_id}/"
    keys = [blob.key async for blob in runtime.blobs.list(prefix)]
    assert keys == [rules.object_key(books.organization_id, kept.statement_id)]


# Runs.


async def test_an_exact_payment_is_confirmed_by_itself_and_told(books):
    await books.matched([("RE-2026-0001", "119.00")], [("119,00", "RE-2026-0001")])
    [match] = await eventually(books.matches)
    assert (match.state, match.actor) == (CONFIRMED, "service:recon")
    assert "RE-2026-0001: number found in the text." in match.reasons
    assert match.posting_date.day == DAY.day
    assert match.account_code == "1800"
    await books.settled()
    [(name, version, told)] = await books.told("Match")
    assert (name, version, told.match) == ("MatchConfirmed", 1, match)


async def test_one_payment_settles_the_invoices_that_it_names(books):
    await books.matched(
        [("RE-2026-0001", "100.00"), ("RE-2026-0002", "50.00")],
        [("150,00", "RE-2026-0001 und RE-2026-0002")],
    )
    [match] = await eventually(books.matches)
    assert match.state == CONFIRMED
    assert sorted(a.amount.amount for a in match.allocations) == ["100.00", "50.00"]
    assert all(row["open_amount"] == 0 for row in (await books.open_invoices()).values())


async def test_two_payments_settle_one_invoice(books):
    await books.matched(
        [("RE-2026-0001", "100.00")], [("60,00", "RE-2026-0001"), ("40,00", "RE-2026-0001 Rest")]
    )
    [match] = await eventually(books.matches)
    assert len(match.allocations) == 2
    assert match.difference == eur("0.00")


async def test_a_credit_note_is_netted_with_its_invoice(books):
    name, iban = "Delta Freight B.V.", "NL02ABNA0123456789"
    more = {"direction": PAYABLE, "name": name, "iban": iban}
    bill = await books.bill("2026-0088-A", "400.01", **more)
    note = await books.bill("CN-2026-0012", "60.00", document_type=CREDIT_NOTE, **more)
    account = await books.account()
    line = (DAY, "-340,01", name, "2026-0088-A less CN-2026-0012", iban)
    await books.imported(account, csv(line))
    [match] = await eventually(books.matches)
    assert match.state == CONFIRMED
    amounts = {each.invoice_id: each.amount.amount for each in match.allocations}
    assert amounts == {bill: "400.01", note: "-60.00"}
    assert match.difference == eur("0.00")
    assert await books.open_amount(note) == 0


async def test_what_is_likely_is_proposed_and_waits(books):
    await books.matched([("RE-2026-0001", "100.00")], [("60,00", "RE-2026-0001")])
    [match] = await eventually(books.matches)
    assert match.state == PROPOSED
    assert 0 < match.confidence < 1
    [transaction] = await books.transactions()
    assert transaction.state == recon_pb2.TRANSACTION_STATE_PROPOSED
    assert match.allocations[0].amount == eur("60.00")
    run = await books.reconciled()
    assert (run.confirmed_count, run.proposed_count, run.open_count) == (0, 1, 0)
    assert await books.matches() == [match]  # it stands as it was


async def test_a_discount_and_a_rest_are_the_difference(books):
    await books.matched(
        [("RE-2026-0001", "1000.00"), ("RE-2026-0777", "200.00")],
        [("980,00", "RE-2026-0001 abzgl. 2% Skonto"), ("230,00", "RE-2026-0777")],
    )
    found = await eventually(books.matches, lambda m: len(m) == 2)
    assert sorted(Decimal(m.difference.amount) for m in found) == [-20, 30]


async def test_a_refused_pair_is_never_proposed_again(books):
    await books.matched([("RE-2026-0001", "100.00")], [("60,00", "RE-2026-0001")])
    [match] = await eventually(books.matches)
    await books.client.RejectMatch(recon_pb2.RejectMatchRequest(match_id=match.match_id))
    run = await books.reconciled()
    assert (run.confirmed_count, run.proposed_count, run.open_count) == (0, 0, 1)
    wanted = recon_pb2.CreateMatchRequest(allocations=match.allocations)
    by_hand = await books.client.CreateMatch(wanted)  # a person may think again
    assert by_hand.state == CONFIRMED


async def test_an_undone_match_stays_undone_until_a_person_makes_it_again(books):
    await books.matched(
        [("RE-2026-0001", "100.00"), ("RE-2026-0002", "50.00")],
        [("150,00", "RE-2026-0001, RE-2026-0002"), ("-8,90", "fee")],
    )
    [match] = await eventually(books.matches)
    await books.settled()
    before = await books.open_invoices()
    await books.client.UndoMatch(recon_pb2.UndoMatchRequest(match_id=match.match_id))
    assert all(row["settled"] == 0 for row in (await books.open_invoices()).values())
    run = await books.reconciled()
    assert (run.confirmed_count, run.proposed_count, run.open_count) == (0, 0, 2)
    again = await books.client.CreateMatch(
        recon_pb2.CreateMatchRequest(allocations=match.allocations)
    )
    same = ("allocations", "bank_amount", "difference", "posting_date")
    assert [getattr(again, name) for name in same] == [getattr(match, name) for name in same]
    assert await books.open_invoices() == before


async def test_a_new_invoice_is_matched_with_what_was_paid_before(books):
    account = await books.account()
    await books.imported(account, csv((DAY, "119,00", "Muster GmbH", "RE-2026-0001")))
    await books.settled()
    assert not await books.matches()
    await books.bill("RE-2026-0001", "119.00")
    [match] = await eventually(books.matches)
    assert match.state == CONFIRMED


async def test_many_approvals_at_once_are_one_run(books):
    for n in range(20):
        await books.bill(f"RE-2026-{n:04d}", f"{100 + n}.00")
    await books.settled()
    sql = "select count(*) as runs from reconciliations"
    [row] = await books.recon.runtime.db.read(books.organization_id, sql)
    assert row["runs"] < 6


async def test_an_old_proposal_gives_way_to_a_better_match(books):
    await books.matched([("RE-2026-0001", "100.00")], [("60,00", "RE-2026-0001")])
    [old] = await eventually(books.matches)
    assert old.state == PROPOSED
    await books.bill("RE-2026-0001-A", "60.00")
    await books.settled()
    await books.reconciled()
    standing = [match for match in await books.matches() if match.state in (PROPOSED, CONFIRMED)]
    held = {each.transaction_id for match in standing for each in match.allocations}
    assert len(standing) == len(held) == 1
    if standing[0].match_id != old.match_id:
        gone = await books.client.GetMatch(recon_pb2.GetMatchRequest(match_id=old.match_id))
        assert (gone.state, gone.actor) == (recon_pb2.MATCH_STATE_REJECTED, "service:recon")


async def test_a_reopened_invoice_loses_its_proposals_and_keeps_its_matches(books):
    await books.matched([("RE-2026-0001", "100.00")], [("60,00", "RE-2026-0001")])
    [match] = await eventually(books.matches)
    invoice_id = match.allocations[0].invoice_id
    await books.fact("reopened", invoice_id)
    gone = await eventually(lambda: books.matches(recon_pb2.MATCH_STATE_REJECTED))
    assert gone[0].match_id == match.match_id
    await books.settled()
    [transaction] = await books.transactions()
    assert transaction.state == OPEN
    await books.fact("approved", invoice_id, gross=eur("60.00"))
    [confirmed] = await eventually(lambda: books.matches(CONFIRMED))
    await books.fact("reopened", invoice_id)
    await books.settled()
    assert await books.matches(CONFIRMED) == [confirmed]
    await books.client.UndoMatch(recon_pb2.UndoMatchRequest(match_id=confirmed.match_id))
    assert (await books.open_invoices())[invoice_id]["open_amount"] == 0


async def test_a_run_looks_again_at_what_has_changed_while_the_engine_was_at_work(books):
    await books.matched([("RE-2026-0001", "119.00"), ("RE-2026-0002", "50.00")], [("-1,00", "fee")])
    await books.settled()
    [fee] = await books.transactions()
    account = recon_pb2.BankAccount(bank_account_id=fee.bank_account_id)
    runtime, matchers = books.recon.runtime, books.recon.service.worker_sandboxes[1]
    by_number = {row["number"]: key for key, row in (await books.open_invoices()).items()}
    upload = await Uploaded(
        books,
        csv(
            (DAY, "119,00", "Muster GmbH", "RE-2026-0001"),
            (DAY, "50,00", "Muster GmbH", "RE-2026-0002"),
        ),
    ).put(account)

    class Overtaken(Reconciling):
        async def _match(self, opened: Any) -> Any:
            found = await super()._match(opened)
            await books.fact("reopened", by_number["RE-2026-0001"])
            paid = {t.remittance_text: t for t in await books.transactions()}
            one = recon_pb2.Allocation(
                transaction_id=paid["RE-2026-0002"].transaction_id,
                invoice_id=by_number["RE-2026-0002"], amount=eur("50.00"),
            )  # fmt: skip
            await books.client.CreateMatch(recon_pb2.CreateMatchRequest(allocations=[one]))
            assert len(found) == 2
            return found

    async with runtime.db.tenant(books.organization_id) as tx:
        run, _ = await store.upsert_reconciliation(tx, books.organization_id)
    await upload.run()  # its run is the one that waits, and nobody else knows of it
    named = recon_pb2.GetReconciliationRequest(reconciliation_id=run.reconciliation_id)
    await Overtaken(runtime.db, matchers, Settings()).run(books.task(booking.RECONCILE, named))
    [match] = await books.matches()
    assert match.actor.startswith("user:")
    done = await books.client.GetReconciliation(named)
    assert (done.state, done.confirmed_count) == (recon_pb2.RECONCILIATION_STATE_DONE, 0)


async def test_a_run_that_is_stopped_anywhere_ends_the_same(books, monkeypatch):
    monkeypatch.setattr(reconciling, "BOOKED", 3)
    for n in range(30):
        await books.bill(f"RE-2026-{n:04d}", f"{100 + n}.00", f"Firma {chr(65 + n % 26)}x{n} AG")
    account = await books.account()
    await books.settled()
    lines = [
        (DAY, f"{100 + n},00", f"Firma {chr(65 + n % 26)}x{n} AG", f"RE-2026-{n:04d}")
        for n in range(30)
    ]
    async with books.recon.runtime.db.tenant(books.organization_id) as tx:
        run, _ = await store.upsert_reconciliation(tx, books.organization_id)
    await (await Uploaded(books, csv(*lines)).put(account)).run()
    named = recon_pb2.GetReconciliationRequest(reconciliation_id=run.reconciliation_id)
    runtime, matchers = books.recon.runtime, books.recon.service.worker_sandboxes[1]
    work = Reconciling(runtime.db, matchers, Settings())
    chance = random.Random(3)
    for stops in itertools.count():
        attempt = asyncio.create_task(work.run(books.task(booking.RECONCILE, named)))
        done, _ = await asyncio.wait(
            [attempt], timeout=chance.uniform(0.02, 0.25) * (1 + stops / 8)
        )
        if done:
            attempt.result()
            break
        attempt.cancel()
        await asyncio.gather(attempt, return_exceptions=True)
    done_run = await books.client.GetReconciliation(named)
    assert (done_run.confirmed_count, done_run.open_count) == (30, 0)
    assert len(await books.matches(CONFIRMED)) == 30
    assert sum(row["open_amount"] for row in (await books.open_invoices()).values()) == 0


async def test_an_organization_has_one_run_at_a_time(books, monkeypatch):
    monkeypatch.setattr(reconciling, "BUSY_PAUSE", timedelta(seconds=0.05))
    db, organization_id, other = books.recon.runtime.db, books.organization_id, uuid7()
    async with db.tenant(organization_id) as tx:
        assert await store.take_turn(tx, organization_id, other, timedelta(hours=1))
    run = await books.client.CreateReconciliation(recon_pb2.CreateReconciliationRequest())
    named = recon_pb2.GetReconciliationRequest(reconciliation_id=run.reconciliation_id)

    async def attempts() -> int:
        async with db.tenant(organization_id) as tx:
            sql = "select count(*) from tasks where kind = $1 and state = 'SUCCEEDED'"
            return int(await tx.fetchval(sql, booking.RECONCILE))

    await eventually(attempts, lambda count: count >= 2)
    assert (await books.client.GetReconciliation(named)).state == run.state
    async with db.tenant(organization_id) as tx:
        await store.delete_turn(tx, other)
    done = await eventually(
        lambda: books.client.GetReconciliation(named), lambda r: r.state != run.state
    )
    assert done.state == recon_pb2.RECONCILIATION_STATE_DONE


async def test_a_run_whose_engine_fails_says_so_and_lets_others_go_on(books):
    runtime = books.recon.runtime
    await books.matched([("RE-2026-0001", "100.00")], [("1,00", "no")])
    await books.settled()
    async with runtime.db.tenant(books.organization_id) as tx:
        run, _ = await store.upsert_reconciliation(tx, books.organization_id)
    named = recon_pb2.GetReconciliationRequest(reconciliation_id=run.reconciliation_id)
    task = books.task(booking.RECONCILE, named)
    tiny = Sandbox(Limits(output_bytes=1))
    await tiny.start()
    work = Reconciling(runtime.db, tiny, Settings())
    try:
        with pytest.raises(Permanent) as caught:
            await work.run(task)
    finally:
        await tiny.close()
    await work.failed(task, caught.value)
    failed = await books.client.GetReconciliation(named)
    assert failed.state == recon_pb2.RECONCILIATION_STATE_FAILED
    assert failed.failure == "Matching failed."
    assert (await books.reconciled()).state == recon_pb2.RECONCILIATION_STATE_DONE


# The facts of invoice.


async def test_replayed_facts_leave_the_same_open_invoices(books):
    first = await books.bill("A-1", "100.00", iban="de02 1203 0000 0000 2020 51")
    second = await books.bill("B-1", "50.00", direction=PAYABLE)
    third = await books.bill("C-1", "20.00", document_type=CREDIT_NOTE)
    receipt = await books.bill("R", "9.99", document_type=invoice_pb2.DOCUMENT_TYPE_RECEIPT)
    nothing = await books.bill("Z", "0.00")
    await books.fact("reopened", second)
    await books.fact("updated", second, gross=eur("55.00"))
    await books.fact("approved", second)
    await books.fact("reopened", third)
    await books.fact("rejected", third)
    account = await books.account()
    await books.imported(account, csv((DAY, "100,00", "Muster GmbH", "A-1 100")))
    [paid] = await books.transactions()
    one = recon_pb2.Allocation(
        transaction_id=paid.transaction_id, invoice_id=first, amount=eur("100.00")
    )
    await books.settled()
    if not await books.matches(CONFIRMED):
        await books.client.CreateMatch(recon_pb2.CreateMatchRequest(allocations=[one]))
    await books.fact("paid", first, paid=eur("100.00"))
    before = await books.open_invoices()
    shown = {key: (row["standing"], row["open_amount"]) for key, row in before.items()}
    assert shown == {
        first: (True, 0), second: (True, 55), third: (False, 0), receipt: (True, Decimal("9.99")),
        nothing: (True, 0),
    }  # fmt: skip
    assert before[first]["counterparty_iban"] == IBAN
    history = list(books.known.items())
    for version in (1, 2, 3):
        for _invoice_id, (invoice, last) in history:
            await books.handle("updated", invoice, min(version, last))
    assert await books.open_invoices() == before
    async with books.recon.runtime.db.tenant(books.organization_id) as tx:
        await tx.execute("delete from open_invoices")
    for _invoice_id, (invoice, last) in history:
        if invoice.state != invoice_pb2.INVOICE_STATE_REJECTED:
            await books.handle("approved", invoice, last)
    rebuilt = await books.open_invoices()
    before.pop(third)  # it never stood, as far as the facts that are left tell
    assert rebuilt == before


async def test_a_negative_invoice_is_a_credit_note(books):
    invoice_id = await books.bill("A-1", "-100.00")
    row = (await books.open_invoices())[invoice_id]
    assert (row["kind"], row["open_amount"]) == ("CREDIT_NOTE", 100)


async def test_an_invoice_that_was_never_approved_is_not_known(books):
    invoice_id = uuid7()
    await books.fact("updated", invoice_id, gross=eur("1.00"))
    await books.fact("rejected", invoice_id)
    assert not await books.open_invoices()


async def test_invoices_real_facts_come_through_its_log(stores):
    async with running_services(stores, "recon", "invoice") as running:
        books = Books(running["recon"], running["recon"].client(Stub))
        invoices = running["invoice"].client(
            invoice_pb2_grpc.InvoiceServiceStub, organization_id=books.organization_id
        )
        made = invoice_pb2.Invoice(
            invoice_number="F2026/0931", direction=PAYABLE,
            supplier=invoice_pb2.Party(
                display_name="Nimbus Hosting SARL", iban="FR7630006000011234567890189"
            ),
            issue_date=on(DAY), net=eur("392.00"), tax=eur("78.40"), gross=eur("470.40"),
            lines=[invoice_pb2.InvoiceLine(description="Hosting", amount=eur("392.00"))],
        )  # fmt: skip
        invoice = await invoices.CreateInvoice(invoice_pb2.CreateInvoiceRequest(invoice=made))
        named = invoice_pb2.ApproveInvoiceRequest(invoice_id=invoice.invoice_id)
        await invoices.ApproveInvoice(named)
        await eventually(books.open_invoices)
        account = await books.account(iban=IBAN)
        await books.imported(account, (EXAMPLES / "statement.csv").read_bytes())
        [match] = await eventually(books.matches)
        assert match.state == CONFIRMED
        assert match.allocations[0].amount == eur("470.40")
        get = invoice_pb2.GetInvoiceRequest(invoice_id=invoice.invoice_id)
        await eventually(
            lambda: invoices.GetInvoice(get), lambda i: i.state == invoice_pb2.INVOICE_STATE_PAID
        )
        undo = recon_pb2.UndoMatchRequest(match_id=match.match_id)
        await books.client.UndoMatch(undo)
        await eventually(
            lambda: invoices.GetInvoice(get),
            lambda i: i.state == invoice_pb2.INVOICE_STATE_APPROVED,
        )
        rows = await eventually(
            books.open_invoices, lambda found: found[invoice.invoice_id]["version"] == 4
        )
        db = running["recon"].runtime.db
        async with db.tenant(books.organization_id) as tx:
            await tx.execute("delete from open_invoices")
        await set_cursor(db, "invoice")

        async def replayed() -> dict[str, Any]:
            await running["recon"].runtime.redis.publish(
                "bell:invoice", int(books.organization_id[-1], 16)
            )
            return await books.open_invoices()

        again = await eventually(
            replayed,
            lambda found: found.get(invoice.invoice_id, {}).get("version") == 4,
        )
        assert again == rows
