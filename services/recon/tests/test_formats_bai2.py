import io
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.recon.statements import Malformed, bai2, camt

TWO_ACCOUNTS = """\
01,122099999,123456789,250616,0930,17,,,2/
02,031001234,122099999,1,250613,2359,USD,2/
03,0975312468,,010,500000,,,015,570000,,/
88,100,100000,1,S,60000,30000,10000,400,30000,1,0/
16,165,100000,S,60000,30000,10000,B7001,INV-2025-17,ACME CORP, LOCKBOX 3/4
88,DEPOSIT OF JUNE, MISC. RECEIVABLES
16,475,30000,V,250612,0000,B7002,CHK 1204,RENT/
16,890,,,,,BRANCH CLOSED ON MONDAY/
49,1330000,7/
03,DE89370400440532013000,EUR,010,-1000,,,015,-2050,,/
16,699,1050,D,2,0,500,1,550,,,/
49,-2000,3/
98,1328000,2,12/
02,031001234,122099999,1,250613,,JPY,2/
03,7788,,010,1000,,,015,1500,,/
16,108,500,Z,,,SALE
49,3000,3/
03,7788,KWD,010,1000,,,015,2500,,/
16,108,1500,2,,,SALE
49,5000,3/
98,8000,2,8/
99,1336000,2,22/
"""
CAMT = b"""<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"><BkToCstmrStmt><Stmt>
<Acct><Id><Othr><Id>1</Id></Othr></Id><Ccy>EUR</Ccy></Acct><Ntry><Amt Ccy="EUR">1.00</Amt>
<CdtDbtInd>CRDT</CdtDbtInd><BookgDt><Dt>2025-06-13</Dt></BookgDt></Ntry>
</Stmt></BkToCstmrStmt></Document>"""


def events(text: str | bytes, reader: Any = bai2, **options: Any) -> list[dict[str, Any]]:
    data = text.encode() if isinstance(text, str) else text
    file = io.BufferedReader(io.BytesIO(data), 1 << 18)
    return list(reader.read(file, file.peek(1 << 18)[: 1 << 18], options))


def statements(text: str | bytes, **options: Any) -> list[tuple[dict, list[dict], dict]]:
    found: list[Any] = []
    for event in events(text, **options):
        if event.get("event") == "header":
            found.append([event, [], None])
        elif event.get("event") == "totals":
            found[-1][2] = event
        else:
            found[-1][1].append(event)
    return [tuple(each) for each in found]


def one(lines: str, summary: str = "010,100,,,015,100,,", currency: str = "EUR") -> str:
    return (
        "01,A,B,250616,0930,1,,,2/\n02,C,A,1,250613,,,2/\n"
        f"03,12345,{currency},{summary}/\n{lines}49,,/\n98,,,/\n99,,,/\n"
    )


def fault(text: str | bytes, **options: Any) -> tuple[int, str]:
    with pytest.raises(Malformed) as raised:
        events(text, **options)
    return raised.value.line, raised.value.field


def test_several_accounts_and_groups_are_statements_of_their_own():
    found = statements(TWO_ACCOUNTS)
    heads = [each[0] for each in found]
    assert [each["account_number"] for each in heads] == ["0975312468", "", "7788", "7788"]
    assert heads[1]["account_iban"] == "DE89370400440532013000"
    assert [each["currency_code"] for each in heads] == ["USD", "EUR", "JPY", "KWD"]
    assert heads[0]["format"] == "BAI2"
    assert heads[0]["sequence_number"] == "17"
    assert heads[0]["create_time"] == "2025-06-16T09:30:00"
    assert heads[0]["from_date"] == heads[0]["to_date"] == "2025-06-13"
    assert [each[2]["adds_up"] for each in found] == [True] * 4
    codes = [[warning["code"] for warning in each[2]["warnings"]] for each in found]
    assert codes == [[], [], ["SEVERAL_ACCOUNTS"], ["SEVERAL_ACCOUNTS"]]


