"""What a request must look like, and what may settle what."""

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest
from auditron.invoice.v1 import invoice_pb2
from auditron.recon.v1 import recon_pb2
from auditron.recon.v1.recon_pb2 import Allocation, BankAccount, Match, Transaction
from google.type.date_pb2 import Date
from hypothesis import given
from hypothesis import strategies as st

from libs import money
from libs.rpc import InvalidArgument
from services.recon import errors, rules
from services.recon.matching import Invoice
from services.recon.settings import Settings
from services.recon.tests.conftest import eur

ONE, TWO = "01a2103c-0000-7000-8000-000000000001", "01a2103c-0000-7000-8000-000000000002"
BILL, NOTE = "01a2103c-0000-7000-8000-00000000000a", "01a2103c-0000-7000-8000-00000000000b"
ROUNDING, DISCOUNT = recon_pb2.DIFFERENCE_KIND_ROUNDING, recon_pb2.DIFFERENCE_KIND_CASH_DISCOUNT
CHARGE, OVERPAID = recon_pb2.DIFFERENCE_KIND_BANK_CHARGE, recon_pb2.DIFFERENCE_KIND_OVERPAYMENT
MATCHED = recon_pb2.TRANSACTION_STATE_MATCHED


def transaction(key: str, amount: str, day: int = 10, **more: str) -> Transaction:
    currency = more.pop("currency_code", "EUR")
    fields = {"bank_account_id": "A"} | more
    booked = Date(year=2026, month=3, day=day)
    return Transaction(
        transaction_id=key, amount=eur(amount, currency), booking_date=booked, **fields
    )


def bill(key: str = BILL, amount: str = "100", **more: str) -> Invoice:
    day = date(2026, 3, 1)
    made = Invoice(key, "R-1", Decimal(amount), "EUR", day, day)
    return replace(made, **more)


def pay(transaction_id: str, invoice_id: str, amount: str, currency: str = "EUR") -> Allocation:
    return Allocation(
        transaction_id=transaction_id, invoice_id=invoice_id, amount=eur(amount, currency)
    )


def drafted(transactions: list[Transaction], *allocations: Allocation) -> Match:
    known = {each.transaction_id: each for each in transactions}
    return rules.draft(known, allocations, confidence=1, reasons=["x"])


@pytest.mark.parametrize(
    ("head", "form"),
    [
        (b"Date;Amount\n1.1.2026;1,00\n", "CSV"),
        (b'\xef\xbb\xbf\n\n"a","b"', "CSV"),
        ("\ufeffDatum;Betrag".encode("utf-16-le"), "CSV"),
        ("Datum;Betrag".encode("utf-16-be"), "CSV"),
        (b"<?xml version='1.0'?><Document xmlns='urn:iso:std:iso:20022:tech:xsd:camt.053.001.02'>",
         "CAMT.053"),
        (b"  <Document><BkToCstmrStmt>", "CAMT.053"),
        ("<Document><BkToCstmrAcctRpt>".encode("utf-16"), "CAMT.052"),
        (b"\r\n:20:START\r\n:25:1", "MT940"),
        (b"{1:F01XXXXDEFFXXXX}{4:\n:20:1", "MT940"),
        (b"01,SENDER,OWN,260107,1200,1,80,,2/", "BAI2"),
        (b"OFXHEADER:100\r\nDATA:OFXSGML", "OFX"),
        (b"<?xml version='1.0'?>\n<?OFX OFXHEADER='200'?>\n<OFX>", "OFX"),
        (b"!Type:Bank\nD1/7/26", "QIF"),
        (b"01,02,03\n04,05,06", "CSV"),
    ],
)  # fmt: skip
def test_a_statement_is_known_by_how_it_begins(head, form):
    assert rules.statement_format(head) == form


