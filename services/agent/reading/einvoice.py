"""Electronic invoices read exactly: CII (Factur-X, ZUGFeRD 1 and 2) and UBL, alone or in a PDF."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

import pypdfium2  # type: ignore[import-untyped]
from lxml import etree

from .errors import Unreadable

MAX_XML_BYTES = 20 * 1024 * 1024
CREDIT_NOTE_CODES = {"81", "83", "261", "262", "296", "308", "381", "396", "420", "458", "532"}
RESERVED_NAMES = {"factur-x.xml", "zugferd-invoice.xml", "xrechnung.xml", "zugferd-invoice_2p0.xml"}
MOST_ATTACHMENTS = 20
# lines that only head others or say something: their amounts are in those of other lines
NOT_ITEMS = {"GROUP", "INFORMATION"}
PRICE_PLACES = Decimal("1e-8")
CII_ROOTS = {"CrossIndustryInvoice", "CrossIndustryDocument"}
UBL_ROOTS = {"Invoice", "CreditNote"}

Node = etree._Element  # noqa: SLF001 - lxml has no public name for it


@dataclass(frozen=True)
class EInvoice:
    """What an e-invoice says: fields by name, item lines, and which syntax it came in."""

    fields: dict[str, Any]
    lines: list[dict[str, str | None]]
    syntax: str


def parse(data: bytes) -> EInvoice:
    """Read one XML invoice. Raises Unreadable (BROKEN, XML_FORBIDDEN, NOT_AN_INVOICE)."""
    root = _unwrapped(_root(data))
    name = etree.QName(root).localname
    if name in CII_ROOTS:
        return EInvoice(_cii_fields(root), list(_cii_lines(root)), "CII")
    if name in UBL_ROOTS and "ubl" in (etree.QName(root).namespace or ""):
        return EInvoice(_ubl_fields(root), list(_ubl_lines(root)), "UBL")
    raise Unreadable("NOT_AN_INVOICE", "The XML is neither a CII nor a UBL invoice.")


def _unwrapped(root: Node) -> Node:
    """Return the invoice in the envelope that networks send it in (SBDH), or the root itself."""
    if etree.QName(root).localname != "StandardBusinessDocument":
        return root
    inside = (node for node in root if etree.QName(node).localname in CII_ROOTS | UBL_ROOTS)
    return next(inside, root)


def embedded(pdf: pypdfium2.PdfDocument) -> EInvoice | None:
    """Return the invoice attached to a PDF, or None if no attachment is one."""
    for attachment in _attachments(pdf):
        try:
            return parse(bytes(attachment.get_data()))
        except (Unreadable, pypdfium2.PdfiumError):
            continue
    return None


def _attachments(pdf: pypdfium2.PdfDocument) -> list[pypdfium2.PdfAttachment]:
    """Return the attached XML files, those first that bear a name reserved for the invoice."""
    found = []
    for index in range(min(pdf.count_attachments(), MOST_ATTACHMENTS)):
        try:
            attachment = pdf.get_attachment(index)
            name = attachment.get_name().lower()
        except pypdfium2.PdfiumError:
            continue
        if name.endswith(".xml"):
            found.append((name not in RESERVED_NAMES, index, attachment))
    return [attachment for _, _, attachment in sorted(found, key=lambda each: each[:2])]


def _root(data: bytes) -> Node:
    if len(data) > MAX_XML_BYTES:
        raise Unreadable("XML_FORBIDDEN", "The XML is larger than 20 MB.")
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        raise Unreadable("XML_FORBIDDEN", "An invoice must not have a DOCTYPE.")
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise Unreadable("BROKEN", "The XML cannot be parsed.") from error
    # a DOCTYPE in another encoding (UTF-16) is not seen in the bytes
    if root.getroottree().docinfo.doctype:  # type: ignore[union-attr]
        raise Unreadable("XML_FORBIDDEN", "An invoice must not have a DOCTYPE.")
    return root


def _all(node: Node | None, path: str) -> list[Node]:
    """Return the descendants at a path of local names; "A|B" in a step takes either."""
    found = [] if node is None else [node]
    for step in path.split("/"):
        names = step.split("|")
        found = [c for n in found for c in n if etree.QName(c).localname in names]
    return found


def _one(node: Node | None, path: str) -> Node | None:
    found = _all(node, path)
    return found[0] if found else None


def _text(node: Node | None, path: str) -> str | None:
    for found in _all(node, path):
        if found.text and found.text.strip():
            return found.text.strip()
    return None


def plain(number: Decimal) -> str:
    """Return a number without exponent, as it travels."""
    return format(number, "f")


def _decimal(text: str | None) -> Decimal | None:
    try:
        number = Decimal(text) if text else None
    except InvalidOperation:
        return None
    return number if number is not None and number.is_finite() else None


def _number(node: Node | None, path: str) -> str | None:
    number = _decimal(_text(node, path))
    return None if number is None else plain(number)


def _each(price: str | None, per: str | None) -> str | None:
    """Return the price of one unit, where it is given for more of them, as for 100."""
    count = _decimal(per)
    if price is None or count is None or count in (0, 1):
        return price
    one = (Decimal(price) / count).quantize(PRICE_PLACES).normalize()
    return plain(one)


def _date(text: str | None) -> str | None:
    """Return an ISO date from "20180305" or "2018-03-05" (a time behind it is cut off)."""
    digits = (text or "").strip().replace("-", "")[:8]
    try:
        return date(int(digits[:4]), int(digits[4:6]), int(digits[6:8])).isoformat()
    except ValueError:
        return None


def _kept(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value not in (None, "", [])}


def _document_type(code: str | None, *, credit_root: bool = False) -> str:
    return "CREDIT_NOTE" if credit_root or code in CREDIT_NOTE_CODES else "INVOICE"


def _own_currency(nodes: list[Node], currency: str | None) -> Node | None:
    """Return the amount in the invoice's currency (the tax total may come in two)."""
    for node in nodes:
        if node.get("currencyID") in (None, "", currency):
            return node
    return nodes[0] if nodes else None


