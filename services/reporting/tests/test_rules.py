"""How facts are posted and what reports show, without a database."""

from datetime import date
from decimal import Decimal

import pytest
from auditron.invoice.v1 import invoice_pb2
from auditron.recon.v1 import recon_pb2
from auditron.reporting.v1 import reporting_pb2
from hypothesis import given
from hypothesis import strategies as st

from libs.pg import uuid7
from services.reporting.rules import chart, files, invoices, matches, requests, tables

D = Decimal
PAYABLE, RECEIVABLE = invoice_pb2.DIRECTION_PAYABLE, invoice_pb2.DIRECTION_RECEIVABLE
TODAY = date(2026, 6, 1)


@pytest.mark.parametrize(
    ("kind", "direction", "account"),
    [
        (recon_pb2.DIFFERENCE_KIND_ROUNDING, RECEIVABLE, chart.ROUNDING),
        (recon_pb2.DIFFERENCE_KIND_ROUNDING, PAYABLE, chart.ROUNDING),
        (recon_pb2.DIFFERENCE_KIND_CASH_DISCOUNT, RECEIVABLE, chart.DISCOUNTS_GRANTED),
        (recon_pb2.DIFFERENCE_KIND_CASH_DISCOUNT, PAYABLE, chart.DISCOUNTS_RECEIVED),
        (recon_pb2.DIFFERENCE_KIND_BANK_CHARGE, RECEIVABLE, chart.BANK_CHARGES),
        (recon_pb2.DIFFERENCE_KIND_BANK_CHARGE, PAYABLE, chart.BANK_CHARGES),
        (recon_pb2.DIFFERENCE_KIND_OVERPAYMENT, RECEIVABLE, chart.RECEIVABLES),
        (recon_pb2.DIFFERENCE_KIND_OVERPAYMENT, PAYABLE, chart.PAYABLES),
    ],
)
def test_a_difference_has_an_account_by_its_kind(made, kind, direction, account):
    bill = made.in_currency("EUR", "100.00", direction=direction)
    match = made.match((bill, "100.00"), difference="-3.00", kind=kind)
    item = matches.Item(bill.invoice_id, direction, 1, "", "EUR", D(100), D(0), D(100), D(0), D(0))
    [draft] = [matches.match_entry(match, [item], invoices.Rates("EUR", {}), bank_known=True)]
    control = "1200" if direction == RECEIVABLE else "1600"
    found = [
        D(each.amount.amount)
        for each in draft.entry.postings
        if each.account_code == account and (account != control or not each.counterparty)
    ]
    assert D(3) in found


@pytest.mark.parametrize(
    ("direction", "document_type", "gross", "flow"),
    [(1, 1, 10, -1), (2, 1, 10, 1), (1, 2, 10, 1), (2, 2, 10, -1), (1, 1, -10, 1), (2, 3, 10, 1)],
)
def test_an_invoice_says_which_way_money_goes(direction, document_type, gross, flow):
    item = matches.Item(
        "i", direction, document_type, "", "EUR", D(gross), D(0), D(gross), D(0), D(0)
    )
    assert item.flow == flow


# What a match may be of: documents (direction, type, gross and its VAT in cents), and transactions
# (which way, what is over in cents, and how many cents go to which document).
DOCUMENTS = st.lists(
    st.tuples(
        st.sampled_from((PAYABLE, RECEIVABLE)),
        st.sampled_from((1, 2, 3)),
        st.sampled_from((1, -1)),
        st.integers(1, 10**7),
        st.integers(0, 50),
    ),
    min_size=1,
    max_size=4,
)
TRANSACTIONS = st.lists(
    st.tuples(
        st.sampled_from((1, -1)),
        st.integers(-300, 3_000),
        st.dictionaries(st.integers(0, 3), st.integers(1, 10**6), min_size=1),
    ),
    min_size=1,
    max_size=4,
)
KINDS = st.sampled_from(recon_pb2.DifferenceKind.values()[1:])


