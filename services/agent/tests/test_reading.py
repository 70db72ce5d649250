"""A document is read by what it says: e-invoices exactly, pages in any language and layout."""

import io
import json
import random
import re
import subprocess
import sys
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import facturx  # type: ignore[import-untyped]
import pypdfium2  # type: ignore[import-untyped]
import pytest
from fpdf import FPDF
from PIL import Image

from services.agent.reading import Unreadable, read_document
from services.agent.reading.registers import registered
from services.agent.reading.values import Locale, days, ibans, locale_of, numbers, vat_ids
from services.agent.reading.vocabulary import languages, load

ROOT = Path(__file__).parents[3]
IBAN = "DE89370400440532013000"

CII = """<?xml version="1.0" encoding="UTF-8"?>
<rsm:CrossIndustryInvoice xmlns:rsm="urn:un:unece:uncefact:data:standard:CrossIndustryInvoice:100"
 xmlns:ram="urn:un:unece:uncefact:data:standard:ReusableAggregateBusinessInformationEntity:100"
 xmlns:udt="urn:un:unece:uncefact:data:standard:UnqualifiedDataType:100">
<rsm:ExchangedDocumentContext><ram:GuidelineSpecifiedDocumentContextParameter>
<ram:ID>urn:cen.eu:en16931:2017</ram:ID></ram:GuidelineSpecifiedDocumentContextParameter>
</rsm:ExchangedDocumentContext>
<rsm:ExchangedDocument><ram:ID>A-77</ram:ID><ram:TypeCode>{code}</ram:TypeCode>
<ram:IssueDateTime><udt:DateTimeString format="102">20260305</udt:DateTimeString>
</ram:IssueDateTime>
</rsm:ExchangedDocument>
<rsm:SupplyChainTradeTransaction>
<ram:IncludedSupplyChainTradeLineItem>
<ram:AssociatedDocumentLineDocument><ram:LineID>1</ram:LineID></ram:AssociatedDocumentLineDocument>
<ram:SpecifiedTradeProduct><ram:Name>Bolts</ram:Name></ram:SpecifiedTradeProduct>
<ram:SpecifiedLineTradeAgreement><ram:NetPriceProductTradePrice>
<ram:ChargeAmount>2.50</ram:ChargeAmount></ram:NetPriceProductTradePrice>
</ram:SpecifiedLineTradeAgreement>
<ram:SpecifiedLineTradeDelivery><ram:BilledQuantity unitCode="C62">40</ram:BilledQuantity>
</ram:SpecifiedLineTradeDelivery>
<ram:SpecifiedLineTradeSettlement><ram:ApplicableTradeTax><ram:TypeCode>VAT</ram:TypeCode>
<ram:RateApplicablePercent>19</ram:RateApplicablePercent></ram:ApplicableTradeTax>
<ram:SpecifiedTradeSettlementLineMonetarySummation><ram:LineTotalAmount>100.00</ram:LineTotalAmount>
</ram:SpecifiedTradeSettlementLineMonetarySummation></ram:SpecifiedLineTradeSettlement>
</ram:IncludedSupplyChainTradeLineItem>
<ram:ApplicableHeaderTradeAgreement>
<ram:SellerTradeParty><ram:Name>Nord Eisen GmbH</ram:Name><ram:PostalTradeAddress>
<ram:PostcodeCode>20095</ram:PostcodeCode><ram:LineOne>Am Kai 3</ram:LineOne>
<ram:CityName>Hamburg</ram:CityName><ram:CountryID>DE</ram:CountryID></ram:PostalTradeAddress>
<ram:SpecifiedTaxRegistration><ram:ID schemeID="VA">DE136695976</ram:ID>
</ram:SpecifiedTaxRegistration></ram:SellerTradeParty>
<ram:BuyerTradeParty><ram:Name>Werft AG</ram:Name></ram:BuyerTradeParty>
<ram:BuyerOrderReferencedDocument><ram:IssuerAssignedID>PO-9</ram:IssuerAssignedID>
</ram:BuyerOrderReferencedDocument>
</ram:ApplicableHeaderTradeAgreement>
<ram:ApplicableHeaderTradeDelivery/>
<ram:ApplicableHeaderTradeSettlement><ram:InvoiceCurrencyCode>EUR</ram:InvoiceCurrencyCode>
<ram:SpecifiedTradeSettlementPaymentMeans><ram:PayeePartyCreditorFinancialAccount>
<ram:IBANID>DE89370400440532013000</ram:IBANID></ram:PayeePartyCreditorFinancialAccount>
</ram:SpecifiedTradeSettlementPaymentMeans>
<ram:ApplicableTradeTax><ram:CalculatedAmount>17.10</ram:CalculatedAmount>
<ram:BasisAmount>90.00</ram:BasisAmount><ram:RateApplicablePercent>19</ram:RateApplicablePercent>
</ram:ApplicableTradeTax>
<ram:ApplicableTradeTax><ram:CalculatedAmount>0.35</ram:CalculatedAmount>
<ram:BasisAmount>5.00</ram:BasisAmount><ram:RateApplicablePercent>7</ram:RateApplicablePercent>
</ram:ApplicableTradeTax>
<ram:SpecifiedTradePaymentTerms><ram:DueDateDateTime>
<udt:DateTimeString format="102">20260404</udt:DateTimeString></ram:DueDateDateTime>
</ram:SpecifiedTradePaymentTerms>
<ram:SpecifiedTradeSettlementHeaderMonetarySummation>
<ram:LineTotalAmount>100.00</ram:LineTotalAmount>
<ram:ChargeTotalAmount>5.00</ram:ChargeTotalAmount>
<ram:AllowanceTotalAmount>10.00</ram:AllowanceTotalAmount>
<ram:TaxBasisTotalAmount>95.00</ram:TaxBasisTotalAmount>
<ram:TaxTotalAmount currencyID="DKK">130.18</ram:TaxTotalAmount>
<ram:TaxTotalAmount currencyID="EUR">17.45</ram:TaxTotalAmount>
<ram:GrandTotalAmount>112.45</ram:GrandTotalAmount>
<ram:TotalPrepaidAmount>50.00</ram:TotalPrepaidAmount>
<ram:DuePayableAmount>62.45</ram:DuePayableAmount>
</ram:SpecifiedTradeSettlementHeaderMonetarySummation>
</ram:ApplicableHeaderTradeSettlement></rsm:SupplyChainTradeTransaction>
</rsm:CrossIndustryInvoice>"""

