import io
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.recon.statements import Malformed, ofx

SGML = """OFXHEADER:100
DATA:OFXSGML
VERSION:102
SECURITY:NONE
ENCODING:USASCII
CHARSET:1252
COMPRESSION:NONE
OLDFILEUID:NONE
NEWFILEUID:NONE

<OFX>
<SIGNONMSGSRSV1><SONRS><STATUS><CODE>0<SEVERITY>INFO</STATUS>
<DTSERVER>20260131120000<LANGUAGE>ENG</SONRS></SIGNONMSGSRSV1>
<BANKMSGSRSV1><STMTTRNRS><TRNUID>1<STATUS><CODE>0<SEVERITY>INFO</STATUS>
<STMTRS>
<CURDEF>USD
<BANKACCTFROM><BANKID>021000021<ACCTID>12345678<ACCTTYPE>CHECKING</BANKACCTFROM>
<BANKTRANLIST>
<DTSTART>20260101<DTEND>20260131
<STMTTRN>
<TRNTYPE>DEBIT
<DTPOSTED>20260105120000[-5:EST]
<DTUSER>20260103
<TRNAMT>-1234.56
<FITID>F-1
<CHECKNUM>1001
<NAME>Tools &amp; More
<MEMO>
</STMTTRN>
<STMTTRN>
<TRNTYPE>CREDIT
<DTPOSTED>20260106235959.123[-8:PST]
<DTAVAIL>20260108
<TRNAMT>+500
<FITID>F-2
<REFNUM>R7
<PAYEE><NAME>Caf\xe9 GmbH<ADDR1>Way 1<CITY>Town<STATE>NY<POSTALCODE>1<PHONE>1</PAYEE>
<MEMO>Invoice 7 &lt;paid&gt; &#233;
</STMTTRN>
</BANKTRANLIST>
<LEDGERBAL><BALAMT>1000.00<DTASOF>20260131</LEDGERBAL>
<AVAILBAL><BALAMT>900.00<DTASOF>20260131</AVAILBAL>
</STMTRS></STMTTRNRS></BANKMSGSRSV1>
</OFX>
"""
XML = """<?xml version="1.0" encoding="UTF-8" standalone="no"?>
<?OFX OFXHEADER="200" VERSION="220" SECURITY="NONE" OLDFILEUID="NONE" NEWFILEUID="NONE"?>
<OFX>
 <BANKMSGSRSV1><STMTTRNRS><STMTRS>
  <CURDEF>EUR</CURDEF>
  <BANKACCTFROM><BANKID>COBADEFFXXX</BANKID><ACCTID>DE89 3704 0044 0532 0130 00</ACCTID>
   <ACCTTYPE>CHECKING</ACCTTYPE></BANKACCTFROM>
  <!-- <STMTTRN> is not one here -->
  <BANKTRANLIST><DTSTART>20260101</DTSTART><DTEND>20260131</DTEND>
   <STMTTRN><TRNTYPE>XFER</TRNTYPE><DTPOSTED>20260110</DTPOSTED><TRNAMT>-12,50</TRNAMT>
    <FITID>A1</FITID><NAME>Müller</NAME><BANKACCTTO><BANKID>1</BANKID>
    <ACCTID>DE02120300000000202051</ACCTID><ACCTTYPE>CHECKING</ACCTTYPE></BANKACCTTO>
    <MEMO><![CDATA[Rent <January> & heat]]></MEMO>
    <ORIGCURRENCY><CURRATE>0.92</CURRATE><CURSYM>USD</CURSYM></ORIGCURRENCY></STMTTRN>
  </BANKTRANLIST>
  <BANKTRANLISTP><STMTTRNP><NAME>Later</NAME></STMTTRNP></BANKTRANLISTP>
  <LEDGERBAL><BALAMT>1.234,50</BALAMT><DTASOF>20260131</DTASOF></LEDGERBAL>
 </STMTRS></STMTTRNRS></BANKMSGSRSV1>
 <CREDITCARDMSGSRSV1><CCSTMTTRNRS><CCSTMTRS>
  <CURDEF>EUR</CURDEF><CCACCTFROM><ACCTID>4111XXXXXXXX1111</ACCTID></CCACCTFROM>
  <BANKTRANLIST><DTSTART>20260101</DTSTART><DTEND>20260131</DTEND>
   <STMTTRN><TRNTYPE>POS</TRNTYPE><DTPOSTED>20260112</DTPOSTED><TRNAMT>-3.10</TRNAMT>
    <FITID>B1</FITID><NAME>Bakery</NAME><MEMO/>
    <CURRENCY><CURRATE>0.9</CURRATE><CURSYM>CHF</CURSYM></CURRENCY></STMTTRN>
  </BANKTRANLIST>
  <LEDGERBAL><BALAMT>-3.10</BALAMT><DTASOF>20260131</DTASOF></LEDGERBAL>
 </CCSTMTRS></CCSTMTTRNRS></CREDITCARDMSGSRSV1>
 <INVSTMTMSGSRSV1><INVSTMTTRNRS><STMTTRN></STMTTRN></INVSTMTTRNRS></INVSTMTMSGSRSV1>
</OFX>
"""
SHAPE = (
    "<OFX><BANKMSGSRSV1><STMTTRNRS><STMTRS><CURDEF>EUR<BANKACCTFROM><ACCTID>7</BANKACCTFROM>"
    "<BANKTRANLIST>{lines}</BANKTRANLIST></STMTRS></STMTTRNRS></BANKMSGSRSV1></OFX>"
)


