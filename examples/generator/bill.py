"""What a made document says: its parties, lines and sums."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import ROUND_HALF_UP, Decimal

CENT = Decimal("0.01")


def cents(value: Decimal) -> Decimal:
    """An amount rounded to two decimals."""
    return value.quantize(CENT, ROUND_HALF_UP)


@dataclass(frozen=True)
class Party:
    """A firm as it stands on a document; tax_id as a register knows it, tax_shown as printed."""

    name: str
    street: str
    place: str
    country: str  # ISO 3166-1 alpha-2
    phone: str = ""
    tax_id: str = ""
    tax_shown: str = ""
    iban: str = ""

    @property
    def address(self) -> tuple[str, str]:
        """Street and place, each a line."""
        return self.street, self.place


@dataclass(frozen=True)
class Item:
    """A line of a bill; rate and discount are per cent."""

    code: str
    description: str
    detail: str
    quantity: Decimal
    unit: str
    unit_price: Decimal
    rate: Decimal
    discount: Decimal = Decimal()

    @property
    def amount(self) -> Decimal:
        """Quantity times price, less the discount."""
        return cents(self.quantity * self.unit_price * (100 - self.discount) / 100)


@dataclass(frozen=True)
class Bill:
    """A whole document. With has_gross_prices the prices and amounts of lines include tax.

    rebate (per cent of the lines) and freight (net) stand between lines and net.
    """

    kind: str  # INVOICE, CREDIT_NOTE or RECEIPT
    number: str
    supplier: Party
    buyer: Party
    delivery: Party | None
    issued: date
    due: date | None
    delivered: date | None
    order: str
    customer_number: str
    original: str
    currency: str
    items: Sequence[Item]
    is_taxed: bool = True
    has_gross_prices: bool = False
    rebate: Decimal = Decimal()
    freight: Decimal = Decimal()
    prepaid: Decimal = Decimal()
    taxes: dict[Decimal, tuple[Decimal, Decimal]] = field(init=False)

    def __post_init__(self) -> None:
        """Sum the lines by rate, then take the tax of each sum: {rate: (base, tax)}."""
        sums: dict[Decimal, Decimal] = {}
        for item in self.items:
            sums[item.rate] = sums.get(item.rate, Decimal()) + item.amount
        sums = {rate: cents(total * (100 - self.rebate) / 100) for rate, total in sums.items()}
        sums[max(sums)] += self.freight
        if self.has_gross_prices:
            bases = {rate: cents(total * 100 / (100 + rate)) for rate, total in sums.items()}
            taxes = {rate: (base, sums[rate] - base) for rate, base in bases.items()}
        else:
            taxes = {rate: (base, cents(base * rate / 100)) for rate, base in sums.items()}
        object.__setattr__(self, "taxes", taxes)

    @property
    def line_sum(self) -> Decimal:
        """Sum of the lines' amounts."""
        return sum((item.amount for item in self.items), Decimal())

    @property
    def net(self) -> Decimal:
        """Sum without tax."""
        return sum((base for base, _ in self.taxes.values()), Decimal())

    @property
    def reduction(self) -> Decimal:
        """What the rebate takes off the lines, as a positive amount."""
        total = self.net + (self.tax if self.has_gross_prices else 0)
        return self.line_sum + self.freight - total

    @property
    def tax(self) -> Decimal:
        """Sum of the tax."""
        return sum((tax for _, tax in self.taxes.values()), Decimal())

    @property
    def gross(self) -> Decimal:
        """Sum with tax."""
        return self.net + self.tax

    @property
    def amount_due(self) -> Decimal:
        """What is still to be paid."""
        return self.gross - self.prepaid
