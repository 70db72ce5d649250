"""MT940 and MT942 as banks write them."""

import io
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.recon.statements import Malformed, read_statement

OWN = {"account_iban": "DE02120300000000202051", "currency_code": "EUR"}

GERMAN = """\
:20:STARTUMSE
:25:12030000/0000202051
:28C:00012/001
:60F:C260105EUR1000,00
:61:2601060106CR487,51NTRFNONREF//260106001
:86:166?00GUTSCHR. UEBERWEISUNG?109310?20EREF+RE-2026-0417?21SVWZ+RE
CHNUNG 2026-0417 VOM ?2205.01.2026 VIELEN DANK?30BYLADEM1001?31DE89
370400440532013000?32NORD HANDEL ?33GMBH
:61:2512310102DR19,90NMSC123//B7
:86:808?00ENTGELT?20KONTOFUEHRUNG 12/2025
:61:260107RD5,00NRTINONREF
:86:RUECKBUCHUNG OHNE STRUKTUR
ZWEITE ZEILE
:62F:C260107EUR1472,61
:64:C260107EUR1472,61
-
"""
SLASHED = """\
{1:F01XXXXNL2AXXXX0000000000}{2:I940XXXXNL2AXN}{4:
:20:940S260107
:25:NL91ABNA0417164300EUR
:28C:7/1
:60F:D260106EUR12,00
:61:2601070107C470,40NTRFEREF//00000000001005
/OCMT/USD512,00/EXCH/1,0884/CHGS/EUR2,50/
:86:/TRCD/00100/EREF/E2E-77/CNTP/NL20INGB0001234567/INGBNL2A/KLANT B.V
./UTRECHT//REMI/USTD//Factuur F2026/0931 en F2026/0932/
:62F:C260107EUR458,40
-}
"""
POLISH = """\
:20:1
:25:/PL61109010140000071219812874
:28C:2
:60F:C260201PLN0,00
:61:2602020202C1230,00N101NONREF
:86:101~00PRZELEW PRZYCHODZACY~20FV/12/01/2026~21 czesc 1~32KLIENT SP. Z O.O.~38PL27
114020040000300201355387
:62F:C260202PLN1230,00
-
"""
INTERIM = """\
:20:942
:25:DE02120300000000202051
:28C:5/1
:34F:EURD0,
:13D:2601071200+0100
:61:2601070107C10,50NTRFREF1
:86:Rechnung 4711
:61:2601070107D3,NCHGNONREF
:61:2601080108EC99,NTRFSOON
:90D:1EUR3,
:90C:1EUR11,50
-
"""


def events(text: str, encoding: str = "utf-8", **options: str):
    return list(read_statement(io.BytesIO(text.encode(encoding)).getvalue(), {**OWN, **options}))


def lines(found):
    return [line for event in found for line in event.get("transactions", ())]


def test_german_subfields_are_joined_as_they_were_cut():
    header, *rest = events(GERMAN)
    assert (header["format"], header["sequence_number"]) == ("mt940", "00012/001")
    assert header["opening_balance"] == "1000.00"
    first, fee, back = lines(rest)
    assert (first["amount"], first["booking_date"]) == ("487.51", "2026-01-06")
    assert first["remittance_text"] == "RECHNUNG 2026-0417 VOM 05.01.2026 VIELEN DANK"
    assert first["end_to_end_id"] == "RE-2026-0417"
    assert first["counterparty_name"] == "NORD HANDEL GMBH"
    assert first["counterparty_iban"] == "DE89370400440532013000"
    assert (first["bank_reference"], first["type"]) == ("260106001", "166")
    assert (fee["amount"], fee["value_date"]) == ("-19.90", "2025-12-31")
    assert fee["booking_date"] == "2026-01-02"  # of the year that is near
    assert (back["amount"], back["is_reversal"]) == ("5.00", True)
    assert back["remittance_text"] == "RUECKBUCHUNG OHNE STRUKTUR ZWEITE ZEILE"
    totals = rest[-1]
    assert (totals["adds_up"], totals["closing_balance"]) == (True, "1472.61")


def test_words_between_slashes_and_amounts_before_exchange():
    header, *rest = events(SLASHED, account_iban="")
    assert header["account_iban"] == "NL91ABNA0417164300"
    assert header["opening_balance"] == "-12.00"
    [line] = lines(rest)
    assert line["counterparty_name"] == "KLANT B.V."
    assert line["counterparty_iban"] == "NL20INGB0001234567"
    assert line["remittance_text"] == "Factuur F2026/0931 en F2026/0932"
    assert line["end_to_end_id"] == "E2E-77"
    assert (line["original_amount"], line["original_currency_code"]) == ("512.00", "USD")
    assert (line["exchange_rate"], line["charges"]) == ("1.0884", "2.50")
    assert rest[-1]["adds_up"] is True