@pytest.mark.parametrize(
    "head",
    [
        b"%PDF-1.7\n", b"PK\x03\x04xlsx", b"\xd0\xcf\x11\xe0", b"\x89PNG\r\n", b"\x1f\x8b\x08",
        b'{"a": 1}', b"[{}]",
        b"<html>", b"<Invoice/>", b"abc\x00\x00\x00def" + b"x" * 500, b"MZ\x90",
    ],
)  # fmt: skip
def test_what_is_no_statement_is_refused(head):
    with pytest.raises(errors.StatementFormatUnsupported):
        rules.statement_format(head)


@given(st.binary(max_size=200))
def test_any_bytes_are_taken_or_refused(head):
    try:
        assert rules.statement_format(head)
    except errors.StatementFormatUnsupported:
        return


@pytest.mark.parametrize("text", ["", "x", "{01a2103c-0000-7000-8000-000000000001}", ONE[:-1]])
def test_what_is_no_id(text):
    assert not rules.is_uuid(text)
    assert rules.is_uuid(ONE)


def test_a_bank_account_needs_a_name_and_a_currency_alone():
    good = BankAccount(display_name="Giro", currency_code="EUR")
    assert not rules.bank_account_violations(good)
    wrong = BankAccount(iban="x", account_code="a b")
    fields = [field for field, _ in rules.bank_account_violations(wrong)]
    assert [field.partition(".")[2] for field in fields] == [
        "display_name", "iban", "currency_code", "account_code",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("amount", "settled", "difference"),
    [
        ("100", "100", "0.00"), ("98", "100", "-2.00"), ("105", "100", "5.00"),
        ("-100", "100", "0.00"), ("-98", "100", "2.00"), ("-105", "100", "-5.00"),
    ],
)  # fmt: skip
def test_the_difference_is_what_remains_and_positive_is_money_in(amount, settled, difference):
    match = drafted([transaction(ONE, amount)], pay(ONE, BILL, settled))
    assert match.difference == eur(difference)


@pytest.mark.parametrize(
    ("amount", "settled", "looks"),
    [
        ("100.05", "100", ROUNDING),
        ("-100.05", "100", ROUNDING),
        ("98.00", "100", DISCOUNT),  # a customer pays 2 % less
        ("97.99", "100", DISCOUNT),
        ("92.50", "100", CHARGE),
        ("120.00", "100", OVERPAID),  # and too much
        ("-98.00", "100", DISCOUNT),  # we pay a supplier less
        ("-112.00", "100", CHARGE),  # and more
        ("-131.00", "100", OVERPAID),
        ("-16.00", "10", OVERPAID),
        ("100", "100", 0),
    ],
)
def test_a_difference_is_what_it_looks_like_unless_somebody_says(amount, settled, looks):
    match = drafted([transaction(ONE, amount)], pay(ONE, BILL, settled))
    assert match.difference_kind == looks
    assert match.bank_amount == eur(f"{Decimal(amount):.2f}")
    said = rules.draft(
        {ONE: transaction(ONE, amount)},
        [pay(ONE, BILL, settled)],
        confidence=1,
        reasons=[],
        difference_kind=CHARGE,
    )
    assert said.difference_kind == (CHARGE if looks else 0)


@pytest.mark.parametrize(
    ("amount", "settled", "possible"),
    [
        ("98.00", "100", {DISCOUNT, CHARGE}),  # a customer pays less
        ("99.00", "100", {DISCOUNT, CHARGE, ROUNDING}),
        ("101.00", "100", {OVERPAID, ROUNDING}),  # and more
        ("101.01", "100", {OVERPAID}),
        ("-98.00", "100", {DISCOUNT}),  # we pay a supplier less
        ("-99.00", "100", {DISCOUNT, ROUNDING}),
        ("-101.01", "100", {OVERPAID, CHARGE}),  # and more
        ("100", "100", set()),
    ],
)
def test_what_a_person_says_of_a_difference_must_be_possible(amount, settled, possible):
    match = drafted([transaction(ONE, amount)], pay(ONE, BILL, settled))
    rules.check_kind(match, 0)
    for kind in possible:
        rules.check_kind(match, kind)
    for kind in {ROUNDING, DISCOUNT, CHARGE, OVERPAID} - possible:
        with pytest.raises(InvalidArgument) as caught:
            rules.check_kind(match, kind)
        assert [field for field, _ in caught.value.violations] == ["difference_kind"]