def _value(node: Node | None) -> str | None:
    number = _decimal(node.text.strip() if node is not None and node.text else None)
    return None if number is None else plain(number)


def _tax(total: str | None, net: str | None, gross: str | None) -> str | None:
    """Return the tax total; where none is given it is what lies between net and gross."""
    if total is None and net is not None and gross is not None:
        return plain(Decimal(gross) - Decimal(net))
    return total


def _tax_ids(party: Node | None, path: str) -> list[str]:
    found = [(n.text or "").strip() for n in _all(party, path)]
    return list(dict.fromkeys(i for i in found if i))


def _cii_address(party: Node | None) -> str | None:
    place = _one(party, "PostalTradeAddress")
    town = [_text(place, "PostcodeCode"), _text(place, "CityName")]
    lines = [_text(place, step) for step in ("LineOne", "LineTwo", "LineThree")]
    lines += [" ".join(t for t in town if t), _text(place, "CountryID")]
    return "\n".join(line for line in lines if line) or None


def _cii_fields(root: Node) -> dict[str, Any]:
    document = _one(root, "ExchangedDocument|HeaderExchangedDocument")
    trade = _one(root, "SupplyChainTradeTransaction|SpecifiedSupplyChainTradeTransaction")
    agreed = _one(trade, "ApplicableHeaderTradeAgreement|ApplicableSupplyChainTradeAgreement")
    settled = _one(trade, "ApplicableHeaderTradeSettlement|ApplicableSupplyChainTradeSettlement")
    seller, buyer = _one(agreed, "SellerTradeParty"), _one(agreed, "BuyerTradeParty")
    return _kept(
        {
            "document_type": _document_type(_text(document, "TypeCode")),
            "invoice_number": _text(document, "ID"),
            "issue_date": _date(_text(document, "IssueDateTime/DateTimeString|DateTime")),
            "due_date": _date(
                _text(settled, "SpecifiedTradePaymentTerms/DueDateDateTime/DateTimeString|DateTime")
            ),
            "supplier_name": _text(seller, "Name"),
            "supplier_address": _cii_address(seller),
            "supplier_tax_ids": _tax_ids(seller, "SpecifiedTaxRegistration/ID"),
            "iban": _cii_account(settled),
            "buyer_name": _text(buyer, "Name"),
            "order_reference": _text(agreed, "BuyerOrderReferencedDocument/IssuerAssignedID|ID"),
            **_cii_amounts(settled),
        }
    )