def test_lines_have_sides_texts_references_and_value_dates():
    credit, debit = statements(TWO_ACCOUNTS)[0][1]
    assert credit["amount"] == "1000.00"
    assert credit["remittance_text"] == (
        "ACME CORP, LOCKBOX 3/4 DEPOSIT OF JUNE, MISC. RECEIVABLES"
    )
    assert (credit["bank_reference"], credit["end_to_end_id"]) == ("B7001", "INV-2025-17")
    assert (credit["type"], credit["line"]) == ("165", 5)
    assert credit["booking_date"] == credit["value_date"] == "2025-06-13"
    assert (debit["amount"], debit["value_date"]) == ("-300.00", "2025-06-12")
    assert debit["remittance_text"] == "RENT"
    assert statements(TWO_ACCOUNTS)[1][1][0]["amount"] == "-10.50"


def test_the_currency_says_where_the_point_stands():
    found = statements(TWO_ACCOUNTS)
    assert [each["amount"] for each in found[2][1] + found[3][1]] == ["500", "1.500"]
    assert found[2][0]["opening_balance"] == "1000"
    assert found[3][0]["closing_balance"] == "2.500"


def test_keys_are_those_of_camt():
    ours, theirs = events(TWO_ACCOUNTS), events(CAMT, reader=camt)
    for mine, other in zip((ours[0], ours[1], ours[3]), theirs, strict=True):
        assert list(mine) == list(other)


@pytest.mark.parametrize("end", ["\r\n", "   \r\n", "\r", "\n\n"])
def test_line_ends_and_padding_do_not_matter(end):
    plain = [{**each, "line": 0} for each in events(TWO_ACCOUNTS) if "amount" in each]
    other = events(TWO_ACCOUNTS.replace("\n", end) + "\x1a")
    assert [{**each, "line": 0} for each in other if "amount" in each] == plain


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_other_encodings_are_read_and_known(encoding):
    data = TWO_ACCOUNTS.encode(encoding)
    assert bai2.looks_like(data)
    assert events(data) == events(TWO_ACCOUNTS)


def test_a_reference_may_stand_on_a_continuation():
    text = one("16,115,100,V/\n88,250611,/\n88,BANK,CUST/\n88,one, two/ three/\n88,four/\n")
    (line,) = statements(text)[0][1]
    assert line["value_date"] == "2025-06-11"
    assert (line["bank_reference"], line["end_to_end_id"]) == ("BANK", "CUST")
    assert line["remittance_text"] == "one, two/ three four"


def test_the_summary_may_end_a_line_with_a_comma():
    head = statements(one("", "010,100,,,/\n88,015,200,,"))[0][0]
    assert (head["opening_balance"], head["closing_balance"]) == ("1.00", "2.00")


def test_available_balances_are_not_the_ledgers():
    found = statements(one("", "040,100,,,045,100,1,S,1,2,3"))[0]
    assert (found[0]["opening_balance"], found[0]["closing_balance"]) == (None, None)
    assert found[2]["adds_up"] is None


def test_balances_that_do_not_add_up_are_said():
    totals = statements(one("16,399,101,0,,,\n"))[0][2]
    assert totals["adds_up"] is False
    assert totals["difference"] == "-1.01"
    assert [each["code"] for each in totals["warnings"]] == ["BALANCE_DIFFERENCE"]


def test_wrong_control_totals_are_said_with_both_numbers():
    text = TWO_ACCOUNTS.replace("49,1330000,7/", "49,1330001,8/").replace("22/", "23/")
    text = text.replace("98,8000,2,8/", "98,8000,3,8/")
    found = statements(text)
    first, last = (
        [each["message"] for each in found[at][2]["warnings"] if each["code"].startswith("CONTROL")]
        for at in (0, 3)
    )
    assert first == [
        "The trailer 49 says control total 1330001; in the file: 1330000.",
        "The trailer 49 says records 8; in the file: 7.",
    ]
    assert last == [
        "The trailer 98 says accounts 3; in the file: 2.",
        "The trailer 99 says records 23; in the file: 22.",
    ]