@given(st.integers(1, 3_000), st.integers(1, 3_000), st.sampled_from([1, -1]))
def test_what_a_difference_looks_like_is_always_possible(paid, settled, direction):
    match = drafted([transaction(ONE, str(paid * direction))], pay(ONE, BILL, str(settled)))
    rules.check_kind(match, match.difference_kind)


def test_a_difference_is_measured_in_the_currencys_own_units():
    for amount, kind in (("10005", ROUNDING), ("-12500", CHARGE)):
        one = transaction(ONE, amount, currency_code="JPY")
        assert drafted([one], pay(ONE, BILL, "10000", "JPY")).difference_kind == kind


def test_a_match_counts_on_the_last_day_and_other_currencies_leave_no_difference():
    parts = [transaction(ONE, "60", 12), transaction(TWO, "40", 11)]
    match = drafted(parts, pay(ONE, BILL, "60"), pay(TWO, BILL, "40"))
    assert match.posting_date.day == 12
    assert match.difference == eur("0.00")
    netted = drafted([transaction(ONE, "80")], pay(ONE, BILL, "100"), pay(ONE, NOTE, "-20"))
    assert netted.difference == eur("0.00")
    assert rules.claims(netted) == {BILL: 100, NOTE: 20}
    foreign = drafted([transaction(ONE, "90")], pay(ONE, BILL, "100", "USD"))
    assert foreign.difference == eur("0.00")


amounts = st.decimals("0.01", "99999.99", places=2)


@given(amounts, st.lists(amounts, min_size=1, max_size=5), st.sampled_from([1, -1]))
def test_difference_and_allocations_are_what_the_transactions_are(paid, settled, direction):
    one = Transaction(transaction_id=ONE, amount=money.to_message(paid * direction, "EUR"))
    allocations = [
        Allocation(transaction_id=ONE, invoice_id=str(n), amount=money.to_message(each, "EUR"))
        for n, each in enumerate(settled)
    ]
    match = rules.draft({ONE: one}, allocations, confidence=1, reasons=[])
    assert money.to_decimal(match.difference) + direction * sum(settled) == direction * paid


@pytest.mark.parametrize(
    ("direction", "kind", "sign"),
    [
        ("RECEIVABLE", "INVOICE", 1), ("RECEIVABLE", "CREDIT_NOTE", -1),
        ("PAYABLE", "INVOICE", -1), ("PAYABLE", "CREDIT_NOTE", 1),
    ],
)  # fmt: skip
def test_which_way_money_goes_for_an_invoice(direction, kind, sign):
    assert rules.sign(bill(direction=direction, kind=kind)) == sign


def by_hand(transactions: list[Transaction], invoices: list[Invoice], *allocations: Allocation):
    rules.check_by_hand(
        allocations,
        {each.transaction_id: each for each in transactions},
        {each.invoice_id: each for each in invoices},
    )


def test_what_may_be_matched_by_hand():
    note = bill(NOTE, "20", kind="CREDIT_NOTE")
    by_hand([transaction(ONE, "100")], [bill()], pay(ONE, BILL, "100"))
    by_hand([transaction(ONE, "85")], [bill()], pay(ONE, BILL, "100"))  # a discount
    by_hand([transaction(ONE, "20")], [bill(amount="40")], pay(ONE, BILL, "40"))  # a charge
    by_hand([transaction(ONE, "1")], [bill()], pay(ONE, BILL, "1"))
    by_hand([transaction(ONE, "80")], [bill(), note], pay(ONE, BILL, "100"), pay(ONE, NOTE, "-20"))
    by_hand([transaction(ONE, "-20")], [note], pay(ONE, NOTE, "20"))  # paid back


