import gzip
import os
import pickle
from collections import Counter
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.recon.statements import (
    Malformed,
    read_lines,
    read_statement,
    repeated_lines,
    repeats,
)
from services.recon.statements.encodings import find_encoding
from services.recon.statements.lines import COLUMNS
from services.recon.statements.values import date_style, decimal_mark, read_amount, read_date

SPARKASSE = (
    '\ufeff"Auftragskonto";"Buchungstag";"Valutadatum";"Buchungstext";"Verwendungszweck";'
    '"Kundenreferenz (End-to-End)";"Beguenstigter/Zahlungspflichtiger";"Kontonummer/IBAN";'
    '"Betrag";"Waehrung";"Info"\n'
    '"DE89370400440532013000";"30.06.25";"30.06.25";"GUTSCHRIFT";"RE20250012";"E2E-1";'
    '"Müller GmbH";"DE02120300000000202051";"1.234,56";"EUR";"Umsatz gebucht"\n'
    '"DE89370400440532013000";"29.06.25";"29.06.25";"LASTSCHRIFT";"Miete";"";'
    '"Immo KG";"DE02100500000054540402";"-800,00";"EUR";"Umsatz gebucht"\n'
)  # fmt: skip
ING_GERMANY = (
    "Umsatzanzeige\r\nIBAN;DE89 3704 0044 0532 0130 00\r\n\r\n"
    "Buchung;Valuta;Auftraggeber/Empfänger;Buchungstext;Verwendungszweck;Saldo;Währung;Betrag;Währung\r\n"
    "05.03.2025;05.03.2025;Straße AG;Gutschrift;RE 7;1.100,00;EUR;100,00;EUR\r\n"
    "04.03.2025;04.03.2025;Bank;Entgelt;;1.000,00;EUR;-5,00;EUR\r\n"
)
ING_NETHERLANDS = (
    '"Datum","Naam / Omschrijving","Rekening","Tegenrekening","Code","Af Bij","Bedrag (EUR)",'
    '"Mutatiesoort","Mededelingen"\n'
    '"20250115","ACME BV","NL91ABNA0417164300","NL02RABO0123456789","GT","Bij","1250,00",'
    '"Online bankieren","Factuur 2025-0012"\n'
    '"20250114","Shop","NL91ABNA0417164300","","BA","Af","12,99","Betaalautomaat","Pas 1"\n'
)
N26 = (
    "Date,Payee,Account number,Transaction type,Payment reference,Amount (EUR),"
    "Amount (Foreign Currency),Type Foreign Currency,Exchange Rate\n"
    "2025-01-02,Foo Ltd,DE02120300000000202051,Income,INV-1,12.00,,,\n"
    "2025-01-03,Bar,,MasterCard Payment,,-3.50,-4.0,USD,0.87\n"
)
BRITISH = (
    "Date,Description,Money Out,Money In,Balance\n"
    "03/04/2025,CARD SHOP,12.50,,987.50\n01/04/2025,OPENING,,1000.00,1000.00\n"
)
REVOLUT = (
    "Type,Product,Started Date,Completed Date,Description,Amount,Fee,Currency,State,Balance\n"
    "TRANSFER,Current,2025-01-01 10:00:00,2025-01-01 10:00:01,A,100.00,0.00,EUR,COMPLETED,100.00\n"
    "ATM,Current,2025-01-02 10:00:00,2025-01-02 10:00:01,B,-20.00,1.50,EUR,COMPLETED,78.50\n"
    "CARD,Current,2025-01-03 10:00:00,,C,-9.00,0.00,EUR,PENDING,\n"
)
UNTITLED = "03/25/2025\t$-12.50\tSHOP A\n03/26/2025\t$1,200.00\tPAY 77\n"
SWISS = (
    "Kontonummer:;CH9300762011623852957\nBuchungsdatum;Avisierungstext;Gutschrift in CHF;"
    "Lastschrift in CHF;Valuta;Saldo in CHF\n"
    "31.01.2025;\"ZAHLUNG; Muster\";1'200.50;;31.01.2025;2'200.50\n"
    "30.01.2025;EINKAUF;;-50.00;30.01.2025;1'000.00\n"
)  # fmt: skip
FRENCH = (
    "Date comptable;Libellé opération;Débit;Crédit\n"
    "12/05/2025;VIR SARL DUPONT FAC 2025/18;;1 250,00\n13/05/2025;PRLV EDF;-75,30;\n"
)


