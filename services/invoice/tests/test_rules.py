from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from auditron.invoice.v1 import invoice_pb2
from auditron.invoice.v1.invoice_pb2 import (
    ApprovalPolicy,
    FieldReading,
    Invoice,
    InvoiceLine,
    Party,
    RecordReadingRequest,
    TaxSubtotal,
)
from auditron.recon.v1.recon_pb2 import Allocation, Match
from google.protobuf.field_mask_pb2 import FieldMask
from google.type.date_pb2 import Date
from hypothesis import given
from hypothesis import strategies as st

from libs.rpc import Fault, InvalidArgument, check
from services.invoice import errors, rules
from services.invoice.rules import contents, identity, review
from services.invoice.tests.conftest import complete, eur

NOW = datetime(2026, 3, 31, 12, tzinfo=UTC)
IN_REVIEW = invoice_pb2.INVOICE_STATE_IN_REVIEW
APPROVED = invoice_pb2.INVOICE_STATE_APPROVED


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("invoice.direction", {"direction": 9}),
        ("invoice.document_type", {"document_type": 77}),
        ("invoice.invoice_number", {"invoice_number": "x" * 201}),
        ("invoice.invoice_number", {"invoice_number": "a\0b"}),
        ("invoice.account_code", {"account_code": "6" * 21}),
        ("invoice.supplier.display_name", {"supplier": Party(display_name="x" * 201)}),
        ("invoice.customer.address", {"customer": Party(address="x" * 2_001)}),
        ("invoice.supplier.tax_ids", {"supplier": Party(tax_ids=["x"] * 11)}),
        ("invoice.issue_date", {"issue_date": Date(year=2026, month=2, day=30)}),
        ("invoice.due_date", {"due_date": Date(year=2026)}),
        ("invoice.gross", {"gross": eur("1e3")}),
        ("invoice.gross", {"gross": eur("1.00", "XXQ")}),
        ("invoice.gross", {"gross": eur("1.005")}),
        ("invoice.net", {"net": eur("1.5", "JPY")}),
        ("invoice.gross", {"gross": eur("1", "USD")}),
        ("invoice.lines", {"lines": [InvoiceLine()] * 1_001}),
        ("invoice.lines.0.quantity", {"lines": [InvoiceLine(quantity="two")]}),
        ("invoice.lines.1.amount", {"lines": [InvoiceLine(), InvoiceLine(amount=eur("x"))]}),
        ("invoice.lines.0.description", {"lines": [InvoiceLine(description="x" * 2_001)]}),
        ("invoice.tax_subtotals", {"tax_subtotals": [TaxSubtotal()] * 51}),
        ("invoice.tax_subtotals.0.tax_rate", {"tax_subtotals": [TaxSubtotal(tax_rate="19 %")]}),
        ("invoice.tax_subtotals.0.tax", {"tax_subtotals": [TaxSubtotal(tax=eur(""))]}),
        ("invoice", {"lines": [InvoiceLine(description="x" * 2_000)] * 300}),
    ],
)
def test_a_wrong_field_is_named(field: str, wrong: dict[str, Any]) -> None:
    found = dict(rules.invoice_violations(complete(**wrong)))
    assert field in found
    with pytest.raises(InvalidArgument):
        check(found.items())


def test_a_complete_invoice_is_valid_and_so_is_an_empty_one() -> None:
    assert not list(rules.invoice_violations(complete()))
    assert not list(rules.invoice_violations(Invoice()))
    assert not list(rules.invoice_violations(Invoice(gross=eur("1000.00", "JPY"))))


def test_amounts_are_written_as_their_currency_is() -> None:
    lines = [InvoiceLine(amount=eur("3.12500"))]
    invoice = Invoice(gross=eur("5", "EUR"), net=eur("1000.00", "JPY"), lines=lines)
    rules.normalize(invoice)
    assert (invoice.gross.amount, invoice.net.amount) == ("5.00", "1000")
    assert invoice.lines[0].amount.amount == "3.125"


def test_a_mask_says_what_changes_and_without_one_what_is_sent() -> None:
    invoice = complete(order_reference="old")
    sent = Invoice(invoice_number="new", state=APPROVED, etag="1", invoice_id="x")
    assert rules.merge(sent, invoice, FieldMask()) == {"invoice_number"}
    assert (invoice.invoice_number, invoice.state) == ("new", 0)
    mask = FieldMask(paths=["order_reference", "supplier.iban", "due_date"])
    sent = Invoice(supplier=Party(iban="DE89", display_name="ignored"))
    changed = rules.merge(sent, invoice, mask)
    assert changed == {"order_reference", "supplier", "due_date"}
    assert invoice.order_reference == ""
    assert (invoice.supplier.iban, invoice.supplier.display_name) == ("DE89", "Muster GmbH")