UBL = """<CreditNote xmlns="urn:oasis:names:specification:ubl:schema:xsd:CreditNote-2"
 xmlns:c="urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2"
 xmlns:b="urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2">
<b:ID>CN-1</b:ID><b:IssueDate>2026-02-01</b:IssueDate>
<b:DocumentCurrencyCode>SEK</b:DocumentCurrencyCode>
<c:OrderReference><b:ID>42</b:ID></c:OrderReference>
<c:AccountingSupplierParty><c:Party><c:PartyName><b:Name>Trading name</b:Name></c:PartyName>
<c:PostalAddress><b:StreetName>Gatan 1</b:StreetName><b:CityName>Malmö</b:CityName>
<b:PostalZone>21119</b:PostalZone></c:PostalAddress>
<c:PartyTaxScheme><b:CompanyID>SE556000016701</b:CompanyID></c:PartyTaxScheme>
<c:PartyLegalEntity><b:RegistrationName>Säljaren AB</b:RegistrationName></c:PartyLegalEntity>
</c:Party></c:AccountingSupplierParty>
<c:TaxTotal><b:TaxAmount currencyID="SEK">25.00</b:TaxAmount><c:TaxSubtotal>
<b:TaxableAmount currencyID="SEK">100.00</b:TaxableAmount>
<b:TaxAmount currencyID="SEK">25.00</b:TaxAmount>
<c:TaxCategory><b:Percent>25</b:Percent></c:TaxCategory></c:TaxSubtotal></c:TaxTotal>
<c:LegalMonetaryTotal><b:LineExtensionAmount>100.00</b:LineExtensionAmount>
<b:TaxExclusiveAmount>100.00</b:TaxExclusiveAmount>
<b:TaxInclusiveAmount>125.00</b:TaxInclusiveAmount><b:PayableAmount>125.00</b:PayableAmount>
</c:LegalMonetaryTotal>
<c:CreditNoteLine><b:CreditedQuantity unitCode="HUR">2</b:CreditedQuantity>
<b:LineExtensionAmount>100.00</b:LineExtensionAmount><c:Item><b:Name>Arbete</b:Name>
<c:ClassifiedTaxCategory><b:Percent>25</b:Percent></c:ClassifiedTaxCategory></c:Item>
<c:Price><b:PriceAmount>50.00</b:PriceAmount></c:Price></c:CreditNoteLine></CreditNote>"""


@dataclass(frozen=True)
class Words:
    """What an invoice of one language calls things."""

    title: str
    number: str
    issued: str
    due: str
    buyer: str
    vat: str
    columns: tuple[str, str, str, str]
    net: str
    tax: str
    gross: str
    seller: str
    vat_id: str
    date_format: str = "%d.%m.%Y"
    mark: str = ","