def test_loans_and_unknown_types_are_left_out_with_a_warning():
    found = statements(one("16,721,50,,,,\n16,721,50,,,,\n16,890,,,,,text/\n16,930,5,,,,\n"))[0]
    assert [each["amount"] for each in found[1]] == ["0.05"]
    messages = [each["message"] for each in found[2]["warnings"] if each["code"] == "NOT_BOOKED"]
    assert messages == ["2 lines of type 721 are not bookings and were left out."]


def test_currency_and_account_come_from_the_options_where_the_file_is_silent():
    text = one("16,399,7,,,,\n", currency="").replace("03,12345,", "03,,")
    iban = "DE89370400440532013000"
    head, (line,), _ = statements(text, account_iban=iban, currency_code="CLP")[0]
    assert (head["account_iban"], head["currency_code"], line["amount"]) == (iban, "CLP", "7")
    assert statements(one("", currency=""))[0][0]["currency_code"] == "USD"


def test_a_correction_is_said():
    totals = statements(one("").replace("02,C,A,1", "02,C,A,3"))[0][2]
    assert [each["code"] for each in totals["warnings"]] == ["CORRECTION"]


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ("16,4x5,1,,,,", "type code"),
        ("16,475,1.00,,,,", "amount"),
        ("16,475,-100,,,,", "amount"),
        ("16,475,,,,,", "amount"),
        ("16,475,\u0661,,,,", "amount"),
        ("16,475,1,X,,,", "funds type"),
        ("16,475,1,S,a,1,1,,,", "funds type"),
        ("16,475,1,D,x,,,", "funds type"),
        ("16,475,1,D,2,0,1/", "funds type"),
        ("16,475,1,V,251332,,,,", "value date"),
        ("03,1,EUR/", "record"),
        ("17,1/", "record"),
        ("text", "record"),
        ("98,1,1,1/", "record"),
        ("49,abc,1/", "control total"),
        ("49,1,abc/", "records"),
    ],
)
def test_what_is_wrong_on_a_line_is_said(line, field):
    assert fault(one(f"{line}\n")) == (4, field)


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ("250616", "259916", (1, "file date")),
        (",2/\n02", ",1/\n02", (1, "version")),
        ("250613", "", (2, "as-of date")),
        ("02,C,A,1", "02,C,A,4", (2, "group status")),
        ("EUR", "EUX", (3, "currency")),
        ("12345", "", (3, "account")),
        ("010,100", "10,100", (3, "type code")),
        ("010,100", "010,1e2", (3, "amount")),
        ("01,A", "88,A", (1, "record")),
    ],
)
def test_what_is_wrong_in_a_head_is_said(old, new, where):
    assert fault(one("").replace(old, new, 1)) == where


def test_a_fault_on_a_continuation_has_its_line():
    assert fault(one("", "010,100,,/\n88,015,xyz,,")) == (4, "amount")


def test_a_file_cut_off_is_refused():
    lines = TWO_ACCOUNTS.splitlines(keepends=True)
    for count in range(1, len(lines)):
        assert fault("".join(lines[:count])) == (count, "record")


def test_a_file_without_accounts_is_refused():
    assert fault("01,A,B,250616,0930,1,,,2/\n99,0,0,2/\n") == (0, "record")


def test_long_records_are_refused():
    assert fault(one("16,475,1,,,," + "x" * 100_001 + "\n")) == (4, "record")
    assert fault(one("16,475,1,,,,x\n" + f"88,{'x' * 60_000}\n" * 2)) == (6, "record")


def test_what_cannot_be_decoded_is_refused():
    assert fault(one("").encode("utf-16")[:-1])[1] == "encoding"