def read(source: bytes | str, **options: object) -> tuple[dict, list[dict], dict]:
    """Header, transactions and totals of a file with one statement."""
    content = source.encode() if isinstance(source, str) else source
    header, *batches, totals = read_statement(content, options)
    return header, [line for batch in batches for line in batch["transactions"]], totals


def amounts(lines: list[dict]) -> list[str]:
    return [line["amount"] for line in lines]


def test_a_german_savings_banks_csv() -> None:
    header, lines, _ = read(SPARKASSE)
    assert header["account_iban"] == "DE89370400440532013000"
    assert header["currency_code"] == "EUR"
    assert header["columns"]["remittance_text"] == [5]
    first = lines[0]
    assert first["amount"] == "1234.56"
    assert first["booking_date"] == "2025-06-30"
    assert first["counterparty_name"] == "Müller GmbH"
    assert first["counterparty_iban"] == "DE02120300000000202051"
    assert first["end_to_end_id"] == "E2E-1"
    assert first["line"] == 2


def test_a_csv_in_windows_encoding_with_a_preamble_and_a_running_balance() -> None:
    header, lines, totals = read(ING_GERMANY.encode("cp1252"))
    assert header["encoding"] == "cp1252"
    assert header["account_iban"] == "DE89370400440532013000"
    assert lines[0]["counterparty_name"] == "Straße AG"
    assert lines[0]["line"] == 5
    assert (totals["opening_balance"], totals["closing_balance"]) == ("1005.00", "1100.00")
    assert totals["adds_up"] is True


def test_a_dutch_csv_with_a_column_for_the_side() -> None:
    header, lines, _ = read(ING_NETHERLANDS)
    assert header["account_iban"] == "NL91ABNA0417164300"
    assert amounts(lines) == ["1250.00", "-12.99"]
    assert lines[0]["counterparty_name"] == "ACME BV"


def test_foreign_amounts_keep_their_structure() -> None:
    _, lines, _ = read(N26)
    assert lines[1]["amount"] == "-3.50"
    assert lines[1]["currency_code"] == "EUR"
    assert lines[1]["original_amount"] == "-4.0"
    assert lines[1]["original_currency_code"] == "USD"
    assert lines[0]["counterparty_iban"] == "DE02120300000000202051"


def test_debit_and_credit_columns_and_the_newest_line_first() -> None:
    header, lines, totals = read(BRITISH)
    assert header["date_style"] == "DMY"
    assert amounts(lines) == ["-12.50", "1000.00"]
    assert (totals["opening_balance"], totals["closing_balance"]) == ("0.00", "987.50")


def test_fees_beside_the_amount_are_taken_in_where_the_balance_says_so() -> None:
    _, lines, totals = read(REVOLUT)
    assert amounts(lines) == ["100.00", "-21.50"]
    assert lines[1]["charges"] == "1.50"
    assert [warning["code"] for warning in totals["warnings"]] == ["PENDING"]


def test_a_csv_without_titles_is_read_by_its_values() -> None:
    header, lines, _ = read(UNTITLED)
    assert header["date_style"] == "MDY"
    assert amounts(lines) == ["-12.50", "1200.00"]
    assert lines[1]["remittance_text"] == "PAY 77"


def test_swiss_amounts_and_a_delimiter_within_quotes() -> None:
    header, lines, totals = read(SWISS)
    assert header["currency_code"] == "CHF"
    assert header["account_iban"] == "CH9300762011623852957"
    assert amounts(lines) == ["1200.50", "-50.00"]
    assert lines[0]["remittance_text"] == "ZAHLUNG; Muster"
    assert totals["opening_balance"] == "1050.00"


