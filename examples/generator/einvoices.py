"""A bill as an e-invoice of EN 16931: UBL, CII, or a CII inside a PDF (Factur-X)."""

from collections.abc import Iterator
from decimal import Decimal

from facturx import generate_from_binary  # type: ignore[import-untyped]
from lxml import etree

from examples.make import AGGREGATE, BASIC, UBL, UBL_SPACES, cii_day, m, r, u

from .bill import Bill, Item, Party, cents

Element = etree._Element  # noqa: SLF001 - lxml gives no other name
b, a = BASIC, AGGREGATE
GUIDELINE = "urn:cen.eu:en16931:2017"


def category(rate: Decimal) -> str:
    """The code of a rate's category: standard or exempt."""
    return "S" if rate else "E"


def reductions(bill: Bill) -> Iterator[tuple[bool, Decimal, Decimal]]:
    """Charges and allowances of the whole bill: whether a charge, amount, rate."""
    for rate, (base, _) in bill.taxes.items():
        total = sum((item.amount for item in bill.items if item.rate == rate), Decimal())
        freight = bill.freight if rate == max(bill.taxes) else Decimal()
        if less := total + freight - base:
            yield False, less, rate
        if freight:
            yield True, freight, rate


def type_code(bill: Bill) -> str:
    """The code of UNTDID 1001."""
    return "381" if bill.kind == "CREDIT_NOTE" else "380"


def line_reduction(item: Item) -> Decimal:
    """What a line's discount takes off."""
    return cents(item.quantity * item.unit_price) - item.amount


def ubl(bill: Bill) -> bytes:
    """UBL 2.1, Invoice or CreditNote."""
    kind = "CreditNote" if bill.kind == "CREDIT_NOTE" else "Invoice"
    space = f"{UBL}:{kind}-2"
    root = etree.Element(f"{{{space}}}{kind}", nsmap={None: space, **UBL_SPACES})
    root.append(b.CustomizationID(GUIDELINE))
    root.append(b.ID(bill.number))
    root.append(b.IssueDate(bill.issued.isoformat()))
    if bill.due and kind == "Invoice":
        root.append(b.DueDate(bill.due.isoformat()))
    root.append(b(f"{kind}TypeCode", type_code(bill)))
    root.append(b.DocumentCurrencyCode(bill.currency))
    if bill.order:
        root.append(a.OrderReference(b.ID(bill.order)))
    if bill.original:
        root.append(a.BillingReference(a.InvoiceDocumentReference(b.ID(bill.original))))
    root.append(_ubl_party("AccountingSupplierParty", bill.supplier))
    root.append(_ubl_party("AccountingCustomerParty", bill.buyer))
    if bill.supplier.iban:
        account = a.PayeeFinancialAccount(b.ID(bill.supplier.iban))
        root.append(a.PaymentMeans(b.PaymentMeansCode("58"), account))
    for is_charge, value, rate in reductions(bill):
        root.append(_ubl_reduction(bill, value, rate, is_charge=is_charge))
    root.extend(_ubl_totals(bill))
    root.extend(_ubl_line(bill, kind, *entry) for entry in enumerate(bill.items, 1))
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8", pretty_print=True)


def _money(bill: Bill, tag: str, value: Decimal) -> Element:
    return b(tag, f"{value:f}", currencyID=bill.currency)


def _ubl_category(rate: Decimal, tag: str = "TaxCategory") -> Element:
    return a(tag, b.ID(category(rate)), b.Percent(f"{rate}"), a.TaxScheme(b.ID("VAT")))


def _ubl_party(tag: str, party: Party) -> Element:
    address = a.PostalAddress(
        b.StreetName(party.street),
        b.CityName(party.place),
        a.Country(b.IdentificationCode(party.country)),
    )
    tax = a.PartyTaxScheme(b.CompanyID(party.tax_id), a.TaxScheme(b.ID("VAT")))
    legal = a.PartyLegalEntity(b.RegistrationName(party.name))
    return a(tag, a.Party(a.PartyName(b.Name(party.name)), address, tax, legal))


def _ubl_reduction(bill: Bill, value: Decimal, rate: Decimal | None, *, is_charge: bool) -> Element:
    made = a.AllowanceCharge(
        b.ChargeIndicator("true" if is_charge else "false"), _money(bill, "Amount", value)
    )
    if rate is not None:
        made.append(_ubl_category(rate))
    return made


def _ubl_totals(bill: Bill) -> list[Element]:
    subtotals = [
        a.TaxSubtotal(
            _money(bill, "TaxableAmount", base), _money(bill, "TaxAmount", tax), _ubl_category(rate)
        )
        for rate, (base, tax) in bill.taxes.items()
    ]
    less = sum((value for is_charge, value, _ in reductions(bill) if not is_charge), Decimal())
    return [
        a.TaxTotal(_money(bill, "TaxAmount", bill.tax), *subtotals),
        a.LegalMonetaryTotal(
            _money(bill, "LineExtensionAmount", bill.line_sum),
            _money(bill, "TaxExclusiveAmount", bill.net),
            _money(bill, "TaxInclusiveAmount", bill.gross),
            _money(bill, "AllowanceTotalAmount", less),
            _money(bill, "ChargeTotalAmount", bill.freight),
            _money(bill, "PrepaidAmount", bill.prepaid),
            _money(bill, "PayableAmount", bill.amount_due),
        ),
    ]


