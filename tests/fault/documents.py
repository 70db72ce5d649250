"""Makes what the clients send: small e-invoices (UBL, CII), invoices by hand, bank statements."""

import random
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from xml.sax.saxutils import escape

CENT = Decimal("0.01")
RATE = Decimal("0.19")
SELLERS = (
    ("Papierwerk Nord GmbH", "DE222222220", "DE02500105170137075030"),
    ("Nimbus Hosting SARL", "FR11123456782", "FR7630006000011234567890189"),
    ("Elbstrom Energie AG", "DE333333339", "DE02100100100006820101"),
    ("Delta Freight B.V.", "NL111111110B01", "NL02ABNA0123456789"),
    ("Hafen Gastro eK", "DE444444443", "DE02701500000000594937"),
)
PAYABLE, RECEIVABLE = "DIRECTION_PAYABLE", "DIRECTION_RECEIVABLE"


@dataclass(frozen=True)
class Bill:
    """What an invoice says; party is who sends it (payable) or gets it (receivable)."""

    number: str
    direction: str
    party: tuple[str, str, str]  # name, tax id, IBAN
    net: Decimal
    issued: date
    due: date

    @property
    def tax(self) -> Decimal:
        return (self.net * RATE).quantize(CENT)

    @property
    def gross(self) -> Decimal:
        return self.net + self.tax


@dataclass(frozen=True)
class Line:
    """One line of a bank statement; the token in its text is in no other line."""

    token: str
    day: date
    name: str
    iban: str
    text: str
    amount: Decimal


def bill(number: str, direction: str, issued: date, due: date, dice: random.Random) -> Bill:
    """An invoice with a number of its own and an amount that few others have."""
    net = Decimal(dice.randrange(1_000, 900_000)).scaleb(-2)
    return Bill(number, direction, dice.choice(SELLERS), net, issued, due)


def by_hand(one: Bill) -> dict[str, object]:
    """The JSON of an invoice that a person types."""

    def money(amount: Decimal) -> dict[str, str]:
        return {"amount": f"{amount}", "currency_code": "EUR"}

    party = {"display_name": one.party[0], "tax_ids": [one.party[1]], "iban": one.party[2]}
    return {
        "direction": one.direction,
        "document_type": "DOCUMENT_TYPE_INVOICE",
        "invoice_number": one.number,
        "supplier" if one.direction == PAYABLE else "customer": party,
        "issue_date": one.issued.isoformat(),
        "due_date": one.due.isoformat(),
        "net": money(one.net),
        "tax": money(one.tax),
        "gross": money(one.gross),
        "lines": [{"description": "Work", "quantity": "1", "unit_price": f"{one.net}",
                   "tax_rate": "19", "amount": money(one.net)}],
    }  # fmt: skip


def ubl(one: Bill) -> bytes:
    """UBL 2.1 as EN 16931 uses it."""
    space = "urn:oasis:names:specification:ubl:schema:xsd"
    seller, buyer = _parties(one)

    def money(tag: str, amount: Decimal) -> str:
        return f'<b:{tag} currencyID="EUR">{amount}</b:{tag}>'

    def party(tag: str, who: tuple[str, str, str]) -> str:
        scheme = "<a:TaxScheme><b:ID>VAT</b:ID></a:TaxScheme>"
        tax = f"<a:PartyTaxScheme><b:CompanyID>{who[1]}</b:CompanyID>{scheme}</a:PartyTaxScheme>"
        name = f"<b:RegistrationName>{escape(who[0])}</b:RegistrationName>"
        legal = f"<a:PartyLegalEntity>{name}</a:PartyLegalEntity>"
        return f"<a:{tag}><a:Party>{tax if who[1] else ''}{legal}</a:Party></a:{tag}>"

    rate = "<b:ID>S</b:ID><b:Percent>19</b:Percent><a:TaxScheme><b:ID>VAT</b:ID></a:TaxScheme>"
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<Invoice xmlns="{space}:Invoice-2" xmlns:b="{space}:CommonBasicComponents-2"
  xmlns:a="{space}:CommonAggregateComponents-2">
