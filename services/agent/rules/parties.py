"""Who is who: by what parties are the same, and whether one of them is the organization itself."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from auditron.invoice.v1 import invoice_pb2

from ..reading.values import tokens

# What stands behind a firm's name and is often left out.
_FORMS = frozenset(
    (  # noqa: SIM905  # as a list it would fill a page
        "ab ag as bv bvba co corp corporation company eg ek eurl ev gbr gmbh inc incorporated kft "
        "kg kgaa limited llc llp ltd mbh nv ohg oy plc sa sarl sas sasu se sl slu sp spa srl sro "
        "ug zoo"
    ).split()
)
PAYABLE = invoice_pb2.DIRECTION_PAYABLE
RECEIVABLE = invoice_pb2.DIRECTION_RECEIVABLE
Answer = dict[str, Any]


@dataclass(frozen=True)
class Keys:
    """By what a party is found again; '' where it cannot be told."""

    name_key: str
    tax_key: str


def name_key(name: str) -> str:
    """Return a firm's name without case, accents, blanks and legal form."""
    words = tokens(name.replace(".", ""))
    while len(words) > 1 and words[-1] in _FORMS:
        words.pop()
    return "".join(words)


def tax_key(tax_ids: Iterable[str]) -> str:
    """Return one of the tax ids, whatever their order: letters and digits of the VAT id."""
    return max((bare(each) for each in tax_ids), default="")


def bare(text: str) -> str:
    """Return a number or id without case, blanks and signs."""
    return "".join(tokens(text))


def keys(party: invoice_pb2.Party) -> Keys:
    """Return the keys of a party."""
    return Keys(name_key(party.display_name), tax_key(party.tax_ids))


def counterparty(invoice: invoice_pb2.Invoice) -> invoice_pb2.Party:
    """Return who sends the bill, or to whom we send it."""
    return invoice.customer if invoice.direction == RECEIVABLE else invoice.supplier


def placed(
    answer: Answer, own_name: str, own_tax_ids: Sequence[str], declared: int
) -> tuple[Answer, int, str]:
    """Return the answer with its parties in their places, the direction, and why.

    The direction is UNSPECIFIED where nothing says that the organization is one of the parties;
    what the sender declared stands then.
    """
    fields = answer["fields"]
    own_ids = {bare(each) for each in own_tax_ids}
    ids = {bare(each) for each in _value(fields, "supplier_tax_ids") or ()}
    if ids & own_ids:
        return answer, RECEIVABLE, "the supplier's tax id is the organization's own"
    own, supplier = name_key(own_name), name_key(str(_value(fields, "supplier_name") or ""))
    buyer = name_key(str(_value(fields, "buyer_name") or ""))
    if own and supplier == own != buyer:
        return _own_name_first(answer, own, declared, other_id=bool(ids and own_ids))
    if own and buyer == own:
        return answer, PAYABLE, "the customer has the organization's own name"
    return answer, invoice_pb2.DIRECTION_UNSPECIFIED, ""


def _own_name_first(
    answer: Answer, own: str, declared: int, *, other_id: bool
) -> tuple[Answer, int, str]:
    """Tell a bill of ours from one whose sender was taken for its addressee.

    A sender stands above the addressee: another name above ours is the sender's.
    """
    fields = answer["fields"]
    ours = fields["supplier_name"]
    if ours["source"] == "E_INVOICE" or declared == RECEIVABLE:
        return answer, RECEIVABLE, "the supplier has the organization's own name"
    others = [
        each
        for each in (*ours["candidates"], fields.get("buyer_name") or {})
        if each and name_key(str(each["value"])) != own and (other_id or _above(each, ours))
    ]
    if not others:
        return answer, RECEIVABLE, "the supplier has the organization's own name"
    why = "it stands above the organization's own name, which is the addressee"
    sender = {**others[0], "candidates": [], "confidence": min(others[0]["confidence"], 0.5)}
    sender["reason"] = f"{sender['reason']}; {why}"
    turned = {**fields, "supplier_name": sender, "buyer_name": ours}
    turned.pop("supplier_address", None)
    return {**answer, "fields": turned}, PAYABLE, "the customer has the organization's own name"


def _above(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    if not one.get("box") or not other.get("box"):
        return False
    return bool((one["page"], one["box"][1]) < (other["page"], other["box"][1]))


def _value(fields: Mapping[str, Any], name: str) -> Any:
    found = fields.get(name)
    return found["value"] if found else None