def _cii_account(settled: Node | None) -> str | None:
    """Return the account that is paid to; with a direct debit, the one that is debited."""
    means = "SpecifiedTradeSettlementPaymentMeans"
    to = _text(settled, f"{means}/PayeePartyCreditorFinancialAccount/IBANID|ProprietaryID")
    debited = f"{means}/PayerPartyDebtorFinancialAccount/IBANID|ProprietaryID"
    return _account(to or _text(settled, debited))


def _account(text: str | None) -> str | None:
    """Return an account number without the spaces that some write in it."""
    return None if text is None else "".join(text.split())


def _cii_amounts(settled: Node | None) -> dict[str, Any]:
    currency = _text(settled, "InvoiceCurrencyCode")
    total = _one(
        settled,
        "SpecifiedTradeSettlementHeaderMonetarySummation|SpecifiedTradeSettlementMonetarySummation",
    )
    net, gross = _number(total, "TaxBasisTotalAmount"), _number(total, "GrandTotalAmount")
    tax = _value(_own_currency(_all(total, "TaxTotalAmount"), currency))
    return {
        "currency_code": currency,
        "line_total": _number(total, "LineTotalAmount"),
        "allowance_total": _number(total, "AllowanceTotalAmount"),
        "charge_total": _number(total, "ChargeTotalAmount"),
        "net": net,
        "tax": _tax(tax, net, gross),
        "tax_breakdown": [
            _kept(
                {
                    "rate": _number(part, "RateApplicablePercent|ApplicablePercent"),
                    "base": _number(part, "BasisAmount"),
                    "amount": _number(part, "CalculatedAmount"),
                }
            )
            for part in _all(settled, "ApplicableTradeTax")
        ],
        "gross": gross,
        "prepaid": _number(total, "TotalPrepaidAmount"),
        "amount_due": _number(total, "DuePayableAmount"),
    }


def _cii_lines(root: Node) -> Iterator[dict[str, str | None]]:
    trade = _one(root, "SupplyChainTradeTransaction|SpecifiedSupplyChainTradeTransaction")
    for item in _all(trade, "IncludedSupplyChainTradeLineItem"):
        agreed = _one(item, "SpecifiedLineTradeAgreement|SpecifiedSupplyChainTradeAgreement")
        delivered = _one(item, "SpecifiedLineTradeDelivery|SpecifiedSupplyChainTradeDelivery")
        settled = _one(item, "SpecifiedLineTradeSettlement|SpecifiedSupplyChainTradeSettlement")
        summed = (
            "SpecifiedTradeSettlementLineMonetarySummation"
            "|SpecifiedTradeSettlementMonetarySummation/LineTotalAmount"
        )
        amount = _number(settled, summed)
        quantity = _one(delivered, "BilledQuantity")
        if amount is None and quantity is None:
            continue  # a line of ZUGFeRD 1 that holds only a note
        if _text(item, "AssociatedDocumentLineDocument/LineStatusReasonCode") in NOT_ITEMS:
            continue
        price = _one(agreed, "NetPriceProductTradePrice")
        yield {
            "description": _text(item, "SpecifiedTradeProduct/Name")
            or _text(item, "SpecifiedTradeProduct/Description")
            or _text(item, "AssociatedDocumentLineDocument/IncludedNote/Content"),
            "quantity": _value(quantity),
            "unit": None if quantity is None else quantity.get("unitCode"),
            "unit_price": _each(_number(price, "ChargeAmount"), _text(price, "BasisQuantity")),
            "tax_rate": _number(
                settled, "ApplicableTradeTax/RateApplicablePercent|ApplicablePercent"
            ),
            "amount": amount,
        }


