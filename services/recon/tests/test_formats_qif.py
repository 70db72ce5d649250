import io
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.recon.statements import Malformed, qif

AMERICAN = """!Account
NChecking
DHousehold account
TBank
^
!Type:Bank
D1/ 1'26
T1,000.00
CX
POpening Balance
L[Checking]
^
D1/15'26
U-1,234.56
T-1,234.56
C*
N1001
PTools & More
MInvoice 7
ATools & More
A1 Way
LOffice:Tools
^
D1/20'26
T-100.00
NATM
PShop
SFood
EBread
$-60.00
SHome
ESoap
$-40.00
^
"""
BRITISH = "!Type:CCard\nD03/02/2026\nT-12.50\nPCafé\n^\nD25/02/2026\nT99.99\nPRefund\n^\n"
GERMAN = "!Type:Bank\nD05.01.2026\nT-1.234,56\nPMüller GmbH\nMRechnung 7\n^\n"
SEVERAL = """!Option:AutoSwitch
!Account
NHouse
TBank
^
NCard
TCCard
^
!Clear:AutoSwitch
!Type:Cat
NFood
DAll that is eaten
E
^
!Account
NHouse
TBank
^
!Type:Bank
D2026-01-05
T5.00
PA
^
!Account
NCard
TCCard
^
!Type:CCard
D2026-01-06
T-7.00
PB
^
!Type:Invst
D2026-01-06
NBuy
YFund
I1.00
Q1
T1.00
^
"""


def events(content: str | bytes, **options: Any) -> list[dict]:
    data = content.encode() if isinstance(content, str) else content
    given = {"currency_code": "EUR", **options}
    return list(qif.read(io.BufferedReader(io.BytesIO(data)), data[: 1 << 18], given))


def parts(found: list[dict]) -> tuple[list[dict], list[dict], list[dict]]:
    headers = [each for each in found if each.get("event") == "header"]
    totals = [each for each in found if each.get("event") == "totals"]
    return headers, [each for each in found if "event" not in each], totals


def codes(totals: dict) -> set[str]:
    return {each["code"] for each in totals["warnings"]}


def test_quickens_own_dates_thousands_splits_and_the_opening_balance() -> None:
    (header,), (tools, shop), (totals,) = parts(events(AMERICAN, currency_code="usd"))
    assert (header["format"], header["currency_code"]) == ("QIF", "USD")
    assert (header["account_name"], header["account_number"]) == ("Checking", "Checking")
    assert header["opening_balance"] == "1000.00"
    assert (tools["booking_date"], tools["amount"]) == ("2026-01-15", "-1234.56")
    assert (tools["counterparty_name"], tools["line"]) == ("Tools & More", 13)
    assert tools["remittance_text"] == "Invoice 7 Check 1001"
    assert (tools["type"], tools["type_text"]) == ("", "Office:Tools")
    assert (shop["booking_date"], shop["type"]) == ("2026-01-20", "ATM")
    assert [(d["type"], d["remittance_text"], d["amount"]) for d in shop["details"]] == [
        ("Food", "Bread", "-60.00"), ("Home", "Soap", "-40.00"),
    ]  # fmt: skip
    assert (totals["transaction_count"], totals["total"]) == (2, "-1334.56")
    assert (totals["opening_balance"], totals["closing_balance"]) == ("1000.00", None)
    assert totals["warnings"] == []


def test_splits_that_do_not_add_up_are_reported() -> None:
    _, _, (totals,) = parts(events(AMERICAN.replace("$-40", "$-41")))
    assert codes(totals) == {"DETAILS_DIFFER"}


def test_t_and_u_that_differ_are_reported() -> None:
    _, _, (totals,) = parts(events(AMERICAN.replace("U-1,234.56", "U-1,234.57")))
    assert codes(totals) == {"AMOUNTS_DIFFER"}


def test_a_british_card_in_windows_encoding() -> None:
    _, lines, (totals,) = parts(events(BRITISH.encode("cp1252")))
    assert [each["booking_date"] for each in lines] == ["2026-02-03", "2026-02-25"]
    assert [each["amount"] for each in lines] == ["-12.50", "99.99"]
    assert lines[0]["counterparty_name"] == "Café"
    assert totals["opening_balance"] is None


def test_german_dates_and_decimals() -> None:
    _, (line,), _ = parts(events(GERMAN, account_iban="DE89370400440532013000"))
    assert (line["booking_date"], line["amount"]) == ("2026-01-05", "-1234.56")
    assert line["account_iban"] == "DE89370400440532013000"


@pytest.mark.parametrize(
    ("text", "style", "day"),
    [
        ("1/2/26", "MDY", "2026-01-02"),
        ("1/2/26", "DMY", "2026-02-01"),
        ("1/ 2' 6", "MDY", "2006-01-02"),
        ("12/31/99", "MDY", "1999-12-31"),
        ("12/31'2026", "MDY", "2026-12-31"),
        ("2026-01-02", "YMD", "2026-01-02"),
        ("2.1.2026", "DMY", "2026-01-02"),
        ("02-01-26", "DMY", "2026-01-02"),
    ],
)
def test_dates_in_every_form(text: str, style: str, day: str) -> None:
    content = f"!Type:Bank\nD{text}\nT1.00\n^\n"
    _, (line,), _ = parts(events(content, date_style=style))
    assert line["booking_date"] == day