LANGUAGES = {
    "en": Words(
        "Invoice",
        "Invoice number",
        "Invoice date",
        "Due date",
        "Bill to",
        "VAT number",
        ("Description", "Qty", "Unit price", "Amount"),
        "Subtotal",
        "VAT 20%",
        "Total",
        "Brightwater Supplies Ltd",
        "GB980780684",
        "%d %B %Y",
        ".",
    ),
    "de": Words(
        "Rechnung",
        "Rechnungsnummer",
        "Rechnungsdatum",
        "Fällig am",
        "Rechnungsempfänger",
        "USt-IdNr.",
        ("Bezeichnung", "Menge", "Einzelpreis", "Gesamt"),
        "Nettobetrag",
        "MwSt 20%",
        "Gesamtbetrag",
        "Talwerk Maschinen GmbH",
        "DE136695976",
    ),
    "fr": Words(
        "Facture",
        "N° de facture",
        "Date de facture",
        "Date d'échéance",
        "Facturé à",
        "N° TVA",
        ("Désignation", "Quantité", "Prix unitaire", "Montant HT"),
        "Total HT",
        "TVA 20%",
        "Total TTC",
        "Boulangerie Marchand SARL",
        "FR40303265045",
        "%d/%m/%Y",
    ),
    "nl": Words(
        "Factuur",
        "Factuurnummer",
        "Factuurdatum",
        "Vervaldatum",
        "Factuur aan",
        "BTW-nummer",
        ("Omschrijving", "Aantal", "Prijs", "Bedrag"),
        "Subtotaal",
        "BTW 20%",
        "Totaal incl. BTW",
        "Van Dijk Techniek B.V.",
        "NL004495445B01",
        "%d-%m-%Y",
    ),
    "es": Words(
        "Factura",
        "Nº de factura",
        "Fecha de factura",
        "Fecha de vencimiento",
        "Cliente",
        "NIF",
        ("Descripción", "Cantidad", "Precio", "Importe"),
        "Base imponible",
        "IVA 20%",
        "Total factura",
        "Talleres del Sur S.L.",
        "ESB58378431",
        "%d/%m/%Y",
    ),
    "it": Words(
        "Fattura",
        "Numero fattura",
        "Data fattura",
        "Scadenza",
        "Spett.le",
        "Partita IVA",
        ("Descrizione", "Quantità", "Prezzo unitario", "Importo"),
        "Imponibile",
        "IVA 20%",
        "Totale fattura",
        "Officine Bianchi S.r.l.",
        "IT00743110157",
        "%d/%m/%Y",
    ),
    "pt": Words(
        "Fatura",
        "Fatura nº",
        "Data de emissão",
        "Data de vencimento",
        "Cliente",
        "NIF",
        ("Descrição", "Quantidade", "Preço unitário", "Valor"),
        "Total líquido",
        "IVA 20%",
        "Total a pagar",
        "Oficina Lisboa Lda",
        "PT501964843",
        "%d/%m/%Y",
    ),
    "pl": Words(
        "Faktura",
        "Numer faktury",
        "Data wystawienia",
        "Termin płatności",
        "Nabywca",
        "NIP",
        ("Nazwa towaru", "Ilość", "Cena netto", "Wartość netto"),
        "Razem netto",
        "Kwota VAT 20%",
        "Razem brutto",
        "Zakład Nowak Sp. z o.o.",
        "PL8567346215",
        "%d.%m.%Y",
    ),
    "sv": Words(
        "Faktura",
        "Fakturanummer",
        "Fakturadatum",
        "Förfallodatum",
        "Fakturaadress",
        "Momsreg.nr",
        ("Benämning", "Antal", "À-pris", "Belopp"),
        "Summa exkl. moms",
        "Moms 20%",
        "Att betala",
        "Granvik Verkstad AB",
        "SE123456789701",
        "%Y-%m-%d",
    ),
    "da": Words(
        "Faktura",
        "Fakturanr.",
        "Fakturadato",
        "Forfaldsdato",
        "Faktureres til",
        "CVR-nr.",
        ("Beskrivelse", "Antal", "Stk. pris", "Beløb"),
        "Subtotal ekskl. moms",
        "Moms 20%",
        "I alt inkl. moms",
        "Skovgaard Værktøj ApS",
        "DK13585628",
        "%d-%m-%Y",
    ),
    "nb": Words(
        "Faktura",
        "Fakturanr.",
        "Fakturadato",
        "Forfallsdato",
        "Kunde",
        "Org.nr.",
        ("Beskrivelse", "Antall", "Enhetspris", "Beløp"),
        "Sum eks. mva",
        "Mva 20%",
        "Å betale",
        "Fjellnes Verksted AS",
        "NO995525828MVA",
    ),
    "fi": Words(
        "Lasku",
        "Laskun numero",
        "Laskun päiväys",
        "Eräpäivä",
        "Laskutusosoite",
        "ALV-tunnus",
        ("Kuvaus", "Määrä", "À-hinta", "Yhteensä"),
        "Veroton yhteensä",
        "ALV 20%",
        "Maksettava yhteensä",
        "Koivuranta Konepaja Oy",
        "FI20774740",
    ),
    "cs": Words(
        "Faktura - daňový doklad",
        "Číslo faktury",
        "Datum vystavení",
        "Datum splatnosti",
        "Odběratel",
        "DIČ",
        ("Název položky", "Množství", "Cena za MJ", "Cena celkem"),
        "Celkem bez DPH",
        "DPH 20%",
        "Celkem k úhradě",
        "Lípová Dílna s.r.o.",
        "CZ25123891",
    ),
    "hu": Words(
        "Számla",
        "Számla sorszáma",
        "Számla kelte",
        "Fizetési határidő",
        "Vevő",
        "Közösségi adószám",
        ("Megnevezés", "Mennyiség", "Nettó egységár", "Nettó érték"),
        "Nettó összesen",
        "ÁFA 20%",
        "Fizetendő végösszeg",
        "Tölgyes Műhely Kft.",
        "HU12892312",
        "%Y.%m.%d.",
    ),
    "ro": Words(
        "Factură fiscală",
        "Nr. facturii",
        "Data emiterii",
        "Data scadenței",
        "Cumpărător",
        "CIF",
        ("Denumirea produselor", "Cantitate", "Preț unitar", "Valoare"),
        "Total fără TVA",
        "TVA 20%",
        "Total de plată",
        "Teiul Atelier S.R.L.",
        "RO18547290",
    ),
}
ITEMS = (
    ("Steel bracket 40 mm", 12, "4.50", "54.00"),
    ("Mounting plate, black finish", 3, "120.00", "360.00"),
    ("Transport box", 1, "1086.00", "1086.00"),
)
NET, TAX, GROSS = "1500.00", "300.00", "1800.00"
ISSUED, DUE = date(2026, 3, 14), date(2026, 4, 13)