def test_other_marks_before_subfields():
    header, *rest = events(POLISH, account_iban="", currency_code="PLN")
    assert header["account_iban"] == "PL61109010140000071219812874"
    [line] = lines(rest)
    assert line["remittance_text"] == "FV/12/01/2026 czesc 1"
    assert line["counterparty_name"] == "KLIENT SP. Z O.O."
    assert line["counterparty_iban"] == "PL27114020040000300201355387"


def test_an_interim_report_has_no_balances_and_its_sums_are_verified():
    header, *rest = events(INTERIM)
    assert (header["format"], header["opening_balance"]) == ("mt942", None)
    assert [line["amount"] for line in lines(rest)] == ["10.50", "-3"]
    assert lines(rest)[0]["end_to_end_id"] == "REF1"
    codes = {each["code"] for each in rest[-1]["warnings"]}
    assert codes == {"PENDING", "SUM_DIFFERENCE"}
    assert "11.50 of credits; in it are 10.50" in str(rest[-1]["warnings"])


def test_a_balance_that_does_not_add_up_is_told():
    wrong = GERMAN.replace(":62F:C260107EUR1472,61", ":62F:C260107EUR1472,60")
    totals = events(wrong)[-1]
    assert (totals["adds_up"], totals["difference"]) == (False, "-0.01")


def test_several_messages_in_one_file_and_another_encoding():
    found = events(GERMAN + SLASHED.replace("KLANT", "KLÄNT"), "cp1252", account_iban="")
    assert [e["event"] for e in found if e["event"] != "transactions"] == [
        "header", "totals", "header", "totals",
    ]  # fmt: skip
    assert lines(found)[-1]["counterparty_name"] == "KLÄNT B.V."


@pytest.mark.parametrize(
    ("old", "new", "line", "field"),
    [
        (":60F:C260105EUR1000,00", ":60F:X260105EUR1000,00", 4, ":60F:"),
        (":61:2601060106CR487,51", ":61:2613060106CR487,51", 5, ":61:"),
        (":61:2601060106CR487,51", ":61:CR487,51", 5, ":61:"),
        (":62F:C260107EUR1472,61", ":62F:C260107USD1472,61", 14, ":62F:"),
        (":62F:C260107EUR1472,61\n", "", 1, ":62F:"),
    ],
)
def test_what_is_malformed_is_told_with_its_line_and_field(old, new, line, field):
    with pytest.raises(Malformed) as caught:
        events(GERMAN.replace(old, new))
    assert (caught.value.line, caught.value.field) == (line, field)


def test_a_field_without_an_end_is_refused_in_bounded_memory():
    with pytest.raises(Malformed) as caught:
        events(GERMAN.replace("KONTOFUEHRUNG", "X" * 30_000))
    assert caught.value.line == 10


@given(st.sampled_from([GERMAN, SLASHED, POLISH, INTERIM]), st.data())
def test_mutated_and_truncated_files_are_read_or_malformed(text, data):
    at = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(at, len(text)))
    put = data.draw(st.text(st.characters(codec="utf-8"), max_size=12))
    try:
        found = events(":20:X\n" + text[:at] + put + text[end:], format="mt940")
    except Malformed:
        return
    for event in found:
        assert event["event"] in ("header", "transactions", "totals")


amounts = st.decimals("-99999", "99999", places=2).filter(bool)


@given(st.lists(amounts, max_size=30), amounts)
def test_what_is_written_comes_back(said, opening):
    def money(value: Decimal) -> str:
        return f"{'D' if value < 0 else 'C'}", f"{abs(value)}".replace(".", ",")

    rows = [":20:1", ":25:DE02120300000000202051", ":28C:1"]
    side, amount = money(opening)
    rows.append(f":60F:{side}260105EUR{amount}")
    for value in said:
        side, amount = money(value)
        rows += [f":61:260106{side}{amount}NTRFNONREF", ":86:Text"]
    side, amount = money(opening + sum(said))
    rows += [f":62F:{side}260106EUR{amount}", "-"]
    *rest, totals = events("\r\n".join(rows))
    assert [Decimal(line["amount"]) for line in lines(rest)] == said
    assert totals["adds_up"] is True
    assert len({line["fingerprint"] for line in lines(rest)}) == len(said)
