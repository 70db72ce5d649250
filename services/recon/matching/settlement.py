"""How much of each transaction settles how much of each invoice."""

from .assignment import Group
from .evidence import Book
from .records import PARTS, Allocation, to_decimal

# What is missing counts as settled in these cases: a discount, a fee, rounding or a rate.
IN_FULL = frozenset({"EXACT", "ROUNDED", "DISCOUNT", "FEE", "FX"})


def allocate(book: Book, group: Group) -> tuple[Allocation, ...]:
    """Allocations of the group: never more than was paid, never more than is open."""
    if len(group.transactions) > 1:
        return _of_one_invoice(book, group)
    return _of_one_transaction(book, group)


def _of_one_invoice(book: Book, group: Group) -> tuple[Allocation, ...]:
    bill = book.invoices[group.invoices[0]]
    made = []
    for each in group.transactions:
        transaction = book.transactions[each]
        amount = to_decimal(abs(book.paid[each]))
        made.append(Allocation(transaction.transaction_id, bill.invoice_id, amount, amount))
    return tuple(made)


def _of_one_transaction(book: Book, group: Group) -> tuple[Allocation, ...]:
    position = group.transactions[0]
    transaction, left = book.transactions[position], abs(book.paid[position])
    direction = 1 if book.paid[position] > 0 else -1
    bills = sorted(
        group.invoices, key=lambda i: (book.due[i] * direction, book.invoices[i].due_date)
    )
    due = {i: book.due[i] * direction for i in bills}
    total, cent = sum(due.values()), PARTS // 100
    made = []
    for n, each in enumerate(bills):
        settled = due[each]
        if book.invoices[each].currency_code != transaction.currency_code:
            share, settled = left, _converted(book, group, each, left)
        elif group.relation.kind == "EXACT":
            share = settled
        elif group.relation.kind not in IN_FULL:
            share = settled = min(due[each], left)
        elif n == len(bills) - 1:
            share = left
        else:
            share = due[each] * abs(book.paid[position]) // total // cent * cent
        left -= share
        made.append(
            Allocation(
                transaction.transaction_id,
                book.invoices[each].invoice_id,
                to_decimal(share),
                to_decimal(settled),
            )
        )
    return tuple(made)


def _converted(book: Book, group: Group, invoice: int, paid: int) -> int:
    """How much of an invoice in another currency is paid: all of it, unless a rate says less."""
    due = abs(book.due[invoice])
    if group.relation.kind != "FX_PARTIAL":
        return due
    transaction, bill = book.transactions[group.transactions[0]], book.invoices[invoice]
    rate = book.rate(bill.currency_code, transaction.currency_code, transaction.booking_date)
    cent = PARTS // 100
    return min(due, round(paid / rate) // cent * cent)