@pytest.mark.parametrize("path", ["state", "paid", "nonsense", "lines.0.amount", "supplier.x", ""])
def test_a_mask_of_what_cannot_be_changed_is_refused(path: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        rules.merge(Invoice(), Invoice(), FieldMask(paths=[path]))
    assert caught.value.violations == [(path, "is no field that can be changed")]


def test_what_a_person_sets_is_noted_beside_how_it_was_read() -> None:
    invoice = complete()
    invoice.document_type = invoice_pb2.DOCUMENT_TYPE_INVOICE
    ocr, person = invoice_pb2.READING_SOURCE_OCR, invoice_pb2.READING_SOURCE_PERSON
    read = {
        "gross": "9",
        "supplier.iban": "X",
        "document_type": "RECEIPT",
        "tax": "19.00",
        "lines.0.amount": "99.00",
        "lines.7.amount": "1.00",
    }
    invoice.readings.extend(
        FieldReading(field=name, value=value, confidence=0.3, source=ocr, page=2)
        for name, value in read.items()
    )
    changed = {"gross", "supplier", "issue_date", "direction", "document_type", "lines"}
    rules.person_readings(invoice, changed)
    rules.person_readings(invoice, {"gross"})
    found = {
        each.field: (each.value, each.source, each.original.value) for each in invoice.readings
    }
    assert found == {
        "direction": ("", person, ""),
        "document_type": ("INVOICE", person, "RECEIPT"),
        "gross": ("119.00", person, "9"),
        "issue_date": ("2026-03-31", person, ""),
        "lines": ("", person, ""),
        "lines.0.amount": (invoice.lines[0].amount.amount, person, "99.00"),
        "supplier": ("", person, ""),
        "supplier.iban": (invoice.supplier.iban, person, "X"),
        "tax": ("19.00", ocr, ""),
    }
    gross = next(each for each in invoice.readings if each.field == "gross")
    assert (gross.original.page, gross.original.source) == (2, ocr)
    assert gross.original.confidence == 0.3


def test_readings_are_kept_up_to_what_an_event_can_hold_those_of_lines_last() -> None:
    invoice = Invoice()
    many = [FieldReading(field=f"lines.{n}.amount", reason="x" * 1_000) for n in range(400)]
    contents.put_readings(invoice, [*many, FieldReading(field="tax")])
    assert invoice.readings[0].field == "tax"
    assert 200 < len(invoice.readings) < 300


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"invoice_number": "RE-2026/001"}, {"invoice_number": "re 2026 001"}),
        ({"supplier": Party(display_name="Müller GmbH & Co. KG")},
         {"supplier": Party(display_name="MULLER")}),
        ({"supplier": Party(display_name="S.A.R.L. Dupont")},
         {"supplier": Party(display_name="SARL DUPONT S.A.")}),
    ],
)  # fmt: skip
def test_what_differs_in_writing_alone_has_the_same_name_key(one: Any, other: Any) -> None:
    both = [complete(**({"invoice_number": "7"} | each)) for each in (one, other)]
    assert rules.keys(both[0]).name_key == rules.keys(both[1]).name_key


def test_the_tax_key_does_not_depend_on_the_order_of_the_ids() -> None:
    ids = ["12/345/678", "DE 123 456 789"]
    parties = [Party(display_name=str(n), tax_ids=each) for n, each in enumerate((ids, ids[::-1]))]
    one, other = (rules.keys(complete(invoice_number="7", supplier=each)) for each in parties)
    assert one.tax_key == other.tax_key
    assert one.name_key != other.name_key


def test_keys_tell_kinds_and_directions_apart_and_need_a_number() -> None:
    credit = invoice_pb2.DOCUMENT_TYPE_CREDIT_NOTE
    receivable = invoice_pb2.DIRECTION_RECEIVABLE
    changes = (
        {},
        {"document_type": credit},
        {"direction": receivable, "customer": complete().supplier},
    )
    found = {rules.keys(complete(invoice_number="7", **each)).name_key for each in changes}
    assert len(found) == 3
    assert None not in found
    assert rules.keys(complete(invoice_number=" - ")) == identity.Keys(None, None)