<b:CustomizationID>urn:cen.eu:en16931:2017</b:CustomizationID><b:ID>{one.number}</b:ID>
<b:IssueDate>{one.issued}</b:IssueDate><b:DueDate>{one.due}</b:DueDate>
<b:InvoiceTypeCode>380</b:InvoiceTypeCode><b:DocumentCurrencyCode>EUR</b:DocumentCurrencyCode>
{party("AccountingSupplierParty", seller)}{party("AccountingCustomerParty", buyer)}
<a:PaymentMeans><b:PaymentMeansCode>58</b:PaymentMeansCode>
<a:PayeeFinancialAccount><b:ID>{seller[2]}</b:ID></a:PayeeFinancialAccount></a:PaymentMeans>
<a:TaxTotal>{money("TaxAmount", one.tax)}<a:TaxSubtotal>{money("TaxableAmount", one.net)}
{money("TaxAmount", one.tax)}<a:TaxCategory>{rate}</a:TaxCategory></a:TaxSubtotal></a:TaxTotal>
<a:LegalMonetaryTotal>{money("LineExtensionAmount", one.net)}
{money("TaxExclusiveAmount", one.net)}{money("TaxInclusiveAmount", one.gross)}
{money("PayableAmount", one.gross)}</a:LegalMonetaryTotal>
<a:InvoiceLine><b:ID>1</b:ID><b:InvoicedQuantity unitCode="C62">1</b:InvoicedQuantity>
{money("LineExtensionAmount", one.net)}<a:Item><b:Name>Work</b:Name>
<a:ClassifiedTaxCategory>{rate}</a:ClassifiedTaxCategory></a:Item>
<a:Price>{money("PriceAmount", one.net)}</a:Price></a:InvoiceLine></Invoice>
""".encode()


def cii(one: Bill) -> bytes:
    """Cross Industry Invoice D16B as EN 16931 uses it."""
    space = "urn:un:unece:uncefact:data:standard"
    seller, buyer = _parties(one)

    def day(value: date) -> str:
        return f'<u:DateTimeString format="102">{value:%Y%m%d}</u:DateTimeString>'

    def party(tag: str, who: tuple[str, str, str]) -> str:
        tax = f'<r:SpecifiedTaxRegistration><r:ID schemeID="VA">{who[1]}</r:ID>'
        tax = f"{tax}</r:SpecifiedTaxRegistration>" if who[1] else ""
        return f"<r:{tag}><r:Name>{escape(who[0])}</r:Name>{tax}</r:{tag}>"

    rate = "<r:CategoryCode>S</r:CategoryCode><r:RateApplicablePercent>19</r:RateApplicablePercent>"
    vat = "<r:TypeCode>VAT</r:TypeCode>"
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<c:CrossIndustryInvoice xmlns:c="{space}:CrossIndustryInvoice:100"
  xmlns:r="{space}:ReusableAggregateBusinessInformationEntity:100"
  xmlns:u="{space}:UnqualifiedDataType:100">
<c:ExchangedDocument><r:ID>{one.number}</r:ID><r:TypeCode>380</r:TypeCode>
<r:IssueDateTime>{day(one.issued)}</r:IssueDateTime></c:ExchangedDocument>
<c:SupplyChainTradeTransaction><r:IncludedSupplyChainTradeLineItem>
<r:AssociatedDocumentLineDocument><r:LineID>1</r:LineID></r:AssociatedDocumentLineDocument>
<r:SpecifiedTradeProduct><r:Name>Work</r:Name></r:SpecifiedTradeProduct>
<r:SpecifiedLineTradeAgreement><r:NetPriceProductTradePrice><r:ChargeAmount>{one.net}
</r:ChargeAmount></r:NetPriceProductTradePrice></r:SpecifiedLineTradeAgreement>
<r:SpecifiedLineTradeDelivery><r:BilledQuantity unitCode="C62">1</r:BilledQuantity>
</r:SpecifiedLineTradeDelivery><r:SpecifiedLineTradeSettlement>
<r:ApplicableTradeTax>{vat}{rate}</r:ApplicableTradeTax>
<r:SpecifiedTradeSettlementLineMonetarySummation><r:LineTotalAmount>{one.net}</r:LineTotalAmount>
</r:SpecifiedTradeSettlementLineMonetarySummation></r:SpecifiedLineTradeSettlement>
</r:IncludedSupplyChainTradeLineItem><r:ApplicableHeaderTradeAgreement>
{party("SellerTradeParty", seller)}{party("BuyerTradeParty", buyer)}
</r:ApplicableHeaderTradeAgreement><r:ApplicableHeaderTradeDelivery/>
<r:ApplicableHeaderTradeSettlement><r:InvoiceCurrencyCode>EUR</r:InvoiceCurrencyCode>
<r:SpecifiedTradeSettlementPaymentMeans><r:TypeCode>58</r:TypeCode>
<r:PayeePartyCreditorFinancialAccount><r:IBANID>{seller[2]}</r:IBANID>
</r:PayeePartyCreditorFinancialAccount></r:SpecifiedTradeSettlementPaymentMeans>
<r:ApplicableTradeTax><r:CalculatedAmount>{one.tax}</r:CalculatedAmount>{vat}
<r:BasisAmount>{one.net}</r:BasisAmount>{rate}</r:ApplicableTradeTax>
<r:SpecifiedTradePaymentTerms><r:DueDateDateTime>{day(one.due)}</r:DueDateDateTime>
</r:SpecifiedTradePaymentTerms><r:SpecifiedTradeSettlementHeaderMonetarySummation>
<r:LineTotalAmount>{one.net}</r:LineTotalAmount>
<r:TaxBasisTotalAmount>{one.net}</r:TaxBasisTotalAmount>
<r:TaxTotalAmount currencyID="EUR">{one.tax}</r:TaxTotalAmount>
<r:GrandTotalAmount>{one.gross}</r:GrandTotalAmount>
<r:DuePayableAmount>{one.gross}</r:DuePayableAmount>
</r:SpecifiedTradeSettlementHeaderMonetarySummation></r:ApplicableHeaderTradeSettlement>
</c:SupplyChainTradeTransaction></c:CrossIndustryInvoice>
""".encode()


def statement(lines: list[Line]) -> bytes:
    """CSV with semicolons and decimal commas."""
    rows = ["Booking date;Value date;Payee;IBAN;Purpose;Amount;Currency"]
    for line in lines:
        day, amount = f"{line.day:%d.%m.%Y}", f"{line.amount:.2f}".replace(".", ",")
        rows.append(f"{day};{day};{line.name};{line.iban};{line.text};{amount};EUR")
    return ("\r\n".join(rows) + "\r\n").encode()


def _parties(one: Bill) -> tuple[tuple[str, str, str], tuple[str, str, str]]:
    """Who sends the invoice, and who gets it."""
    us = ("Harbour Lane Trading GmbH", "DE111111117", "DE02120300000000202051")
    return (one.party, us) if one.direction == PAYABLE else (us, one.party)