def test_the_order_of_dates_is_found_far_behind_and_reported_where_it_is_a_guess() -> None:
    many = "".join("D1/2/2026\nT1.00\n^\n" for _ in range(40_000))
    _, lines, (totals,) = parts(events(f"!Type:Bank\n{many}D1/13/2026\nT1.00\n^\n"))
    assert {each["booking_date"] for each in lines} == {"2026-01-02", "2026-01-13"}
    assert totals["warnings"] == []
    _, _, (totals,) = parts(events("!Type:Bank\nD1/2/2026\nT1.00\n^\n"))
    assert codes(totals) == {"DATE_ORDER"}


def test_several_accounts_and_what_belongs_to_none() -> None:
    headers, lines, (first, second) = parts(events(SEVERAL))
    assert [each["account_name"] for each in headers] == ["House", "Card"]
    assert [each["account_number"] for each in headers] == ["House", "Card"]
    assert [each["amount"] for each in lines] == ["5.00", "-7.00"]
    assert lines[1]["account_iban"] == "Card"
    assert [each["line"] for each in first["warnings"]] == [10]
    assert codes(second) == {"LEFT_OUT"}


def test_a_transfer_to_another_account_is_a_line() -> None:
    _, lines, (totals,) = parts(events("!Type:Bank\nD2026-01-05\nT5.00\nL[Savings]\n^\n"))
    assert (len(lines), totals["opening_balance"]) == (1, None)
    assert lines[0]["type_text"] == "[Savings]"


def test_blank_lines_of_any_kind_and_an_old_end_of_file_are_passed_over() -> None:
    blank = GERMAN.replace("\nT", "\n \x0b\n\nT") + "\x1a"
    assert [each["amount"] for each in parts(events(blank))[1]] == ["-1234.56"]


def test_the_currency_must_be_given() -> None:
    with pytest.raises(Malformed) as error:
        events(GERMAN, currency_code="")
    assert (error.value.line, error.value.field) == (0, "currency_code")


def test_it_is_known_by_its_beginning() -> None:
    for each in (AMERICAN, BRITISH, SEVERAL, "\ufeff" + GERMAN):
        assert qif.looks_like(each.encode())
    assert qif.looks_like(GERMAN.encode("utf-16"))
    assert not qif.looks_like(b"Date;Amount\n")


@pytest.mark.parametrize(
    ("content", "line", "field"),
    [
        ("D1/1/2026\nT1\n^\n", 1, "!Type"),
        ("!Bank\nD1/1/2026\nT1\n^\n", 1, "!Type"),
        ("!Type:Bank\nD1/1/2026\n^\n", 2, "T"),
        ("!Type:Bank\nT1\n^\n", 2, "D"),
        ("!Type:Bank\nD31/31/2026\nT1\n^\n", 2, "D"),
        ("!Type:Bank\nD1/1/2026\nTmuch\n^\n", 3, "T"),
        ("!Type:Bank\nD1/1/2026\nT10.0'0\n^\n", 3, "T"),
        (f"!Type:Bank\nD1/1/2026\nT{'9' * 30}\n^\n", 3, "T"),
        ("!Type:Bank\nD1/1/2026\nT1\nSA\n$x\n^\n", 4, "$"),
        ("!Type:Bank\nD1/1/2026\nT1\n", 2, "^"),
        ("!Type:Bank\nD1/1/2026\nT1\n!Type:Cat\n", 2, "^"),
        ("!Type:Bank\nD1/1/2026\nT1\nD1/2/2026\nT1\n^\n", 4, "D"),
        ("!Type:Bank\nD1/1/2026\nT1\n;what\n^\n", 4, ""),
        (f"!Type:Bank\nD1/1/2026\nM{'x' * 10_001}\n^\n", 3, ""),
        ("!Type:Cat\nNFood\n^\n", 0, "!Type"),
        ("", 0, "!Type"),
    ],
)
def test_a_malformed_file_names_line_and_field(content: str, line: int, field: str) -> None:
    with pytest.raises(Malformed) as error:
        events(content)
    assert (error.value.line, error.value.field) == (line, field)


@pytest.mark.parametrize(
    "options",
    [{"encoding": "none"}, {"encoding": "a\0"}, {"date_style": "X"}, {"decimal_mark": "x"}],
)
def test_options_that_mean_nothing_are_refused(options: dict[str, str]) -> None:
    with pytest.raises(Malformed) as error:
        events(GERMAN, **options)
    assert error.value.field == next(iter(options))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.decimals(-(10**9), 10**9, places=2), max_size=300), st.sampled_from(".,"))
def test_count_and_sums_of_generated_files_come_back(amounts: list[Decimal], mark: str) -> None:
    swap = str.maketrans(",.", ".,") if mark == "," else {}
    lines = "".join(
        f"D2026-01-{n % 28 + 1:02}\nT{f'{each:,.2f}'.translate(swap)}\nMLine {n}\n^\n"
        for n, each in enumerate(amounts)
    )
    _, found, (totals,) = parts(events(f"!Type:Bank\n{lines}"))
    assert [Decimal(each["amount"]) for each in found] == amounts
    assert (totals["transaction_count"], Decimal(totals["total"])) == (len(amounts), sum(amounts))


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_damaged_files_give_events_or_a_clear_fault(data: st.DataObject) -> None:
    sources = (AMERICAN, BRITISH, GERMAN, SEVERAL)
    content = bytearray(data.draw(st.sampled_from(sources)).encode())
    bits = st.one_of(st.binary(max_size=5), st.sampled_from(
        (b"\n", b"^\n", b"\nT", b"\nD", b"\n!", b"'", b"\xb2", "٣".encode(), b"!Type:Bank\n")
    ))  # fmt: skip
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, len(content)))
        content[place : place + data.draw(st.integers(0, 20))] = data.draw(bits)
    with suppress(Malformed):
        events(bytes(content))