def test_an_invoice_is_found_by_the_words_of_its_number_parties_lines_and_order() -> None:
    invoice = complete(
        invoice_number="RE-2026/17",
        order_reference="PO 4711",
        customer=Party(display_name="Ёж", iban="DE89 3704 0044 0532 0130 00"),
        lines=[InvoiceLine(description="Schraube Größe-8\nverzinkt")],
    )
    words = set(rules.search_words(invoice))
    wanted = "re 2026 17 re202617 4711 muster gmbh schraube grosse 8 verzinkt de123456789 еж"
    assert words.issuperset(wanted.split())
    assert "de89370400440532013000" in words
    assert identity.query_words("  GRÖSSE, größe ") == ["grosse"]


@given(st.text())
def test_words_are_plain_short_and_found_by_their_own_text(text: str) -> None:
    words = identity.query_words(text)
    assert all(word.isalnum() and 0 < len(word) <= 60 for word in words)
    found = set(rules.search_words(Invoice(order_reference=text[:200])))
    assert found.issuperset(identity.query_words(text[:200]))


def test_missing_fields_and_contradictions_are_warned_of() -> None:
    subtotals = [TaxSubtotal(taxable=eur("90.00"), tax=eur("19.00"))]
    invoice = complete(
        invoice_number="", tax=eur("18.00"), tax_subtotals=subtotals,
        due_date=Date(year=2026, month=3, day=30),
    )  # fmt: skip
    assert rules.warnings(invoice, ["blurred"], is_duplicate=True) == [
        "blurred",
        "invoice_number is missing",
        "net and tax do not add up to gross",
        "the taxable amounts of the tax rates do not add up to net",
        "the tax amounts of the tax rates do not add up to tax",
        "due_date is before issue_date",
        review.DUPLICATE,
    ]
    assert rules.warnings(complete(), [], is_duplicate=False) == []


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({}, None),
        ({"gross": eur("119.01")}, None),
        ({"gross": eur("119.02")}, errors.InvoiceUnbalanced),
        ({"net": eur("-100.00"), "tax": eur("-19.00"), "gross": eur("-119.00")},
         errors.InvoiceUnbalanced),
        ({"net": eur("100", "JPY"), "tax": eur("10", "JPY"), "gross": eur("111", "JPY")}, None),
        ({"net": eur("100", "JPY"), "tax": eur("10", "JPY"), "gross": eur("112", "JPY")},
         errors.InvoiceUnbalanced),
        ({"invoice_number": ""}, errors.InvoiceIncomplete),
        ({"supplier": None}, errors.InvoiceIncomplete),
        ({"issue_date": None}, errors.InvoiceIncomplete),
        ({"gross": None}, errors.InvoiceIncomplete),
        ({"net": None, "tax": None}, None),
        ({"tax": None}, errors.InvoiceUnbalanced),
        ({"direction": invoice_pb2.DIRECTION_RECEIVABLE}, errors.InvoiceIncomplete),
        ({"direction": invoice_pb2.DIRECTION_RECEIVABLE, "supplier": None,
          "customer": Party(display_name="Kunde")}, None),
        ({"invoice_number": "", "document_type": invoice_pb2.DOCUMENT_TYPE_RECEIPT}, None),
    ],
)  # fmt: skip
def test_an_invoice_is_approved_when_it_is_complete_and_adds_up(
    changes: dict[str, Any], fault: type[Fault] | None
) -> None:
    def approve() -> None:
        rules.check_approvable(
            complete(**changes), actor="user:a", last_editor="user:a", second_person_required=False
        )

    if fault is None:
        approve()
    else:
        with pytest.raises(fault):
            approve()


def test_the_last_editor_may_not_approve_where_two_are_needed() -> None:
    def approve(actor: str) -> None:
        rules.check_approvable(
            complete(), actor=actor, last_editor="user:a", second_person_required=True
        )

    approve("user:b")
    with pytest.raises(errors.SecondPersonNeeded):
        approve("user:a")


@pytest.mark.parametrize(
    ("paid", "state"),
    [("0", 3), ("0.01", 5), ("118.99", 5), ("119.00", 6), ("120.00", 6)],
)
def test_what_is_paid_makes_the_state(paid: str, state: int) -> None:
    for before in (3, 5, 6):
        invoice = complete(state=before)
        rules.settle(invoice, Decimal(paid))
        assert invoice.state == state
        assert Decimal(invoice.paid.amount) == Decimal(paid)


def test_a_payment_of_an_invoice_in_review_counts_once_it_is_approved() -> None:
    invoice = complete(state=IN_REVIEW)
    rules.settle(invoice, Decimal(119))
    assert invoice.state == IN_REVIEW
    rules.decide(invoice, APPROVED, "user:a", "", NOW)
    assert invoice.state == invoice_pb2.INVOICE_STATE_PAID
    assert invoice.decisions[0].state == APPROVED
    with pytest.raises(errors.InvoiceNotReopenable):
        rules.check_reopenable(invoice)