@given(
    documents=DOCUMENTS,
    transactions=TRANSACTIONS,
    kind=KINDS,
    currency=st.sampled_from(("EUR", "USD")),
)
def test_whatever_a_match_settles_is_posted(made, documents, transactions, kind, currency):
    """Each document may be paid by one transaction and set off in another."""
    items = [
        matches.Item(
            uuid7(), direction, document_type, "C", currency, D(sign * cents) / 100,
            D(sign * cents * vat) / 10_000, D(sign * cents) / 100, D(0), D(0),
        )
        for direction, document_type, sign, cents, vat in documents
    ]  # fmt: skip
    match = recon_pb2.Match(match_id=uuid7(), posting_date=made.day("2026-01-20"))
    settled, paid, flows = dict.fromkeys(range(len(items)), D(0)), D(0), D(0)
    for way, over, parts in transactions:
        for number, cents in parts.items():
            item, amount = items[number % len(items)], D(cents) / 100
            set_off = item.flow != way
            match.allocations.add(
                transaction_id=uuid7(), invoice_id=item.invoice_id,
                amount=made.money(-amount if set_off else amount, currency),
            )  # fmt: skip
            settled[number % len(items)] += amount
            flows += item.flow * amount
        paid += way * D(over) / 100
    paid += flows
    match.bank_amount.CopyFrom(made.money(paid))
    rest = paid - flows if currency == "EUR" else D(0)
    match.difference.CopyFrom(made.money(rest))
    match.difference_kind = kind if rest else recon_pb2.DIFFERENCE_KIND_UNSPECIFIED
    used = [item for number, item in enumerate(items) if settled[number]]
    rates = invoices.Rates("EUR", {"USD": D("0.9137")})
    draft = matches.match_entry(match, used, rates, bank_known=True)
    assert sum(made.amounts(draft.entry).values()) == 0
    cleared = {
        invoice_id: D(posting.original_amount.amount)
        for invoice_id, posting in zip(draft.invoice_ids, draft.entry.postings, strict=True)
        if invoice_id
    }
    assert cleared == {
        item.invoice_id: -item.flow * settled[number]
        for number, item in enumerate(items)
        if settled[number]
    }


@given(
    st.lists(st.tuples(st.integers(1, 10**6), st.integers(0, 40)), min_size=1, max_size=4),
    st.sampled_from((PAYABLE, RECEIVABLE)),
    st.integers(1, 10_000),
)
def test_a_discounts_tax_has_a_share_that_lies_between_those_of_its_documents(
    made, documents, direction, discount
):
    """Every second document is a credit note that is set off."""
    items = [
        matches.Item(
            uuid7(), direction, 1 + number % 2, "C", "EUR", D(cents), D(cents * vat) / 100,
            D(cents), D(0), D(0),
        )
        for number, (cents, vat) in enumerate(documents)
    ]  # fmt: skip
    match = recon_pb2.Match(match_id=uuid7(), posting_date=made.day("2026-01-20"))
    for item in items:
        match.allocations.add(
            transaction_id=uuid7(), invoice_id=item.invoice_id, amount=made.money(item.gross)
        )
    flow = sum(item.flow * item.gross for item in items)
    rest = D(discount) / 100 * (1 if flow < 0 else -1)
    match.bank_amount.CopyFrom(made.money(flow + rest))
    match.difference.CopyFrom(made.money(rest))
    match.difference_kind = recon_pb2.DIFFERENCE_KIND_CASH_DISCOUNT
    draft = matches.match_entry(match, items, invoices.Rates("EUR", {}), bank_known=True)
    found = made.amounts(draft.entry)
    vat = -found.get(chart.INPUT_VAT, D(0)) - found.get(chart.OUTPUT_VAT, D(0))
    shares = [item.tax / item.gross for item in items]
    assert min(shares) * abs(rest) - D("0.005") <= vat * (1 if rest > 0 else -1)
    assert vat * (1 if rest > 0 else -1) <= max(shares) * abs(rest) + D("0.005")


def test_the_lines_of_a_foreign_invoice_sum_to_zero_whatever_is_rounded(made):
    for cents in range(1, 200):
        tax = D(cents) / 100
        bill = made.in_currency("USD", str(tax * 6), str(tax))
        draft, gross = invoices.invoice_entry(
            bill, invoices.Rates("EUR", {"USD": D("0.91377")}), account_known=True
        )
        entry = draft.entry
        assert sum(D(posting.amount.amount) for posting in entry.postings) == 0
        assert made.amounts(entry)["1600"] == -gross


def test_missing_net_or_tax_follows_from_the_others(made):
    assert invoices.amounts_of(made.invoice(tax=None)).tax == D(19)
    assert invoices.amounts_of(made.invoice(net=None)).net == D(100)
    alone = invoices.amounts_of(made.invoice(net=None, tax=None))
    assert (alone.net, alone.tax) == (D(119), D(0))


def test_an_invoice_of_nothing_has_nothing_to_post(made):
    draft, gross = invoices.invoice_entry(
        made.in_currency("EUR", "0"), invoices.Rates("EUR", {}), account_known=True
    )
    assert (len(draft.entry.postings), gross) == (0, 0)