def test_bai2_is_known_by_its_beginning():
    assert bai2.looks_like(TWO_ACCOUNTS.encode())
    assert bai2.looks_like(b"01,A,B,20250616,,1,80,,/   \r\n88,2/\r\n")
    for other in (b"", b"01,02,03\n02,03,04\n", CAMT, b":20:X\r\n:25:1\r\n", b"01/02/2025,5\n"):
        assert not bai2.looks_like(other)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_whatever_is_changed_only_malformed_is_raised(data):
    text = bytearray(TWO_ACCOUNTS.encode())
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(text) - 1))
        end = at + data.draw(st.integers(0, 12))
        text[at:end] = data.draw(
            st.one_of(
                st.binary(max_size=4), st.sampled_from([b",", b"/", b"\n88,", b"-", b"9" * 30])
            )
        )
    cut = data.draw(st.integers(0, len(text)))
    with suppress(Malformed):
        events(bytes(text))
    with suppress(Malformed):
        events(bytes(text[:cut]))


TEXTS = st.text(st.sampled_from("ABC xyz,/-0129äß"), max_size=60)
REFERENCES = st.text(st.sampled_from("ABC-019"), max_size=12)
FUNDS = st.sampled_from(["", "0", "1", "2", "Z", "S,1,2,3", "V,250612,1200", "D,2,0,5,1,6"])
LINES = st.tuples(
    st.sampled_from([115, 399, 475, 699, 890]), st.integers(0, 10**12), FUNDS, REFERENCES,
    REFERENCES, TEXTS,
)  # fmt: skip
ACCOUNTS = st.tuples(
    st.sampled_from([("EUR", 2), ("JPY", 0), ("BHD", 3)]), st.integers(-(10**12), 10**12),
    st.lists(LINES, max_size=6),
)  # fmt: skip


def written(accounts: list[Any]) -> str:
    rows, total = ["01,A,B,250616,0930,1,,,2/", "02,C,A,1,250613,,,2/"], 0
    for (currency, _), opening, lines in accounts:
        begin = len(rows)
        closing = opening + sum(_signed(line) for line in lines)
        rows += [f"03,123,{currency},010,{opening},,/", f"88,015,{closing},,/"]
        for code, amount, funds, bank, customer, text in lines:
            words = text.split()
            half = len(words) // 2
            rows.append(f"16,{code},{amount},{funds},{bank},{customer},{' '.join(words[:half])}/")
            if words[half:]:
                rows.append(f"88,{' '.join(words[half:])}/")
        account = opening + closing + sum(line[1] for line in lines)
        total += account
        rows.append(f"49,{account},{len(rows) - begin + 1}/")
    rows.append(f"98,{total},{len(accounts)},{len(rows)}/")
    rows.append(f"99,{total},1,{len(rows) + 1}/")
    return "\n".join(rows)


def _signed(line: tuple[Any, ...]) -> int:
    return line[1] if line[0] < 400 else -line[1] if line[0] < 700 else 0


@settings(max_examples=150, deadline=None)
@given(st.lists(ACCOUNTS, min_size=1, max_size=4))
def test_what_was_written_comes_back(accounts):
    found = statements(written(accounts))
    assert len(found) == len(accounts)
    for ((currency, places), opening, lines), (head, read, totals) in zip(
        accounts, found, strict=True
    ):
        booked = [line for line in lines if line[0] != 890]
        unit = Decimal(1).scaleb(-places)
        assert head["currency_code"] == currency
        assert Decimal(totals["opening_balance"]) == opening * unit
        assert totals["transaction_count"] == len(booked)
        assert Decimal(totals["total"]) == sum(_signed(line) for line in booked) * unit
        assert totals["adds_up"] is True
        assert totals["warnings"] == []
        for line, back in zip(booked, read, strict=True):
            assert Decimal(back["amount"]) == _signed(line) * unit
            assert back["value_date"] == ("2025-06-12" if line[2][:1] == "V" else "2025-06-13")
            assert (back["bank_reference"], back["end_to_end_id"]) == line[3:5]
            assert back["remittance_text"] == " ".join(line[5].split())