def money(text: str, mark: str) -> str:
    whole, cents = text.split(".")
    group = "." if mark == "," else ","
    return f"{int(whole):,}".replace(",", group) + mark + cents


def write(pdf: FPDF, x: float, y: float, text: str, size: int = 10, *, right: bool = False) -> None:
    pdf.set_font("Body", size=size)
    pdf.text(x - pdf.get_string_width(text) if right else x, y, text)


def paper() -> FPDF:
    pdf = FPDF(unit="pt", format="A4")
    folder = Path(facturx.__file__).parents[1]
    found = [
        Path("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"),
        *sorted(folder.rglob("DejaVuSans.ttf")),
    ]
    pdf.add_font("Body", fname=next(f for f in found if f.exists()))
    pdf.add_page()
    return pdf


def invoice_pdf(words: Words, *, mirrored: bool = False) -> bytes:
    """One page; mirrored: the letterhead at the right, the totals in the middle."""
    pdf, mark = paper(), words.mark
    left, right = (330, 60) if mirrored else (60, 330)
    write(pdf, left, 60, words.seller, 13)
    write(pdf, left, 78, "Hafenstr. 12")
    write(pdf, left, 92, "20095 Hamburg")
    write(pdf, left, 106, f"{words.vat}: {words.vat_id}")
    write(pdf, right, 150, words.buyer)
    write(pdf, right, 164, "Kestrel Logistics")
    write(pdf, right, 178, "Ringweg 4")
    write(pdf, right, 192, "10115 Berlin")
    write(pdf, 60, 240, words.title, 18)
    for n, (label, value) in enumerate(
        (
            (words.number, "RX-20417"),
            (words.issued, ISSUED.strftime(words.date_format)),
            (words.due, DUE.strftime(words.date_format)),
        )
    ):
        write(pdf, 60, 265 + 15 * n, f"{label}:")
        write(pdf, 220, 265 + 15 * n, value)
    edges = (60, 340, 440, 530)
    for n, name in enumerate(words.columns):
        write(pdf, edges[n], 340, name, right=n > 0)
    for n, (text, count, price, amount) in enumerate(ITEMS):
        y = 362 + 20 * n
        write(pdf, edges[0], y, text)
        write(pdf, edges[1], y, str(count), right=True)
        write(pdf, edges[2], y, money(price, mark), right=True)
        write(pdf, edges[3], y, money(amount, mark), right=True)
    for n, (label, value) in enumerate(((words.net, NET), (words.tax, TAX), (words.gross, GROSS))):
        write(pdf, 300, 450 + 16 * n, label)
        write(pdf, 530, 450 + 16 * n, f"{money(value, mark)} €", right=True)
    write(pdf, 60, 780, "IBAN DE89 3704 0044 0532 0130 00", 8)
    return bytes(pdf.output())


def picture(data: bytes, scale: float = 2.0) -> Image.Image:
    pdf = pypdfium2.PdfDocument(data)
    try:
        image: Image.Image = pdf[0].render(scale=scale).to_pil().convert("RGB")
        return image
    finally:
        pdf.close()


def png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def values(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: found["value"] for name, found in answer["fields"].items()}


def reason(data: bytes, media_type: str = "") -> str:
    with pytest.raises(Unreadable) as caught:
        read_document(data, media_type)
    return caught.value.reason


def test_a_cii_invoice_is_read_exactly_with_allowances_and_prepayment() -> None:
    answer = read_document(CII.format(code="380").encode(), "application/xml")
    assert values(answer) == {
        "document_type": "INVOICE",
        "invoice_number": "A-77",
        "issue_date": "2026-03-05",
        "due_date": "2026-04-04",
        "supplier_name": "Nord Eisen GmbH",
        "supplier_address": "Am Kai 3\n20095 Hamburg\nDE",
        "supplier_tax_ids": ["DE136695976"],
        "iban": IBAN,
        "buyer_name": "Werft AG",
        "order_reference": "PO-9",
        "currency_code": "EUR",
        "line_total": "100.00",
        "allowance_total": "10.00",
        "charge_total": "5.00",
        "net": "95.00",
        "tax": "17.45",
        "tax_breakdown": [
            {"rate": "19", "base": "90.00", "amount": "17.10"},
            {"rate": "7", "base": "5.00", "amount": "0.35"},
        ],
        "gross": "112.45",
        "prepaid": "50.00",
        "amount_due": "62.45",
    }
    assert answer["lines"][0]["description"] == "Bolts"
    assert answer["lines"][0]["unit_price"] == "2.50"
    assert all(f["source"] == "E_INVOICE" for f in answer["fields"].values())