def _ubl_line(bill: Bill, kind: str, index: int, item: Item) -> Element:
    quantity = "CreditedQuantity" if kind == "CreditNote" else "InvoicedQuantity"
    less = line_reduction(item)
    reduction = [_ubl_reduction(bill, less, None, is_charge=False)] if less else []
    return a(
        f"{kind}Line",
        b.ID(f"{index}"),
        b(quantity, f"{item.quantity:f}", unitCode="C62"),
        _money(bill, "LineExtensionAmount", item.amount),
        *reduction,
        a.Item(b.Name(item.description), _ubl_category(item.rate, "ClassifiedTaxCategory")),
        a.Price(_money(bill, "PriceAmount", item.unit_price)),
    )


def cii(bill: Bill) -> bytes:
    """UN/CEFACT Cross Industry Invoice D16B."""
    agreement = r.ApplicableHeaderTradeAgreement(
        _cii_party("SellerTradeParty", bill.supplier), _cii_party("BuyerTradeParty", bill.buyer)
    )
    if bill.order:
        agreement.append(r.BuyerOrderReferencedDocument(r.IssuerAssignedID(bill.order)))
    tree = m.CrossIndustryInvoice(
        m.ExchangedDocumentContext(r.GuidelineSpecifiedDocumentContextParameter(r.ID(GUIDELINE))),
        m.ExchangedDocument(
            r.ID(bill.number), r.TypeCode(type_code(bill)), cii_day("IssueDateTime", bill.issued)
        ),
        m.SupplyChainTradeTransaction(
            *(_cii_line(*entry) for entry in enumerate(bill.items, 1)),
            agreement,
            r.ApplicableHeaderTradeDelivery(),
            _cii_settlement(bill),
        ),
    )
    return etree.tostring(tree, xml_declaration=True, encoding="UTF-8", pretty_print=True)


def _cii_party(tag: str, party: Party) -> Element:
    address = r.PostalTradeAddress(
        r.LineOne(party.street), r.CityName(party.place), r.CountryID(party.country)
    )
    tax = r.SpecifiedTaxRegistration(r.ID(party.tax_id, schemeID="VA"))
    return r(tag, r.Name(party.name), address, tax)


def _cii_rate(rate: Decimal) -> list[Element]:
    return [r.CategoryCode(category(rate)), r.RateApplicablePercent(f"{rate}")]


def _cii_reduction(value: Decimal, rate: Decimal | None, *, is_charge: bool) -> Element:
    made = r.SpecifiedTradeAllowanceCharge(
        r.ChargeIndicator(u.Indicator("true" if is_charge else "false")),
        r.ActualAmount(f"{value}"),
        r.Reason("-"),
    )
    if rate is not None:
        made.append(r.CategoryTradeTax(r.TypeCode("VAT"), *_cii_rate(rate)))
    return made


def _cii_line(index: int, item: Item) -> Element:
    less = line_reduction(item)
    reduction = [_cii_reduction(less, None, is_charge=False)] if less else []
    price = r.NetPriceProductTradePrice(r.ChargeAmount(f"{item.unit_price:f}"))
    return r.IncludedSupplyChainTradeLineItem(
        r.AssociatedDocumentLineDocument(r.LineID(f"{index}")),
        r.SpecifiedTradeProduct(r.Name(item.description)),
        r.SpecifiedLineTradeAgreement(price),
        r.SpecifiedLineTradeDelivery(r.BilledQuantity(f"{item.quantity:f}", unitCode="C62")),
        r.SpecifiedLineTradeSettlement(
            r.ApplicableTradeTax(r.TypeCode("VAT"), *_cii_rate(item.rate)),
            *reduction,
            r.SpecifiedTradeSettlementLineMonetarySummation(r.LineTotalAmount(f"{item.amount}")),
        ),
    )


def _cii_settlement(bill: Bill) -> Element:
    made = r.ApplicableHeaderTradeSettlement(r.InvoiceCurrencyCode(bill.currency))
    if bill.supplier.iban:
        account = r.PayeePartyCreditorFinancialAccount(r.IBANID(bill.supplier.iban))
        made.append(r.SpecifiedTradeSettlementPaymentMeans(r.TypeCode("58"), account))
    for rate, (base, tax) in bill.taxes.items():
        made.append(
            r.ApplicableTradeTax(
                r.CalculatedAmount(f"{tax}"),
                r.TypeCode("VAT"),
                r.BasisAmount(f"{base}"),
                *_cii_rate(rate),
            )
        )
    for is_charge, value, rate in reductions(bill):
        made.append(_cii_reduction(value, rate, is_charge=is_charge))
    if bill.due and bill.kind == "INVOICE":
        made.append(r.SpecifiedTradePaymentTerms(cii_day("DueDateDateTime", bill.due)))
    less = sum((value for is_charge, value, _ in reductions(bill) if not is_charge), Decimal())
    made.append(
        r.SpecifiedTradeSettlementHeaderMonetarySummation(
            r.LineTotalAmount(f"{bill.line_sum}"),
            r.ChargeTotalAmount(f"{bill.freight}"),
            r.AllowanceTotalAmount(f"{less}"),
            r.TaxBasisTotalAmount(f"{bill.net}"),
            r.TaxTotalAmount(f"{bill.tax}", currencyID=bill.currency),
            r.GrandTotalAmount(f"{bill.gross}"),
            r.TotalPrepaidAmount(f"{bill.prepaid}"),
            r.DuePayableAmount(f"{bill.amount_due}"),
        )
    )
    if bill.original:
        made.append(r.InvoiceReferencedDocument(r.IssuerAssignedID(bill.original)))
    return made


def facturx(bill: Bill, page: bytes) -> bytes:
    """A page with the CII of the bill inside; the schema is checked."""
    made = generate_from_binary(
        page, cii(bill), flavor="factur-x", level="en16931", check_xsd=True, check_schematron=False
    )
    return bytes(made)