def test_french_titles_and_spaces_between_thousands() -> None:
    _, lines, _ = read(FRENCH)
    assert amounts(lines) == ["1250.00", "-75.30"]


def test_utf_16_is_read() -> None:
    _, lines, _ = read(FRENCH.encode("utf-16"))
    assert amounts(lines) == ["1250.00", "-75.30"]


def test_an_explicit_mapping_leads() -> None:
    text = "a;b;c;d\n01.02.2025;5,00;first;x\n02.02.2025;6,00;second;y\n"
    header, lines, _ = read(
        text,
        columns={"booking_date": 1, "amount": "b", "remittance_text": ["d", 3]},
        currency_code="EUR",
    )
    assert header["columns"]["remittance_text"] == [4, 3]
    assert lines[0]["remittance_text"] == "x first"
    assert lines[0]["currency_code"] == "EUR"


def test_a_mapping_to_a_missing_column_is_refused() -> None:
    with pytest.raises(Malformed, match="'nope' is not in this file"):
        read(FRENCH, columns={"booking_date": "nope", "amount": 2})


def test_every_finding_is_explained() -> None:
    header, _, _ = read(SPARKASSE)
    said = " ".join(header["explanation"])
    assert "Column 9 “Betrag” is amount" in said
    assert "Dates are DMY" in said
    assert "The decimal mark is ','" in said


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ("31.02.2025;Foo;5,00", "booking_date"),
        ("gestern;Foo;5,00", "booking_date"),
        ("01.03.2025;Foo;viel", "amount"),
        ("01.03.2025;Foo;", "amount"),
    ],
)
def test_a_malformed_line_is_named(line: str, field: str) -> None:
    good = "27.02.2025;Foo;5,00\n28.02.2025;Bar;6,00\n"
    with pytest.raises(Malformed) as caught:
        read(f"Buchungstag;Verwendungszweck;Betrag\n{good}{line}\n{good}")
    assert (caught.value.line, caught.value.field) == (4, field)


def test_a_line_that_does_not_belong_between_others_is_refused_and_below_them_left_out() -> None:
    head = "Buchungstag;Verwendungszweck;Betrag\n27.02.2025;Foo;5,00\n28.02.2025;Bar;6,00\n"
    with pytest.raises(Malformed) as caught:
        read(f"{head}Zwischensumme\n01.03.2025;Foo;5,00\n")
    assert caught.value.line == 4
    _, lines, totals = read(f"{head}Summe\n")
    assert len(lines) == 2
    assert totals["warnings"][0]["code"] == "FOOTER"


def test_a_gap_in_the_running_balance_is_reported_with_its_line() -> None:
    rows = [f"{n:02d}.03.2025;x;10,00;{n * 10 + (5 if n > 15 else 0)},00" for n in range(1, 29)]
    _, _, totals = read("Datum;Text;Betrag;Saldo\n" + "\n".join(rows))
    gap = next(w for w in totals["warnings"] if w["code"] == "BALANCE_GAP")
    assert gap["line"] == 17
    assert totals["adds_up"] is False
    assert totals["difference"] == "5.00"


def test_what_is_no_statement_is_refused() -> None:
    for content in (b"", b"\n\n", b"hello world\n", b"a;b;c\n1;2;3\n", b"\x89PNG\r\n\x1a\n\0\0"):
        with pytest.raises(Malformed):
            read(content)


def test_equal_lines_of_a_day_stay_and_an_overlap_is_known_again() -> None:
    head = "Buchungstag;Verwendungszweck;Betrag\n"
    one = "27.02.2025;Parken;-2,00\n27.02.2025;Parken;-2,00\n"
    two = "28.02.2025;Foo;5,00\n"
    _, first, _ = read(head + one + two)
    _, overlap, _ = read(head + "26.02.2025;Bar;1,00\n" + one)
    prints = [line["fingerprint"] for line in first]
    assert len(set(prints)) == 3
    assert [line["fingerprint"] for line in overlap][1:] == prints[:2]