def test_a_ubl_credit_note_is_read_exactly() -> None:
    answer = read_document(UBL.encode())
    found = values(answer)
    assert found["document_type"] == "CREDIT_NOTE"
    assert found["supplier_name"] == "Säljaren AB"
    assert (found["net"], found["tax"], found["gross"]) == ("100.00", "25.00", "125.00")
    assert answer["lines"] == [
        {
            "description": "Arbete",
            "quantity": "2",
            "unit": "HUR",
            "unit_price": "50.00",
            "tax_rate": "25",
            "amount": "100.00",
            "confidence": 1.0,
            "source": "E_INVOICE",
            "page": None,
            "box": None,
        }
    ]


def test_the_xml_in_a_pdf_counts_more_than_its_page_and_keeps_the_place_on_it() -> None:
    xml = CII.format(code="381").encode()
    page = invoice_pdf(LANGUAGES["de"])
    mixed = facturx.generate_from_binary(
        page, xml, flavor="factur-x", level="en16931", check_xsd=False, check_schematron=False
    )
    answer = read_document(mixed, "application/pdf")
    assert values(answer)["gross"] == "112.45"
    assert values(answer)["document_type"] == "CREDIT_NOTE"
    assert "PAGE_DISAGREES:gross" in answer["warnings"]
    assert answer["fields"]["iban"]["source"] == "E_INVOICE"
    alone = read_document(mixed, "application/pdf", {"page_only": True})
    assert values(alone)["gross"] == GROSS


def test_by_the_page_alone_the_e_invoice_beside_it_is_passed_over() -> None:
    page, xml = invoice_pdf(LANGUAGES["de"]), CII.format(code="380").encode()
    assert values(read_document(page, options={"beside": xml}))["gross"] == "112.45"
    alone = read_document(page, options={"beside": xml, "page_only": True})
    assert alone == read_document(page)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_doctype_is_refused_in_any_encoding(encoding: str) -> None:
    text = '<?xml version="1.0"?><!DOCTYPE Invoice [<!ELEMENT a ANY>]><Invoice/>'
    assert reason(text.encode(encoding)) == "XML_FORBIDDEN"


def test_xml_that_is_no_invoice_or_is_broken_has_its_own_reason() -> None:
    assert reason(b"<html><body/></html>") == "NOT_AN_INVOICE"
    assert reason(b"<Invoice><unclosed>") == "BROKEN"


@pytest.mark.parametrize("mirrored", [False, True], ids=["left", "mirrored"])
@pytest.mark.parametrize("language", sorted(LANGUAGES))
def test_a_page_is_read_in_every_language_and_two_layouts(language: str, mirrored: bool) -> None:
    words = LANGUAGES[language]
    answer = read_document(invoice_pdf(words, mirrored=mirrored))
    found = values(answer)
    assert answer["language"] == language
    assert found["document_type"] == "INVOICE"
    assert found["invoice_number"] == "RX-20417"
    assert (found["issue_date"], found["due_date"]) == (ISSUED.isoformat(), DUE.isoformat())
    assert (found["net"], found["tax"], found["gross"]) == (NET, TAX, GROSS)
    assert found["supplier_name"] == words.seller
    assert found["supplier_tax_ids"] == [words.vat_id]
    assert found["buyer_name"] == "Kestrel Logistics"
    assert (found["iban"], found["currency_code"]) == (IBAN, "EUR")
    read = [(line["description"], line["quantity"], line["amount"]) for line in answer["lines"]]
    assert read == [(text, str(count), amount) for text, count, _, amount in ITEMS]


def test_there_is_a_label_file_for_every_language_tried() -> None:
    assert set(languages()) >= set(LANGUAGES)
    assert all(load((name,)).months for name in languages())


def lines_pdf(*rows: str) -> bytes:
    """One page of rows with a label at the left and a value at the right of "|"."""
    pdf = paper()
    for n, row in enumerate(rows):
        label, _, value = row.partition("|")
        write(pdf, 60, 60 + 18 * n, label)
        write(pdf, 400, 60 + 18 * n, value, right=True)
    return bytes(pdf.output())


@pytest.mark.parametrize(
    ("row", "currency"),
    [
        ("IBAN SE45 5000 0000 0583 9825 7466", "SEK"),
        ("IBAN DK50 0040 0440 1162 43", "DKK"),
        ("NO 995 525 828 MVA", "NOK"),
        ("All prices in DKK", "DKK"),
        ("All prices without obligation", None),
    ],
)
def test_whose_kr_it_is_says_account_tax_id_or_code_and_else_nobody(
    row: str, currency: str | None
) -> None:
    page = lines_pdf(
        "Invoice 4711", "Date|14/03/2026", "Net amount|100,00 kr", "VAT 25%|25,00 kr",
        "Total|125,00 kr", row,
    )  # fmt: skip
    assert values(read_document(page)).get("currency_code") == currency