def _ubl_address(party: Node | None) -> str | None:
    place = _one(party, "PostalAddress")
    town = [_text(place, "PostalZone"), _text(place, "CityName")]
    lines = [_text(place, "StreetName"), _text(place, "AdditionalStreetName")]
    lines += [_text(place, "AddressLine/Line"), " ".join(t for t in town if t)]
    lines += [_text(place, "Country/IdentificationCode")]
    return "\n".join(line for line in lines if line) or None


def _ubl_name(party: Node | None) -> str | None:
    return _text(party, "PartyLegalEntity/RegistrationName") or _text(party, "PartyName/Name")


def _ubl_fields(root: Node) -> dict[str, Any]:
    seller = _one(root, "AccountingSupplierParty/Party")
    buyer = _one(root, "AccountingCustomerParty/Party")
    code = _text(root, "InvoiceTypeCode|CreditNoteTypeCode")
    credit = etree.QName(root).localname == "CreditNote"
    due = _text(root, "DueDate") or _text(root, "PaymentMeans/PaymentDueDate")
    account = _account(_text(root, "PaymentMeans/PayeeFinancialAccount/ID"))
    return _kept(
        {
            "document_type": _document_type(code, credit_root=credit),
            "invoice_number": _text(root, "ID"),
            "issue_date": _date(_text(root, "IssueDate")),
            "due_date": _date(due or _text(root, "PaymentTerms/PaymentDueDate")),
            "supplier_name": _ubl_name(seller),
            "supplier_address": _ubl_address(seller),
            "supplier_tax_ids": _tax_ids(seller, "PartyTaxScheme/CompanyID"),
            "iban": account,
            "buyer_name": _ubl_name(buyer),
            "order_reference": _text(root, "OrderReference/ID"),
            **_ubl_amounts(root),
        }
    )


def _ubl_amounts(root: Node) -> dict[str, Any]:
    currency = _text(root, "DocumentCurrencyCode")
    total = _one(root, "LegalMonetaryTotal")
    net, gross = _number(total, "TaxExclusiveAmount"), _number(total, "TaxInclusiveAmount")
    parts = [
        part
        for part in _all(root, "TaxTotal/TaxSubtotal")
        if (_one(part, "TaxAmount") is None)
        or _all(part, "TaxAmount")[0].get("currencyID") in (None, currency)
    ]
    return {
        "currency_code": currency,
        "line_total": _number(total, "LineExtensionAmount"),
        "allowance_total": _number(total, "AllowanceTotalAmount"),
        "charge_total": _number(total, "ChargeTotalAmount"),
        "net": net,
        "tax": _tax(_value(_own_currency(_all(root, "TaxTotal/TaxAmount"), currency)), net, gross),
        "tax_breakdown": [
            _kept(
                {
                    "rate": _number(part, "TaxCategory/Percent") or _number(part, "Percent"),
                    "base": _number(part, "TaxableAmount"),
                    "amount": _number(part, "TaxAmount"),
                }
            )
            for part in parts
        ],
        "gross": gross,
        "prepaid": _number(total, "PrepaidAmount"),
        "amount_due": _number(total, "PayableAmount"),
    }


def _ubl_lines(root: Node) -> Iterator[dict[str, str | None]]:
    for item in _all(root, "InvoiceLine|CreditNoteLine"):
        quantity = _one(item, "InvoicedQuantity|CreditedQuantity")
        yield {
            "description": _text(item, "Item/Name") or _text(item, "Item/Description"),
            "quantity": _value(quantity),
            "unit": None if quantity is None else quantity.get("unitCode"),
            "unit_price": _each(
                _number(item, "Price/PriceAmount"), _text(item, "Price/BaseQuantity")
            ),
            "tax_rate": _number(item, "Item/ClassifiedTaxCategory/Percent"),
            "amount": _number(item, "LineExtensionAmount"),
        }