def test_a_second_account_in_one_file_is_reported() -> None:
    other = SPARKASSE.splitlines()[2].replace("DE89370400440532013000", "DE02120300000000202051")
    _, lines, totals = read(f"{SPARKASSE}{other}\n")
    assert lines[2]["account_iban"] == "DE02120300000000202051"
    assert totals["warnings"][0]["code"] == "SEVERAL_ACCOUNTS"


def test_the_fingerprint_differs_between_accounts() -> None:
    some = {
        read(FRENCH, account_iban=iban)[1][0]["fingerprint"]
        for iban in ("DE89370400440532013000", "DE02120300000000202051")
    }
    assert len(some) == 2


CAMT = """<?xml version="1.0" encoding="UTF-8"?>
<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.{version}"><BkToCstmrStmt>
<GrpHdr><MsgId>M1</MsgId><CreDtTm>2025-03-06T01:00:00</CreDtTm></GrpHdr>
<Stmt><Id>S-64</Id><ElctrncSeqNb>64</ElctrncSeqNb><CreDtTm>2025-03-06T01:00:00</CreDtTm>
<Acct><Id><IBAN>DE89370400440532013000</IBAN></Id><Ccy>EUR</Ccy></Acct>
<Bal><Tp><CdOrPrtry><Cd>OPBD</Cd></CdOrPrtry></Tp><Amt Ccy="EUR">1000.00</Amt>
<CdtDbtInd>CRDT</CdtDbtInd><Dt><Dt>2025-03-04</Dt></Dt></Bal>
<Bal><Tp><CdOrPrtry><Cd>CLBD</Cd></CdOrPrtry></Tp><Amt Ccy="EUR">{closing}</Amt>
<CdtDbtInd>CRDT</CdtDbtInd><Dt><Dt>2025-03-05</Dt></Dt></Bal>
<Ntry><Amt Ccy="EUR">300.50</Amt><CdtDbtInd>CRDT</CdtDbtInd>{booked}
<BookgDt><Dt>2025-03-05</Dt></BookgDt><ValDt><Dt>2025-03-06</Dt></ValDt>
<AcctSvcrRef>REF1</AcctSvcrRef><BkTxCd><Domn><Cd>PMNT</Cd><Fmly><Cd>RCDT</Cd>
<SubFmlyCd>ESCT</SubFmlyCd></Fmly></Domn></BkTxCd><NtryDtls><TxDtls>
<Refs><EndToEndId>E2E-9</EndToEndId></Refs><Amt Ccy="EUR">300.50</Amt>
<CdtDbtInd>CRDT</CdtDbtInd><AmtDtls><InstdAmt><Amt Ccy="USD">330.00</Amt></InstdAmt></AmtDtls>
<RltdPties><Dbtr>{name}</Dbtr><DbtrAcct><Id><IBAN>DE02120300000000202051</IBAN></Id></DbtrAcct>
</RltdPties><RmtInf><Ustrd>RE 2025</Ustrd><Ustrd>0012</Ustrd></RmtInf></TxDtls></NtryDtls></Ntry>
<Ntry><Amt Ccy="EUR">50.00</Amt><CdtDbtInd>DBIT</CdtDbtInd>{booked}
<BookgDt><DtTm>2025-03-05T10:00:00+01:00</DtTm></BookgDt><NtryDtls><Btch><NbOfTxs>2</NbOfTxs></Btch>
<TxDtls><Amt Ccy="EUR">20.00</Amt></TxDtls><TxDtls><Amt Ccy="EUR">30.00</Amt></TxDtls></NtryDtls>
<AddtlNtryInf>Sammler</AddtlNtryInf></Ntry>
</Stmt></BkToCstmrStmt></Document>"""
OLD = {"version": "02", "booked": "<Sts>BOOK</Sts>", "name": "<Nm>Müller</Nm>"}
NEW = {
    "version": "08",
    "booked": "<Sts><Cd>BOOK</Cd></Sts>",
    "name": "<Pty><Nm>Müller</Nm></Pty>",
}