def events(content: str | bytes, **options: Any) -> list[dict]:
    data = content.encode() if isinstance(content, str) else content
    return list(ofx.read(io.BufferedReader(io.BytesIO(data)), data[: 1 << 18], options))


def parts(found: list[dict]) -> tuple[list[dict], list[dict], list[dict]]:
    headers = [each for each in found if each.get("event") == "header"]
    totals = [each for each in found if each.get("event") == "totals"]
    return headers, [each for each in found if "event" not in each], totals


def codes(totals: dict) -> set[str]:
    return {each["code"] for each in totals["warnings"]}


def test_a_bank_statement_with_open_tags_in_windows_encoding() -> None:
    (header,), (paid, got), (totals,) = parts(events(SGML.encode("cp1252")))
    assert header["format"] == "OFX"
    assert (header["account_iban"], header["account_number"]) == ("", "12345678")
    assert header["currency_code"] == "USD"
    assert (header["from_date"], header["to_date"]) == ("2026-01-01", "2026-01-31")
    assert (header["opening_balance"], header["closing_balance"]) == (None, None)
    assert (paid["booking_date"], paid["value_date"]) == ("2026-01-05", "2026-01-05")
    assert (paid["amount"], paid["bank_reference"], paid["type"]) == ("-1234.56", "F-1", "DEBIT")
    assert paid["counterparty_name"] == "Tools & More"
    assert paid["remittance_text"] == "Check 1001"
    assert (paid["line"], paid["account_iban"]) == (20, "12345678")
    assert (got["booking_date"], got["value_date"]) == ("2026-01-06", "2026-01-08")
    assert got["counterparty_name"] == "Café GmbH"
    assert got["remittance_text"] == "Invoice 7 <paid> é Reference R7"
    assert len(got["fingerprint"]) == 32
    assert (totals["transaction_count"], totals["total"]) == (2, "-734.56")
    assert (totals["opening_balance"], totals["closing_balance"]) == (None, "1000.00")
    assert totals["adds_up"] is None


def test_utf_8_is_seen_although_the_header_says_otherwise() -> None:
    _, (_, got), _ = parts(events(SGML.encode()))
    assert got["counterparty_name"] == "Café GmbH"


def test_a_whole_file_in_one_line_with_line_ends_of_any_kind() -> None:
    expected = [line["fingerprint"] for line in parts(events(SGML.encode()))[1]]
    for end in ("", "\r\n", "\r"):
        content = SGML.replace("\n", end).encode()
        assert [line["fingerprint"] for line in parts(events(content))[1]] == expected


def test_xml_of_two_accounts_with_comments_and_unparsed_text() -> None:
    (bank, card), (rent, bread), (first, second) = parts(events(XML))
    assert bank["account_iban"] == "DE89370400440532013000"
    assert bank["bank_bic"] == "COBADEFFXXX"
    assert (card["account_iban"], card["account_number"]) == ("", "4111XXXXXXXX1111")
    assert (rent["amount"], rent["currency_code"]) == ("-12.50", "EUR")
    assert rent["counterparty_iban"] == "DE02120300000000202051"
    assert (rent["counterparty_name"], rent["type"]) == ("Müller", "XFER")
    assert rent["remittance_text"] == "Rent <January> & heat"
    assert (rent["original_currency_code"], rent["exchange_rate"]) == ("USD", "0.92")
    assert (bread["amount"], bread["currency_code"]) == ("-3.10", "CHF")
    assert bread["account_iban"] == "4111XXXXXXXX1111"
    assert (first["closing_balance"], second["closing_balance"]) == ("1234.50", "-3.10")
    assert codes(first) == {"PENDING"}
    assert codes(second) == {"OTHER_CURRENCY", "LEFT_OUT"}


def test_the_account_asked_for_stands_beside_the_number_in_the_file() -> None:
    (header,), lines, _ = parts(events(SGML.encode(), account_iban="DE89370400440532013000"))
    assert header["account_iban"] == "DE89370400440532013000"
    assert header["account_number"] == "12345678"
    assert {each["account_iban"] for each in lines} == {"DE89370400440532013000"}


def test_an_account_without_lines_has_a_header_and_totals() -> None:
    found = parts(events(SHAPE.format(lines="")))
    assert [len(each) for each in found] == [1, 0, 1]
    assert found[2][0]["closing_balance"] is None