def test_a_swedish_page_is_in_swedish_kronor() -> None:
    page = lines_pdf(
        "Faktura", "Fakturanummer|4711", "Fakturadatum|den 14 mars 2026", "Netto|1 100,- kr",
        "Moms 25 %|275,- kr", "Att betala|1 375,- kr",
    )  # fmt: skip
    found = values(read_document(page))
    assert (found["currency_code"], found["gross"]) == ("SEK", "1375")
    assert found["issue_date"] == "2026-03-14"


def test_forints_have_no_cents_and_dates_begin_with_the_year() -> None:
    page = lines_pdf(
        "Számla", "Számla sorszáma|2026/00041", "Kelt|2026. március 14.",
        "Fizetési határidő|2026. 03. 29.", "Adószám|12892312-2-41", "Nettó összesen|12 000",
        "ÁFA 27%|3 240", "Fizetendő|15 240 Ft",
    )  # fmt: skip
    found = values(read_document(page))
    assert (found["net"], found["tax"], found["gross"]) == ("12000", "3240", "15240")
    assert (found["issue_date"], found["due_date"]) == ("2026-03-14", "2026-03-29")
    assert (found["currency_code"], found["supplier_tax_ids"]) == ("HUF", ["12892312-2-41"])


@pytest.mark.parametrize(
    ("language", "label", "number"),
    [
        ("sv", "Organisationsnummer", "123456-7897"),
        ("da", "CVR-nr.", "13 58 56 28"),
        ("nb", "Organisasjonsnummer", "995 525 828"),
        ("fi", "Y-tunnus", "2077474-0"),
        ("cs", "IČO", "25123891"),
        ("hu", "Adószám", "12892312-2-41"),
        ("ro", "Cod fiscal", "18547290"),
    ],
)
def test_the_number_of_a_companys_register_is_its_tax_id(
    language: str, label: str, number: str
) -> None:
    words = replace(LANGUAGES[language], vat=label, vat_id=number)
    field = read_document(invoice_pdf(words))["fields"]["supplier_tax_ids"]
    assert [re.sub(r"[^\d-]", "", value) for value in field["value"]] == [number.replace(" ", "")]
    assert registered(field["value"][0], language)


def test_the_beginning_of_an_account_is_no_tax_id() -> None:
    row = "IBAN CZ65 0800 0000 1920 0014 5399 DIČ CZ25123891"
    assert [found.value for found in vat_ids(row)] == ["CZ25123891"]


def test_every_field_says_how_sure_where_and_why_and_all_of_it_is_json() -> None:
    answer = read_document(invoice_pdf(LANGUAGES["en"]))
    assert json.loads(json.dumps(answer)) == answer
    for found in answer["fields"].values():
        assert 0 < found["confidence"] <= 1
        assert found["source"] == "TEXT_LAYER"
        assert found["reason"]
        assert found["page"] == 1
        x0, y0, x1, y1 = found["box"]
        assert 0 <= x0 < x1 <= 1
        assert 0 <= y0 < y1 <= 1
    assert answer["fields"]["gross"]["confidence"] > 0.9
    assert "=" in answer["fields"]["gross"]["reason"]


def test_amounts_that_add_up_beat_a_better_labelled_one() -> None:
    pdf = paper()
    write(pdf, 60, 60, "Invoice", 16)
    write(pdf, 60, 90, "Invoice number: 77")
    for n, (label, value) in enumerate(
        (
            ("Grand total of last month", "912.00"),
            ("Net amount", "200.00"),
            ("VAT 10%", "20.00"),
            ("Total", "220.00"),
        )
    ):
        write(pdf, 300, 300 + 16 * n, label)
        write(pdf, 530, 300 + 16 * n, value, right=True)
    found = read_document(bytes(pdf.output()))["fields"]
    assert found["gross"]["value"] == "220.00"
    assert "912.00" in [c["value"] for c in found["gross"]["candidates"]]


def test_a_credit_note_with_negative_amounts_comes_out_positive() -> None:
    words, pdf = LANGUAGES["fr"], paper()
    write(pdf, 60, 60, "Avoir AV-9", 16)
    write(pdf, 60, 90, "Date de facture 16/11/2025")
    for n, (label, value) in enumerate(
        ((words.net, "-218,48 €"), ("Total taxes", "-14,99 €"), (words.gross, "-233,47 €"))
    ):
        write(pdf, 300, 300 + 16 * n, label)
        write(pdf, 530, 300 + 16 * n, value, right=True)
    found = values(read_document(bytes(pdf.output())))
    assert (found["document_type"], found["invoice_number"]) == ("CREDIT_NOTE", "AV-9")
    assert (found["net"], found["tax"], found["gross"]) == ("218.48", "14.99", "233.47")