@pytest.mark.parametrize("shape", [OLD, NEW])
def test_camt_of_old_and_new_versions(shape: dict[str, str]) -> None:
    header, lines, totals = read(CAMT.format(**shape, closing="1250.50"))
    assert header["format"] == f"camt.053.001.{shape['version']}"
    assert header["account_iban"] == "DE89370400440532013000"
    assert (header["opening_balance"], header["closing_balance"]) == ("1000.00", "1250.50")
    assert header["sequence_number"] == "64"
    first, batch = lines
    assert first["counterparty_name"] == "Müller"
    assert first["remittance_text"] == "RE 2025 0012"
    assert (first["booking_date"], first["value_date"]) == ("2025-03-05", "2025-03-06")
    assert (first["end_to_end_id"], first["type"]) == ("E2E-9", "PMNT-RCDT-ESCT")
    assert (first["original_amount"], first["original_currency_code"]) == ("330.00", "USD")
    assert batch["amount"] == "-50.00"
    assert [each["amount"] for each in batch["details"]] == ["-20.00", "-30.00"]
    assert totals["adds_up"] is True
    assert totals["warnings"] == []


def test_a_camt_balance_that_does_not_add_up_is_reported() -> None:
    _, _, totals = read(CAMT.format(**NEW, closing="1251.50"))
    assert totals["adds_up"] is False
    assert totals["difference"] == "1.00"
    assert totals["warnings"][0]["code"] == "BALANCE_DIFFERENCE"


@pytest.mark.parametrize(
    ("container", "statement", "number"),
    [("BkToCstmrAcctRpt", "Rpt", "052"), ("BkToCstmrDbtCdtNtfctn", "Ntfctn", "054")],
)
def test_camt_052_and_054_are_read(container: str, statement: str, number: str) -> None:
    text = CAMT.format(**NEW, closing="1250.50").replace("camt.053", f"camt.{number}")
    text = text.replace("BkToCstmrStmt", container).replace("Stmt>", f"{statement}>")
    header, lines, _ = read(text)
    assert header["format"] == f"camt.{number}.001.08"
    assert len(lines) == 2


def test_a_document_type_is_refused() -> None:
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaa">]>'
    text = CAMT.format(**NEW, closing="1250.50").replace("<Document", f"{bomb}<Document", 1)
    for content in (text.encode(), text.replace("UTF-8", "UTF-16").encode("utf-16")):
        with pytest.raises(Malformed, match="document type"):
            read(content)


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("300.50</Amt><CdtDbtInd>CRDT", "3x0</Amt><CdtDbtInd>CRDT", "Ntry/Amt"),
        ("300.50</Amt><CdtDbtInd>CRDT", "300.50</Amt><CdtDbtInd>OOPS", "Ntry/CdtDbtInd"),
        ("<BookgDt><Dt>2025-03-05", "<BookgDt><Dt>2025-02-30", "Ntry/BookgDt"),
        ("</Stmt>", "</Smt>", "XML"),
    ],
)
def test_malformed_camt_names_line_and_field(old: str, new: str, field: str) -> None:
    text = CAMT.format(**NEW, closing="1250.50").replace(old, new)
    with pytest.raises(Malformed) as caught:
        read(text)
    assert caught.value.field == field
    assert caught.value.line > 1


def test_other_xml_is_refused() -> None:
    with pytest.raises(Malformed, match="CAMT"):
        read("<html><body/></html>")


def test_a_path_and_a_descriptor_are_read_alike(tmp_path: Path) -> None:
    path = tmp_path / "statement.csv"
    path.write_text(FRENCH)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        assert list(read_statement(descriptor)) == list(read_statement(str(path)))
    finally:
        os.close(descriptor)


def test_events_are_json_and_batches_are_bounded() -> None:
    rows = "".join(f"01.03.2025;Zeile {n};{n},00\n" for n in range(1, 26))
    events = list(read_statement(f"Datum;Text;Betrag\n{rows}".encode(), {"batch_size": 10}))
    assert [len(e["transactions"]) for e in events[1:-1]] == [10, 10, 5]
    assert orjson.loads(orjson.dumps(events)) == events