def test_only_what_is_rejected_or_approved_and_unpaid_can_be_reopened() -> None:
    for state in invoice_pb2.InvoiceState.values():
        invoice = complete(state=state, paid=eur("0.00"))
        if state in (invoice_pb2.INVOICE_STATE_REJECTED, APPROVED):
            rules.check_reopenable(invoice)
            invoice.decisions.extend([invoice_pb2.Decision()] * 30)
        with pytest.raises(errors.InvoiceNotReopenable):
            rules.check_reopenable(invoice)


def test_what_is_paid_stands_in_the_currency_of_the_amounts() -> None:
    invoice = complete()
    rules.keep_paid(invoice)
    assert invoice.paid == eur("0.00")
    invoice.paid.amount = "7.00"
    rules.keep_paid(invoice)
    assert invoice.paid == eur("7.00")
    for name in ("net", "tax", "gross"):
        invoice.ClearField(name)
    rules.keep_paid(invoice)
    assert not invoice.HasField("paid")


def test_a_match_pays_what_its_allocations_say_also_what_is_set_off() -> None:
    pairs = [("a", "10.00"), ("b", "-4.00"), ("a", "2.50")]
    match = Match(allocations=[Allocation(invoice_id=i, amount=eur(a)) for i, a in pairs])
    assert rules.payments(match) == {"a": Decimal("12.50"), "b": Decimal(4)}


def reading(**more: Any) -> RecordReadingRequest:
    read = complete(account_code="6800", invoice_number="N-1")
    names = ("invoice_number", "supplier.display_name", "issue_date", "net", "tax", "gross")
    found = [FieldReading(field=name, value="x", confidence=0.95) for name in names]
    return RecordReadingRequest(**({"invoice": read, "readings": found} | more))


def test_a_reading_fills_the_invoice_and_says_how() -> None:
    before = Invoice(state=invoice_pb2.INVOICE_STATE_RECEIVED, invoice_id="i", job_id="j")
    after = rules.after_reading(before, reading(), frozenset())
    assert after.state == IN_REVIEW
    assert (after.invoice_id, after.job_id) == ("i", "j")
    assert after.gross == eur("119.00")
    assert len(after.readings) == 6


def test_a_reading_changes_nothing_that_a_person_has_confirmed() -> None:
    before = complete(state=IN_REVIEW, invoice_number="mine", gross=eur("120.00"))
    rules.person_readings(before, {"invoice_number", "gross"})
    after = rules.after_reading(before, reading(), {"invoice_number", "gross"})
    assert (after.invoice_number, after.gross.amount) == ("mine", "120.00")
    sources = {each.field: each.source for each in after.readings}
    assert sources["gross"] == invoice_pb2.READING_SOURCE_PERSON
    assert rules.after_reading(after, reading(), {"invoice_number", "gross"}) == after


def test_amounts_of_another_currency_than_confirmed_ones_are_left_out() -> None:
    before = complete(state=IN_REVIEW)
    dollars = {name: eur("5.00", "USD") for name in ("net", "tax", "gross")}
    after = rules.after_reading(before, reading(invoice=complete(**dollars)), {"gross"})
    assert {after.net.currency_code, after.gross.currency_code} == {"EUR"}


def test_a_result_may_come_in_parts() -> None:
    before = Invoice(state=invoice_pb2.INVOICE_STATE_RECEIVED)
    first = rules.after_reading(before, reading(), frozenset())
    part = RecordReadingRequest(
        invoice=Invoice(account_code="4711"), readings=[FieldReading(field="account_code")]
    )
    second = rules.after_reading(first, part, frozenset())
    assert (second.account_code, second.gross) == ("4711", first.gross)
    assert len(second.readings) == len(first.readings) + 1


@pytest.mark.parametrize("state", [APPROVED, 4, 5, 6])
def test_a_reading_of_a_decided_invoice_changes_nothing(state: int) -> None:
    before = complete(state=state)
    assert rules.after_reading(before, reading(), frozenset()) == before
    assert rules.reading_warnings(before, reading(warnings=["w"]), ("v",)) == ("v",)


def test_of_warnings_that_come_with_a_reading_so_many_are_kept() -> None:
    before = Invoice(state=invoice_pb2.INVOICE_STATE_RECEIVED)
    many = reading(warnings=[f"{number}{'x' * 400}" for number in range(70)])
    assert not list(rules.reading_violations(many))
    kept = rules.reading_warnings(before, many, ())
    assert (len(kept), len(kept[0])) == (50, 300)