@pytest.mark.parametrize(
    ("amount", "allocations"),
    [
        ("100", [pay(ONE, BILL, "100.01")]),
        ("60", [pay(ONE, BILL, "100")]),
        ("-100", [pay(ONE, BILL, "100")]),
        ("100", [pay(ONE, BILL, "-100")]),
        ("100", [pay(ONE, BILL, "100", "USD")]),
        ("100", [pay(ONE, BILL, "20"), pay(ONE, NOTE, "-20")]),
    ],
)
def test_what_may_not_be_matched_by_hand(amount, allocations):
    with pytest.raises(InvalidArgument):
        by_hand(
            [transaction(ONE, amount)], [bill(), bill(NOTE, "20", kind="CREDIT_NOTE")], *allocations
        )


def test_transactions_of_two_accounts_or_currencies_are_no_match():
    for other in ({"bank_account_id": "B"}, {"currency_code": "USD"}):
        parts = [transaction(ONE, "60"), transaction(TWO, "40", **other)]
        with pytest.raises(InvalidArgument):
            by_hand(parts, [bill()], pay(ONE, BILL, "60"), pay(TWO, BILL, "40"))


def test_a_settled_invoice_is_not_matched_by_hand():
    with pytest.raises(errors.InvoiceSettled):
        by_hand([transaction(ONE, "1")], [bill(amount="0")], pay(ONE, BILL, "1"))


def test_what_a_match_needs_must_be_free():
    one = transaction(ONE, "100")
    match = drafted([one], pay(ONE, BILL, "100"))
    match.match_id = NOTE
    rules.check_free(match, {ONE: one}, {BILL: bill()})
    taken = transaction(ONE, "100", match_id=TWO)
    taken.state = MATCHED
    with pytest.raises(errors.TransactionMatched):
        rules.check_free(match, {ONE: taken}, {BILL: bill()})
    for invoices in ({}, {BILL: bill(amount="99.99")}, {BILL: bill(currency_code="USD")}):
        with pytest.raises(errors.InvoiceSettled):
            rules.check_free(match, {ONE: one}, invoices)


def test_allocations_are_kept_in_one_form():
    [kept] = rules.canonical([pay(ONE.upper(), BILL.upper(), "5")])
    assert kept == pay(ONE, BILL, "5.00")
    many = [pay(ONE, f"{BILL[:-4]}{n:04x}", "1") for n in range(501)]
    with pytest.raises(InvalidArgument):
        rules.canonical(many)


def test_an_invoice_is_taken_with_its_other_side():
    invoice = invoice_pb2.Invoice(
        invoice_id=BILL, state=invoice_pb2.INVOICE_STATE_APPROVED, gross=eur("119.00"),
        invoice_number="R-1", issue_date=Date(year=2026, month=3, day=1),
        supplier=invoice_pb2.Party(display_name="S", iban="de02 1203"),
        customer=invoice_pb2.Party(display_name="C"),
    )  # fmt: skip
    made, standing = rules.open_invoice(invoice)
    assert (made.direction, made.counterparty_name, made.counterparty_iban, standing) == (
        "PAYABLE", "S", "DE021203", True,
    )  # fmt: skip
    assert made.due_date == made.issue_date == date(2026, 3, 1)
    invoice.direction = invoice_pb2.DIRECTION_RECEIVABLE
    invoice.state = invoice_pb2.INVOICE_STATE_IN_REVIEW
    made, standing = rules.open_invoice(invoice)
    assert (made.direction, made.counterparty_name, standing) == ("RECEIVABLE", "C", False)


def test_gaps_are_seen_on_both_sides():
    day = date(2026, 3, 1)
    near = [
        {"is_before": True, "balance": Decimal(5), "start_date": day, "end_date": day},
        {"is_before": False, "balance": Decimal(9), "start_date": day, "end_date": day},
    ]
    assert rules.gaps(Decimal(5), Decimal(9), near) == []
    assert len(rules.gaps(Decimal(6), Decimal(8), near)) == 2
    assert rules.gaps(None, None, near) == []


def test_settings_refuse_what_cannot_be():
    assert Settings.from_env({}) == Settings()
    with pytest.raises(ValueError, match="below 1"):
        Settings.from_env({"RECON_READERS": "0"})