def test_the_items_of_a_table_go_on_over_the_page() -> None:
    pdf = paper()
    write(pdf, 60, 60, "Invoice 1001", 16)
    edges = (60, 340, 440, 530)
    for page in range(2):
        if page:
            pdf.add_page()
        for n, name in enumerate(LANGUAGES["en"].columns):
            write(pdf, edges[n], 140, name, right=n > 0)
        for n in range(20):
            y = 160 + 20 * n
            write(pdf, 60, y, f"Part number {page * 20 + n} in grey")
            write(pdf, 340, y, "2", right=True)
            write(pdf, 440, y, "3.00", right=True)
            write(pdf, 530, y, "6.00", right=True)
    write(pdf, 300, 600, "Total")
    write(pdf, 530, 600, "240.00", right=True)
    answer = read_document(bytes(pdf.output()))
    assert len(answer["lines"]) == 40
    assert {line["page"] for line in answer["lines"]} == {1, 2}
    assert values(answer)["gross"] == "240.00"


@pytest.mark.parametrize("turn", [0, 90, 2])
def test_a_scan_is_read_upright_turned_and_slightly_skewed(turn: int) -> None:
    image = picture(invoice_pdf(LANGUAGES["de"]))
    turned = image.rotate(turn, expand=True, fillcolor="white")
    answer = read_document(png(turned), "image/png")
    found = values(answer)
    assert answer["fields"]["gross"]["source"] == "OCR"
    assert (found["net"], found["tax"], found["gross"]) == (NET, TAX, GROSS)
    assert found["invoice_number"] == "RX-20417"
    assert [line["amount"] for line in answer["lines"]] == [item[3] for item in ITEMS]


def test_a_till_receipt_gives_shop_date_and_what_was_paid() -> None:
    pdf = paper()
    rows = (
        "CORNER BAKERY LTD",
        "14 High Street, Leeds",
        "RECEIPT",
        "18/11/2025 13:58",
        "Bread 2 x 2.10      4.20",
        "Cake                12.31",
        "Total               16.51",
        "Rounding            -0.01",
        "Total rounded       16.50",
        "Cash                20.00",
        "Change               3.50",
    )
    for n, text in enumerate(rows):
        write(pdf, 200, 60 + 18 * n, text, 12)
    found = values(read_document(png(picture(bytes(pdf.output())))))
    assert found["document_type"] == "RECEIPT"
    assert found["supplier_name"] == "CORNER BAKERY LTD"
    assert (found["issue_date"], found["gross"]) == ("2025-11-18", "16.50")


def turned(data: bytes, degrees: int) -> bytes:
    source, out = pypdfium2.PdfDocument(data), io.BytesIO()
    try:
        source[0].set_rotation(degrees)
        source.save(out)
    finally:
        source.close()
    return out.getvalue()


def test_a_page_shown_turned_is_read_upright_and_its_boxes_are_as_shown() -> None:
    upright = read_document(invoice_pdf(LANGUAGES["en"]))["fields"]["gross"]
    quarter = read_document(turned(invoice_pdf(LANGUAGES["en"]), 90))["fields"]["gross"]
    half = read_document(turned(invoice_pdf(LANGUAGES["en"]), 180))["fields"]["gross"]
    assert quarter["value"] == half["value"] == GROSS
    x0, y0, x1, y1 = upright["box"]
    assert quarter["box"] == pytest.approx([1 - y1, x0, 1 - y0, x1], abs=1e-3)
    assert half["box"] == pytest.approx([1 - x1, 1 - y1, 1 - x0, 1 - y0], abs=1e-3)


def test_text_drawn_along_the_side_of_a_page_is_read_as_well() -> None:
    pdf = paper()
    with pdf.rotation(90, x=300, y=420):
        for n, text in enumerate(("Invoice", "Invoice number: 5", "Net 10.00", "Total 12.00")):
            write(pdf, 100, 300 + 20 * n, text)
    found = values(read_document(bytes(pdf.output())))
    assert (found["invoice_number"], found["gross"]) == ("5", "12.00")


def test_what_cannot_be_read_has_a_stable_reason() -> None:
    blank = paper()
    many = paper()
    for _ in range(200):
        many.add_page()
    locked = paper()
    locked.set_encryption(owner_password="a", user_password="b")
    out = io.BytesIO()
    Image.new("1", (9000, 9000)).save(out, "PNG")
    assert reason(b"") == "EMPTY"
    assert reason(bytes(blank.output())) == "EMPTY"
    assert reason(b"%PDF-1.7 nothing") == "BROKEN"
    assert reason(b"PK\x03\x04", "application/zip") == "UNSUPPORTED_TYPE"
    assert reason(b"GIF89a", "image/png") == "BROKEN"
    assert reason(b"\x89PNG\r\n\x1a\nnothing") == "BROKEN"
    assert reason(bytes(many.output())) == "TOO_MANY_PAGES"
    assert reason(bytes(locked.output())) == "ENCRYPTED"
    assert reason(out.getvalue()) == "TOO_MANY_PIXELS"


def test_a_page_of_prose_is_not_taken_for_an_invoice_with_a_total() -> None:
    pdf = paper()
    for n in range(12):
        write(pdf, 60, 80 + 16 * n, "The meeting was long and nobody could say why it had begun.")
    found = values(read_document(bytes(pdf.output())))
    assert not {"gross", "net", "tax", "iban", "invoice_number"} & set(found)