def test_a_bank_in_another_currency_than_the_invoice_counts_at_the_days_rates(made):
    bill = made.in_currency("USD", "100.00")
    item = matches.Item(
        bill.invoice_id, RECEIVABLE, 1, "C", "USD", D(100), D(0), D("90.00"), D(100), D("90.00")
    )
    match = made.match((bill, "100.00"), currency="USD")
    match.bank_amount.CopyFrom(made.money("91.30", "EUR"))
    match.difference.CopyFrom(made.money("0.00", "EUR"))
    rates = invoices.Rates("EUR", {"USD": D("0.95")})
    draft = matches.match_entry(match, [item], rates, bank_known=True)
    assert made.amounts(draft.entry) == {
        "1800": D("91.30"), "1200": D("-90.00"), "4840": D("-1.30"),
    }  # fmt: skip
    assert sum(made.amounts(draft.entry).values()) == 0
    assert draft.invoice_ids.count(bill.invoice_id) == 1


def test_the_chart_has_every_account_that_the_rules_post_to():
    codes = [account.account_code for account in chart.chart()]
    assert codes == sorted(set(codes))
    used = {
        value for name, value in vars(chart).items() if name.isupper() and isinstance(value, str)
    }
    assert used <= set(codes)
    assert not requests.account_violations(chart.chart()[0])


BOOKS = {"organization_name": "Acme", "base_currency_code": "EUR", "last_entry_number": 7}


def balance(code: str, amount: str) -> dict[str, object]:
    account = {one.account_code: one for one in chart.chart()}[code]
    value = D(amount)
    return {
        **BOOKS, "account_code": code, "display_name": account.display_name,
        "type": account.type, "opening": D(0), "debit": max(value, D(0)),
        "credit": max(-value, D(0)), "balance": value,
    }  # fmt: skip


def shown(table: reporting_pb2.ReportTable) -> dict[str, list[str]]:
    return {row.label: list(row.amounts) for row in table.rows}


def test_profit_and_loss_shows_income_expenses_and_the_result():
    rows = [balance("4400", "-1000"), balance("4840", "0"), balance("6300", "400.5")]
    table = tables.table(1, rows, date(2026, 1, 1), date(2026, 1, 31))
    assert shown(table) == {
        "Income": [], "Revenue": ["1000.00"], "Total income": ["1000.00"],
        "Expenses": [], "Other operating expenses": ["400.50"], "Total expenses": ["400.50"],
        "Profit": ["599.50"],
    }  # fmt: skip
    assert table.last_entry_number == 7
    assert (table.start_date.month, table.end_date.day) == (1, 31)


def test_the_balance_sheet_shows_the_result_as_equity_and_balances():
    rows = [balance("1800", "600"), balance("2900", "-100"), balance("4400", "-500")]
    table = shown(tables.table(2, rows, None, TODAY))
    assert table["Result to date"] == ["500.00"]
    assert table["Total assets"] == table["Total liabilities and equity"] == ["600.00"]


def test_a_ledger_out_of_balance_is_never_shown():
    with pytest.raises(AssertionError, match="out of balance"):
        tables.table(2, [balance("1800", "600")], None, TODAY)
    with pytest.raises(AssertionError, match="differ"):
        tables.table(3, [balance("1800", "600")], TODAY, TODAY)


def test_ageing_shows_what_is_owed_as_positive():
    ages = dict.fromkeys(tables.AGES, D(0))
    row = {**BOOKS, "counterparty": "", **ages, "days_1_30": D(-5), "balance": D(-5)}
    table = tables.table(4, [row], None, TODAY)
    assert shown(table)["Not named"] == ["0.00", "5.00", "0.00", "0.00", "0.00", "5.00"]
    nothing = tables.table(5, [{**row, "counterparty": None, "balance": D(0)}], None, TODAY)
    assert list(shown(nothing)) == ["Total"]


def test_files_are_named_by_kind_and_days(made):
    report = reporting_pb2.Report(kind=1, format=1, start_date=made.day("2026-01-01"))
    report.end_date.CopyFrom(made.day("2026-03-31"))
    assert files.filename(report) == "profit-and-loss_2026-01-01_2026-03-31.pdf"
    report.kind, report.format = 4, 2
    assert files.filename(report) == "payables-ageing_2026-03-31.xlsx"
    assert files.ids_in(files.blob_key("a", "b")) == ("a", "b")
    assert files.ids_in("reports/a") == ("", "")


@pytest.mark.parametrize(
    ("currency", "day", "rate", "field"),
    [
        ("EUR", "2026-01-01", "1", "currency_code"),
        ("XXY", "2026-01-01", "1", "currency_code"),
        ("USD", "2026-06-02", "1", "rate_date"),
        ("USD", "2026-01-01", "0", "rate"),
        ("USD", "2026-01-01", "-1", "rate"),
        ("USD", "2026-01-01", "1e3", "rate"),
        ("USD", "2026-01-01", "٣", "rate"),
    ],
)
def test_a_wrong_rate_names_its_field(made, currency, day, rate, field):
    given = reporting_pb2.ExchangeRate(currency_code=currency, rate_date=made.day(day), rate=rate)
    [(found, _)] = requests.rate_violations(given, "EUR", TODAY)
    assert found == f"exchange_rate.{field}"
