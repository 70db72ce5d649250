"""What a reader should find in a document that was made, as JSON-able keys."""

from typing import Any

from .bill import Bill
from .layouts import Layout
from .tables import chosen


def plain(value: Any) -> str:
    """A number without exponent and without zeros that say nothing."""
    return format(value.normalize(), "f")


def truth(bill: Bill, layout: Layout | None = None) -> dict[str, Any]:
    """The expected fields. Without a layout everything that an e-invoice holds.

    A field that the page does not show is left out. "made" of the caller says how it looks.
    """
    own = bill.supplier
    is_einvoice = layout is None
    found: dict[str, Any] = {
        "document_type": bill.kind,
        "invoice_number": bill.number,
        "issue_date": bill.issued.isoformat(),
        "supplier_name": own.name,
        "supplier_tax_ids": sorted({own.tax_id, own.tax_shown.removesuffix(" MWST")}),
        "buyer_name": bill.buyer.name,
        "currency": bill.currency,
        "gross": f"{bill.gross}",
        "lines": lines(bill, layout),
    }
    if own.iban:
        found["iban"] = own.iban
    if bill.due and not (is_einvoice and bill.kind == "CREDIT_NOTE"):
        found["due_date"] = bill.due.isoformat()
    if bill.order:
        found["order_reference"] = bill.order
    if bill.is_taxed or is_einvoice:
        found["tax"] = f"{bill.tax}"
    if (bill.is_taxed and not bill.has_gross_prices) or is_einvoice:
        found["net"] = f"{bill.net}"
    if bill.prepaid:
        found["amount_due"] = f"{bill.amount_due}"
    return found


def lines(bill: Bill, layout: Layout | None) -> list[dict[str, str]]:
    """The expected lines; detail is the small print that a page shows below the description."""
    keys = chosen(bill, layout.columns) if layout else ["quantity", "unit_price"]
    made = []
    for item in bill.items:
        line = {"description": item.description, "amount": f"{item.amount}"}
        if layout and layout.has_details:
            line["detail"] = item.detail
        if "quantity" in keys:
            line["quantity"] = plain(item.quantity)
        if "unit_price" in keys:
            line["unit_price"] = plain(item.unit_price)
        made.append(line)
    return made