def outcome(data: bytes) -> str:
    try:
        read_document(data, "application/pdf", {"ocr": False})
    except Unreadable as error:
        return error.reason
    return "READ"


def test_damaged_files_end_in_a_reason_and_nothing_else() -> None:
    whole = invoice_pdf(LANGUAGES["it"])
    dice = random.Random(7)
    for _ in range(120):
        data = bytearray(whole)
        for _ in range(dice.randrange(1, 30)):
            data[dice.randrange(len(data))] = dice.randrange(256)
        cut = bytes(data[: dice.randrange(8, len(data))]) if dice.random() < 0.5 else bytes(data)
        assert outcome(cut) in {"READ", "BROKEN", "EMPTY", "NOT_AN_INVOICE", "ENCRYPTED"}


@pytest.mark.parametrize(
    ("text", "mark", "value"),
    [
        ("1.234,56", ",", "1234.56"),
        ("1,234.56", ".", "1234.56"),
        ("1 234,56 €", ",", "1234.56"),
        ("12,5000", ",", "12.5000"),
        ("1.234", ",", "1234"),
        ("1.234", ".", "1.234"),
        ("-5,00", ",", "-5.00"),
        ("5,00-", ",", "-5.00"),
        ("(5.00)", ".", "-5.00"),
        ("$1,000", ".", "1000"),
        ("1'250.00 CHF", ".", "1250.00"),
    ],
)
def test_numbers_are_read_by_the_locale_of_the_document(text: str, mark: str, value: str) -> None:
    (number,) = numbers(text, Locale(mark))
    assert number.value == Decimal(value)


@pytest.mark.parametrize(
    "text",
    ["14.03.2026", "2026-03-14", "14/03/26", "14. März 2026", "14 mars 2026", "March 14, 2026"],
)
def test_dates_are_read_in_many_ways(text: str) -> None:
    months = load(("en", "de", "fr")).months
    assert [d.value for d in days(f"on {text} at noon", Locale(), months)] == [date(2026, 3, 14)]


def test_one_date_that_can_only_be_american_decides_for_the_others() -> None:
    locale = locale_of(["11/17/2025", "12/03/2025"], american=False)
    assert [d.value for d in days("12/03/2025", locale, {})] == [date(2025, 12, 3)]


def test_check_digits_of_accounts_and_tax_ids_are_tried() -> None:
    (account,) = ibans("IBAN: DE89 3704 0044 0532 0130 00 BIC: COBADEFF")
    assert (account.value, account.valid) == (IBAN, True)
    assert [i.valid for i in ibans("DE88370400440532013000")] == [False]
    assert [(i.value, i.valid) for i in vat_ids("USt-IdNr. DE 136 695 976")] == [
        ("DE136695976", True)
    ]


def test_an_account_behind_a_tax_id_in_the_same_line_is_found() -> None:
    found = ibans("VAT ID DE222222220   IBAN DE02 5001 0517 0137 0750 30   BIC GENODEF1")
    assert [(one.value, one.valid) for one in found] == [("DE02500105170137075030", True)]


def test_a_column_of_descriptions_is_no_section_and_what_stands_below_is_the_suppliers() -> None:
    answer = read_document((ROOT / "examples" / "01-paper-text.pdf").read_bytes())
    assert values(answer)["supplier_tax_ids"] == ["DE222222220"]
    assert values(answer)["iban"] == "DE02500105170137075030"


def test_the_text_of_the_pages_comes_where_it_is_asked_for() -> None:
    data = (ROOT / "examples" / "01-paper-text.pdf").read_bytes()
    assert read_document(data)["text"] == []
    [page] = read_document(data, options={"text": True})["text"]
    assert page.splitlines()[0] == "Papierwerk Nord GmbH"
    assert "Total EUR" in page


def test_the_ocr_starts_no_thread_and_reports_to_nobody() -> None:
    code = (
        "import os; import services.agent.reading.ocr_loaded; tasks = '/proc/self/task';"
        "print(len(os.listdir(tasks)) if os.path.exists(tasks) else 1,"
        "os.environ['ORT_DISABLE_TELEMETRY'])"
    )
    env = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, check=True
    )
    assert ran.stdout.split() == ["1", "1"]


def test_a_folder_is_read_by_one_command_and_a_bad_file_stops_nothing(tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    (source / "good.pdf").write_bytes(invoice_pdf(LANGUAGES["pl"]))
    (source / "bad.pdf").write_bytes(b"%PDF-1.4 broken")
    (source / "data.xml").write_bytes(UBL.encode())
    command = [sys.executable, "-m", "services.agent.reading", str(source), "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "3 files" in done.stderr
    assert "bad.pdf: BROKEN" in done.stderr
    good = json.loads((out / "good.json").read_text())
    assert (good["currency"], good["gross"], len(good["lines"])) == ("EUR", GROSS, 3)
    assert good["reading"]["fields"]["gross"]["box"]
    assert json.loads((out / "bad.json").read_text())["error"]["reason"] == "BROKEN"