def test_it_is_known_by_its_beginning() -> None:
    assert ofx.looks_like(SGML.encode())
    assert ofx.looks_like(XML.encode())
    assert ofx.looks_like(XML.encode("utf-16"))
    assert ofx.looks_like(b"<OFX><SIGNONMSGSRSV1>")
    assert not ofx.looks_like(b'<?xml version="1.0"?><Document/>')
    assert not ofx.looks_like(b"Date;Amount\n")


@pytest.mark.parametrize(
    ("old", "new", "line", "field"),
    [
        ("<DTPOSTED>20260105120000[-5:EST]\n", "", 20, "STMTTRN/DTPOSTED"),
        ("20260105120000[-5:EST]", "20260230", 22, "STMTTRN/DTPOSTED"),
        ("20260105120000[-5:EST]", "00010101", 22, "STMTTRN/DTPOSTED"),
        ("<TRNAMT>+500\n", "", 30, "STMTTRN/TRNAMT"),
        ("+500", "1e99", 34, "STMTTRN/TRNAMT"),
        ("+500", "9" * 40, 34, "STMTTRN/TRNAMT"),
        ("+500", "1,2,3", 34, "STMTTRN/TRNAMT"),
        ("<CURDEF>USD\n", "", 19, "CURDEF"),
        ("<DTSTART>20260101", "<DTSTART>soon", 19, "BANKTRANLIST/DTSTART"),
        ("<BALAMT>1000.00", "<BALAMT>much", 41, "LEDGERBAL/BALAMT"),
        ("</STMTTRN>\n<STMTTRN>", "<STMTTRN>", 29, "STMTTRN"),
        ("</BANKTRANLIST>\n", "", 40, "LEDGERBAL"),
        ("<BANKTRANLIST>\n", "", 19, "STMTTRN"),
        ("</STMTRS>", "</OFX>", 43, "OFX"),
        ("</OFX>\n", "", 43, "OFX"),
        ("<MEMO>\n", f"<MEMO>{'x' * 10_001}\n", 28, "MEMO"),
        ("<OFX>", '<!DOCTYPE OFX [<!ENTITY a "b">]><OFX>', 11, ""),
    ],
)
def test_a_malformed_file_names_line_and_field(old: str, new: str, line: int, field: str) -> None:
    assert old in SGML
    with pytest.raises(Malformed) as error:
        events(SGML.replace(old, new, 1).encode("cp1252"))
    assert (error.value.line, error.value.field) == (line, field)


@pytest.mark.parametrize("content", ["", "<OFX></OFX>", "OFXHEADER:100\n", "<a><b/></a>"])
def test_a_file_without_a_statement_is_refused(content: str) -> None:
    with pytest.raises(Malformed, match="No bank or credit card"):
        events(content)


def test_every_truncated_file_is_refused() -> None:
    whole = SGML.rstrip().encode("cp1252")
    for end in range(len(whole)):
        with pytest.raises(Malformed):
            events(whole[:end])


def test_undecodable_bytes_are_refused() -> None:
    with pytest.raises(Malformed) as error:
        events(SGML.replace("Tools", "T\x81ols").encode("latin-1"))
    assert error.value.field == "encoding"


def test_an_endless_value_is_refused_before_it_is_held() -> None:
    class Endless(io.RawIOBase):
        given = 0

        def readable(self) -> bool:
            return True

        def readinto(self, target: Any) -> int:
            self.given += len(target)
            assert self.given < 1 << 20
            target[:] = b"x" * len(target)
            return len(target)

    with pytest.raises(Malformed, match="longer than"):
        list(ofx.read(io.BufferedReader(Endless()), b"<OFX>", {}))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.decimals(-(10**9), 10**9, places=2), max_size=400), st.sampled_from(".,"))
def test_count_and_sums_of_generated_files_come_back(amounts: list[Decimal], mark: str) -> None:
    lines = "".join(
        f"<STMTTRN><TRNTYPE>OTHER<DTPOSTED>20260101<TRNAMT>{f'{each:f}'.replace('.', mark)}"
        f"<FITID>{n}<MEMO>{'text ' * 40}</STMTTRN>"
        for n, each in enumerate(amounts)
    )
    _, found, (totals,) = parts(events(SHAPE.format(lines=lines)))
    assert [Decimal(each["amount"]) for each in found] == amounts
    assert (totals["transaction_count"], Decimal(totals["total"])) == (len(amounts), sum(amounts))


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_damaged_files_give_events_or_a_clear_fault(data: st.DataObject) -> None:
    content = bytearray(data.draw(st.sampled_from((SGML, XML))).encode())
    bits = st.one_of(st.binary(max_size=5), st.sampled_from(
        (b"<", b">", b"</", b"<!--", b"<![CDATA[", b"&#0;", b"&#xD800;", b"<STMTTRN>", b"</OFX>")
    ))  # fmt: skip
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, len(content)))
        content[place : place + data.draw(st.integers(0, 20))] = data.draw(bits)
    with suppress(Malformed):
        events(bytes(content))