def test_a_failure_is_told_and_forgotten_when_a_later_reading_succeeds() -> None:
    before = Invoice(state=invoice_pb2.INVOICE_STATE_RECEIVED)
    failed = rules.after_reading(before, RecordReadingRequest(failure="blank"), frozenset())
    assert (failed.state, failed.reading_failure) == (IN_REVIEW, "blank")
    read = rules.after_reading(failed, reading(), frozenset())
    assert read.reading_failure == ""
    again = rules.after_reading(read, RecordReadingRequest(failure="late"), frozenset())
    assert again == read


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("readings.0.confidence", {"confidence": float("nan")}),
        ("readings.0.confidence", {"confidence": 1.5}),
        ("readings.0.source", {"source": 99}),
        ("readings.0.box", {"box": [0.1]}),
        ("readings.0.value", {"value": "x" * 2_001}),
        ("readings.0.candidates", {"candidates": ["x"] * 21}),
    ],
)
def test_a_wrong_reading_is_named(field: str, changes: dict[str, Any]) -> None:
    request = RecordReadingRequest(readings=[FieldReading(field="tax", **changes)])
    assert field in dict(rules.reading_violations(request))


@pytest.mark.parametrize(
    ("trusted", "policy", "changes"),
    [
        (True, {}, {}),
        (False, {"auto_approve_confidence": 0}, {}),
        (False, {"auto_approve_confidence": 0.96}, {}),
        (True, {"auto_approve_limit": eur("119.00")}, {}),
        (False, {"auto_approve_limit": eur("118.99")}, {}),
        (False, {"auto_approve_limit": eur("500.00", "USD")}, {}),
        (False, {}, {"warnings": ["blurred"]}),
        (False, {}, {"decisions": [invoice_pb2.Decision()]}),
        (False, {}, {"invoice_number": ""}),
        (True, {}, {"invoice_number": "", "document_type": invoice_pb2.DOCUMENT_TYPE_RECEIPT}),
    ],
)
def test_the_policy_trusts_what_was_read_surely_and_completely(
    trusted: bool, policy: dict[str, Any], changes: dict[str, Any]
) -> None:
    before = Invoice(state=invoice_pb2.INVOICE_STATE_RECEIVED)
    invoice = rules.after_reading(before, reading(), frozenset())
    for name, value in changes.items():
        invoice.ClearField(name)
        invoice.MergeFrom(Invoice(**{name: value}))
    wanted = ApprovalPolicy(**({"auto_approve_confidence": 0.95} | policy))
    assert rules.is_trusted(invoice, wanted, frozenset()) is trusted


def test_a_field_without_a_reading_is_not_sure_unless_a_person_confirmed_it() -> None:
    before = Invoice(state=invoice_pb2.INVOICE_STATE_RECEIVED)
    invoice = rules.after_reading(before, reading(readings=[]), frozenset())
    policy = ApprovalPolicy(auto_approve_confidence=0.1)
    assert not rules.is_trusted(invoice, policy, frozenset())
    every = {"invoice_number", "supplier", "issue_date", "gross", "net", "tax"}
    assert rules.is_trusted(invoice, policy, every)


@pytest.mark.parametrize(
    ("given", "bare"),
    [
        ("a.pdf", "a.pdf"),
        ("C:\\fakepath\\Rechnung März.pdf", "Rechnung März.pdf"),
        ("../../etc/passwd", "passwd"),
        ('a"\r\nX: y.pdf', 'a"X: y.pdf'),
        ("", "document"),
        ("folder/", "document"),
    ],
)
def test_a_filename_is_bare_and_printable(given: str, bare: str) -> None:
    assert rules.filename_of(given) == bare


def test_the_count_begins_anew_with_the_month() -> None:
    assert rules.seconds_to_next_month(NOW) == 12 * 3600
    assert rules.seconds_to_next_month(NOW.replace(month=12)) == 12 * 3600


def test_filters_name_what_is_wrong_and_know_that_none_is_all() -> None:
    wanted = rules.filters(invoice_pb2.ListInvoicesRequest())
    assert set(vars(wanted).values()) == {None}
    wanted = rules.filters(invoice_pb2.ListInvoicesRequest(query="--", states=[3, 3, 2]))
    assert (wanted.words, wanted.states) == ([], [2, 3])
    for wrong in (
        {"states": [0]}, {"states": [9]}, {"direction": 4}, {"query": "x" * 201},
        {"start_date": Date(year=2026, month=13, day=1)},
    ):  # fmt: skip
        with pytest.raises(InvalidArgument):
            rules.filters(invoice_pb2.ListInvoicesRequest(**wrong))
