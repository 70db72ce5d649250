"""The reasons of a match, as short sentences that a person can check."""

from .assignment import Group
from .evidence import Book, Evidence
from .records import to_decimal
from .references import WAYS


def explain(book: Book, group: Group) -> tuple[str, ...]:
    """What speaks for the group, the strongest first; what speaks against it last."""
    reasons = [_amount(book, group), *_numbers(book, group)]
    reasons += list(dict.fromkeys(_payer(book, each) for each in group.evidence))
    reasons += [_day(book, each) for each in group.evidence[:1]]
    if any(each.names_another for each in group.evidence):
        reasons.append("The text names another invoice.")
    return tuple(reason for reason in reasons if reason)


def _amount(book: Book, group: Group) -> str:
    paid = to_decimal(abs(sum(book.paid[t] for t in group.transactions)))
    due = to_decimal(abs(sum(book.due[i] for i in group.invoices)))
    currency = book.transactions[group.transactions[0]].currency_code
    billed = book.invoices[group.invoices[0]].currency_code
    missing = abs(due - paid)
    if group.relation.kind == "EXACT":
        if len(group.transactions) > 1:
            return f"{len(group.transactions)} payments add up to {due} {currency} exactly."
        if len(group.invoices) > 1:
            return f"{len(group.invoices)} documents add up to {paid} {currency} exactly."
        return f"Amount is exact: {paid} {currency}."
    return {
        "ROUNDED": f"Amount differs by {missing} {currency} of rounding.",
        "DISCOUNT": f"Amount is {due} less {group.relation.percent} % discount.",
        "FEE": f"Amount is {missing} {currency} short, which may be a bank charge or a deduction.",
        "FX": f"{paid} {currency} is {due} {billed} at the rate of those days.",
        "FX_UNKNOWN": f"{paid} {currency} for {due} {billed}; no rate is known.",
        "FX_PARTIAL": f"{paid} {currency} is a part of {due} {billed}.",
        "PARTIAL": f"{paid} of {due} {currency} is paid; {missing} stays open.",
        "OVERPAID": f"{paid} is {missing} {currency} more than is due.",
    }[group.relation.kind]


def _numbers(book: Book, group: Group) -> list[str]:
    reasons = []
    for each in group.evidence:
        if each.reference:
            number = book.invoices[each.invoice].number
            reasons.append(f"{number}: {WAYS[each.reference]}.")
    return list(dict.fromkeys(reasons))


def _payer(book: Book, evidence: Evidence) -> str:
    stated = book.transactions[evidence.transaction].counterparty_name
    known = book.invoices[evidence.invoice].counterparty_name
    way = evidence.party.way
    if not way:
        if evidence.party.bits < 0:
            return f"But the payer {stated or 'by its account'} is not known as {known}."
        return ""
    if way.startswith(("same account", "name in")) or not stated:
        return f"Payer {known}: {way}."
    return f"Payer {stated} is {known}: {way}."


def _day(book: Book, evidence: Evidence) -> str:
    bill = book.invoices[evidence.invoice]
    late = (book.transactions[evidence.transaction].booking_date - bill.due_date).days
    if late == 0:
        return "Paid on the day it was due."
    days = "day" if abs(late) == 1 else "days"
    return f"Paid {abs(late)} {days} {'after' if late > 0 else 'before'} it was due."