def test_a_file_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "big.csv"
    path.write_text(FRENCH)
    with pytest.raises(Malformed, match="at most"):
        list(read_statement(str(path), {"largest_bytes": 10}))


def test_the_fault_survives_pickling() -> None:
    fault = pickle.loads(pickle.dumps(Malformed(3, "amount", "No.")))
    assert (fault.line, fault.field, fault.message) == (3, "amount", "No.")


@pytest.mark.parametrize(
    ("text", "mark", "value"),
    [
        ("1.234,56", ",", "1234.56"), ("1,234.56", ".", "1234.56"), ("1 234,56", ",", "1234.56"),
        ("1'234.50", ".", "1234.50"), ("-12", ".", "-12"), ("12,00-", ",", "-12.00"),
        ("(12.00)", ".", "-12.00"), ("\u221212,5 €", ",", "-12.5"), ("EUR 12.00", ".", "12.00"),
        ("12.00 DR", ".", "-12.00"), ("12.00CR", ".", "12.00"), ("12,00 S", ",", "-12.00"),
        ("$-1,200.00", ".", "-1200.00"), ("1,23,456.78", ".", "123456.78"), (".50", ".", "0.50"),
        ("+7", ",", "7"), ("1\u00a0000,00\u00a0zł", ",", "1000.00"),
    ],
)  # fmt: skip
def test_amounts_as_banks_write_them(text: str, mark: str, value: str) -> None:
    assert read_amount(text, mark) == Decimal(value)


@pytest.mark.parametrize("text", ["", "abc", "1.2.3", "12,34,5", "1e5", "NaN", "--5", "PAY 77"])
def test_what_is_no_amount(text: str) -> None:
    assert read_amount(text, ".") is None


@pytest.mark.parametrize(
    ("text", "style"),
    [
        ("05.03.2025", "DMY"), ("5/3/25", "DMY"), ("03/05/2025", "MDY"), ("2025-03-05", "YMD"),
        ("20250305", "YMD"), ("05 Mar 2025", "DMY"), ("5. März 2025", "DMY"),
        ("Mar 5, 2025", "MDY"),
        ("2025-03-05 10:11:12", "YMD"), ("2025-03-05T10:11:12+01:00", "YMD"), ("05-MAR-25", "DMY"),
    ],
)  # fmt: skip
def test_dates_as_banks_write_them(text: str, style: str) -> None:
    found = read_date(text, style)
    assert found is not None
    assert found.isoformat() == "2025-03-05"


def test_the_order_of_day_and_month_is_found_by_what_is_possible_and_by_time() -> None:
    assert date_style(["03/25/2025", "03/26/2025"], american=False)[0] == "MDY"
    assert date_style(["25/03/2025", "01/04/2025"], american=True)[0] == "DMY"
    assert date_style(["01/02/2025", "02/02/2025", "01/03/2025"], american=True)[0] == "DMY"


def test_the_decimal_mark_is_found_by_votes() -> None:
    assert decimal_mark(["1.000", "2.500,00"]) == ","
    assert decimal_mark(["1,000", "12.5"]) == "."


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Überweisung für Müller, Straße", "cp1252"), ("Überweisung für Müller, Straße", "cp850"),
        ("Płatność za usługę, Łódź, źródło", "cp1250"), ("Платіж за послуги зв'язку", "cp1251"),
    ],
)  # fmt: skip
def test_encodings_are_told_apart(text: str, encoding: str) -> None:
    content = (text + "\n").encode(encoding) * 5
    assert content.decode(find_encoding(content)[0]).startswith(text)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_give_a_statement_or_a_clear_fault(content: bytes) -> None:
    with suppress(Malformed):
        list(read_statement(content))


@pytest.mark.parametrize("mark", ["{", "}"])
def test_a_brace_in_a_namespace_is_no_statement(mark: str) -> None:
    camt = CAMT.format(**NEW, closing="1250.50")
    camt = camt.replace("camt.053.001.08", f"camt.053.001.08{mark}", 1)
    with pytest.raises(Malformed, match="not a CAMT"):
        list(read_statement(camt.encode()))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damaged_files_give_a_statement_or_a_clear_fault(data: st.DataObject) -> None:
    sources = (SPARKASSE, ING_GERMANY, BRITISH, CAMT.format(**NEW, closing="1250.50"))
    content = bytearray(data.draw(st.sampled_from(sources)).encode())
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place : place + data.draw(st.integers(0, 20))] = data.draw(st.binary(max_size=5))
        if not content:
            return
    with suppress(Malformed):
        list(read_statement(bytes(content)))


def test_compressed_bytes_are_refused() -> None:
    with pytest.raises(Malformed):
        read(gzip.compress(FRENCH.encode()))


def test_a_column_of_names_says_neither_debit_nor_credit_nor_the_own_account() -> None:
    titles = "Booking date;Payee;IBAN;Purpose;Amount;Currency\n"
    line = "{0:02d}.03.2026;A;DE02701500000000594937;line {0};{0},00;EUR\n"
    text = titles + "".join(line.format(n) for n in range(1, 21))
    _, lines, _ = read(text, account_iban="DE02120300000000202051")
    assert amounts(lines)[:2] == ["1.00", "2.00"]
    assert {each["counterparty_name"] for each in lines} == {"A"}
    assert {each["counterparty_iban"] for each in lines} == {"DE02701500000000594937"}
    _, lines, _ = read(text, account_iban="DE02701500000000594937")
    assert {each["account_iban"] for each in lines} == {"DE02701500000000594937"}


LINES = (
    "Booking date;Account;Payee;IBAN;Purpose;Amount;Currency\n"
    "10.03.2026;DE02120300000000202051;A\x00 \x07B;;Zahlung  \x85 7;1,5;EUR\n"
    "11.03.2026;DE02500105170137075030;C;;x;-2,00;EUR\n"
    "12.03.2026;DE02120300000000202051;D;;y;1500;JPY\n"
)


def test_lines_are_clean_and_of_one_account() -> None:
    first, end = read_lines(LINES.encode(), {"account_iban": "DE02120300000000202051"})
    one, other = [dict(zip(COLUMNS, each, strict=True)) for each in first["lines"]]
    assert (one["counterparty_name"], one["remittance_text"]) == ("A B", "Zahlung 7")
    assert (one["amount"], one["currency_code"]) == ("1.50", "EUR")
    assert (other["amount"], other["currency_code"]) == ("1500", "JPY")
    assert end["end"]["transaction_count"] == 2
    assert any("1 lines of account DE0250010517" in each for each in end["end"]["warnings"])
    with pytest.raises(Malformed, match="not of DE02701500000000594937"):
        list(read_lines(LINES.encode(), {"account_iban": "DE02701500000000594937"}))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ("10.03.2026;A;x;" + "9" * 16 + ";EUR", "Line 2, amount"),
        ("10.03.2026;A;x;1,00;???", "Line 2, currency"),
        ("10.03.2199;A;x;1,00;", "Line 2, currency: It is not said"),
    ],
)
def test_a_line_that_cannot_be_kept_is_refused(wrong: str, says: str) -> None:
    with pytest.raises(Malformed, match=says):
        list(read_lines(f"Booking date;Payee;Purpose;Amount;Currency\n{wrong}\n".encode(), {}))


def line(number: int, text: str = "", **other: str) -> dict:
    given = {
        "number": number, "transaction_id": f"T{number}", "booking_date": "2026-03-10",
        "currency_code": "EUR", "amount": Decimal(5), "counterparty_name": "",
        "counterparty_iban": "", "remittance_text": text, "end_to_end_id": "",
    }  # fmt: skip
    return given | other


IBAN = "DE02500105170137075030"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (line(1, "Re 1"), line(2, "RE-1"), True),
        (line(1, "Re 1"), line(2, "Re 12"), False),
        (line(1, "Rechnung 4711 vom 1.3."), line(2, "SVWZ+Rechnung 4711 vom 1.3. Danke"), True),
        (line(1), line(2), False),  # nothing speaks for it
        (line(1, "Re 1", amount=Decimal(6)), line(2, "Re 1"), False),
        (line(1, "Re 1", booking_date="2026-03-11"), line(2, "Re 1"), False),
        (line(1, "Re 1", end_to_end_id="E1"), line(2, "Re 1", end_to_end_id="E2"), False),
        (line(1, "a", end_to_end_id="E1"), line(2, "b", end_to_end_id="e-1"), True),
        (line(1, "Re 1", end_to_end_id="E1"), line(2, "Re 1"), True),
        (line(1, counterparty_iban=IBAN), line(2, "Re 1", counterparty_iban=IBAN), True),
        (line(1, "Re 1", counterparty_iban="137075030"), line(2, counterparty_iban=IBAN), True),
        (line(1, "Re 1", counterparty_iban="99"), line(2, "Re 1", counterparty_iban=IBAN), False),
        (line(1, counterparty_name="Muster GmbH"), line(2, counterparty_name="MUSTER"), True),
        (line(1, "Re 1", counterparty_name="A"), line(2, "Re 1", counterparty_name="Z"), False),
    ],
)  # fmt: skip
def test_when_two_lines_of_two_formats_are_the_same(one: dict, other: dict, *, same: bool) -> None:
    assert repeated_lines([one], [other]) == ({1: "T2"} if same else {})
    assert repeated_lines([other], [one]) == ({2: "T1"} if same else {})


def test_each_line_is_the_same_as_one_other_at_most_and_the_surest_comes_first() -> None:
    lines = [line(1, "Re 1"), line(2, "Re 1"), line(3, "Re 1", end_to_end_id="E3")]
    others = [line(7, "Re 1", end_to_end_id="E3"), line(8, "Re 1")]
    assert repeated_lines(lines, others) == {3: "T7", 1: "T8"}
    many = [line(n, f"Re {n % 9}") for n in range(500)]
    found = repeated_lines(many, [line(n, f"Re {n % 9}") for n in range(1000, 1450)])
    assert len(found) == len(set(found.values())) == 450


def test_texts_are_read_once_and_compared_so_often_in_all(monkeypatch):
    monkeypatch.setattr(repeats, "COMPARISONS_MAX", 50)
    calls = Counter[str]()

    def counted(name: str, real: Any) -> None:
        def call(*arguments: Any) -> Any:
            calls[name] += 1
            return real(*arguments)

        monkeypatch.setattr(repeats, name, call)

    counted("folded", repeats.folded)
    counted("likeness", repeats.likeness)
    days = {20: "2026-03-10", 5: "2026-03-11", 4: "2026-03-12"}
    lines = [
        line(number, f"Rechnung Nummer {number}", booking_date=day)
        for size, day in days.items()
        for number in range(size * 100, size * 100 + size)
    ]
    cut = [each | {"remittance_text": each["remittance_text"] + " Danke"} for each in lines]
    found = repeated_lines(lines, cut)
    assert sorted(found) == [*range(400, 404), *range(500, 505)]
    assert calls == {"likeness": 25 + 16, "folded": 3 * 2 * len(lines)}


def test_a_fraction_in_groups_is_no_amount():
    assert read_amount("10.0'0", ".") is None
    assert read_amount("1,234.50", ".") == Decimal("1234.50")


def test_another_number_beside_the_wanted_iban_is_another_account():
    account = "DE02120300000000202051"
    own, card = (
        f":20:1\n:25:{name}\n:28C:1\n:60F:C260105EUR0,00\n:61:260106C{n},00NTRFA\n"
        f":62F:C260106EUR{n},00\n"
        for name, n in ((account, 1), ("4711", 2))
    )
    *lines, end = read_lines((own + card).encode(), {"account_iban": account})
    assert [line[2] for each in lines for line in each["lines"]] == ["1.00"]
    assert end["end"]["closing_balance"] == "1.00"
    assert "1 lines of account 4711 were left out." in end["end"]["warnings"]
    with pytest.raises(Malformed, match="several accounts"):
        list(read_lines((card + own).encode(), {"account_iban": account}))
