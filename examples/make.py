"""Makes the documents and the bank statement that lie beside it: `python examples/make.py`.

Every company in them is invented. Each run makes documents that say the same.
"""

import io
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import pypdfium2
from facturx import generate_from_binary  # type: ignore[import-untyped]
from fpdf import FPDF
from lxml import etree
from lxml.builder import ElementMaker
from PIL import Image, ImageDraw, ImageFilter, ImageFont

FOLDER = Path(__file__).resolve().parent
CENT = Decimal("0.01")
MADE = datetime(2026, 10, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Company:
    """A company as it stands on its documents."""

    name: str
    street: str
    city: str
    region: str  # ISO 3166-1 alpha-2
    tax_id: str
    iban: str = ""


@dataclass(frozen=True)
class Item:
    """One line of a bill; price is net, rate is per cent."""

    description: str
    quantity: Decimal
    price: Decimal
    rate: Decimal

    @property
    def amount(self) -> Decimal:
        """Net amount of the line."""
        return (self.quantity * self.price).quantize(CENT, ROUND_HALF_UP)


@dataclass(frozen=True)
class Bill:
    """What a document says."""

    number: str
    seller: Company
    buyer: Company
    issued: date
    due: date
    items: Sequence[Item]
    is_credit: bool = False
    currency: str = "EUR"
    order: str = ""
    taxes: dict[Decimal, tuple[Decimal, Decimal]] = field(init=False)

    def __post_init__(self) -> None:
        """Sum the lines by rate, then take the tax of each sum, as EN 16931 wants it."""
        bases: dict[Decimal, Decimal] = {}
        for item in self.items:
            bases[item.rate] = bases.get(item.rate, Decimal()) + item.amount
        taxes = {
            rate: (base, (base * rate / 100).quantize(CENT, ROUND_HALF_UP))
            for rate, base in bases.items()
        }
        object.__setattr__(self, "taxes", taxes)

    @property
    def net(self) -> Decimal:
        """Sum without tax."""
        return sum((base for base, _ in self.taxes.values()), Decimal())

    @property
    def tax(self) -> Decimal:
        """Sum of the tax."""
        return sum((tax for _, tax in self.taxes.values()), Decimal())

    @property
    def gross(self) -> Decimal:
        """Sum with tax."""
        return self.net + self.tax


US = Company(
    "Harbour Lane Trading GmbH",
    "Speicherstrasse 14",
    "20457 Hamburg",
    "DE",
    "DE111111117",
    "DE02120300000000202051",
)
PAPER = Company(
    "Papierwerk Nord GmbH",
    "Industrieweg 8",
    "28199 Bremen",
    "DE",
    "DE222222220",
    "DE02500105170137075030",
)
CLOUD = Company(
    "Nimbus Hosting SARL",
    "12 rue des Ateliers",
    "69007 Lyon",
    "FR",
    "FR11123456782",
    "FR7630006000011234567890189",
)
POWER = Company(
    "Elbstrom Energie AG",
    "Am Kraftwerk 1",
    "20539 Hamburg",
    "DE",
    "DE333333339",
    "DE02100100100006820101",
)
FREIGHT = Company(
    "Delta Freight B.V.",
    "Havenstraat 77",
    "3011 TA Rotterdam",
    "NL",
    "NL111111110B01",
    "NL02ABNA0123456789",
)
CLEAN = Company(
    "Blankform Gebaeudereinigung",
    "Lindenallee 3",
    "22767 Hamburg",
    "DE",
    "DE444444443",
    "DE02701500000000594937",
)
CUSTOMER = Company("Orchard Street Books Ltd", "5 Orchard Street", "Bristol BS1 5EH", "GB", "")


def item(description: str, quantity: str, price: str, rate: str = "19") -> Item:
    """A line from plain texts."""
    return Item(description, Decimal(quantity), Decimal(price), Decimal(rate))


def bills() -> dict[str, Bill]:
    """Every bill of the set, by the name of its file without the ending."""
    return office_bills() | power_and_freight_bills() | house_bills()


def office_bills() -> dict[str, Bill]:
    """Paper and hosting."""
    return {
        "01-paper-text": Bill(
            "PN-2026-0417",
            PAPER,
            US,
            date(2026, 9, 2),
            date(2026, 10, 2),
            [
                item("Copy paper A4 80 g, box of 5", "12", "21.90"),
                item("Folder, grey, 75 mm", "40", "2.35"),
                item("Trade calendar 2027", "6", "9.80", "7"),
            ],
            order="HL-7731",
        ),
        "02-hosting-facturx": Bill(
            "F2026/0931",
            CLOUD,
            US,
            date(2026, 9, 5),
            date(2026, 10, 5),
            [
                item("Managed server, September", "1", "340.00", "20"),
                item("Storage per 100 GB", "8", "6.50", "20"),
            ],
        ),
    }


def power_and_freight_bills() -> dict[str, Bill]:
    """Electricity, freight, and a credit note for the freight."""
    return {
        "03-power-ubl": Bill(
            "552019844",
            POWER,
            US,
            date(2026, 9, 8),
            date(2026, 9, 28),
            [
                item("Electricity, kWh", "2140", "0.2874"),
                item("Base price, September", "1", "18.50"),
            ],
        ),
        "04-power-ubl": Bill(
            "552020391",
            POWER,
            US,
            date(2026, 9, 22),
            date(2026, 10, 6),
            [item("Meter replacement", "1", "149.00")],
        ),
        "05-freight-cii": Bill(
            "2026-0088-A",
            FREIGHT,
            US,
            date(2026, 9, 11),
            date(2026, 10, 11),
            [
                item("Groupage Rotterdam to Hamburg, 3 pallets", "3", "118.00", "21"),
                item("Tail lift", "1", "45.00", "21"),
            ],
        ),
        "06-freight-credit-note-ubl": Bill(
            "CN-2026-0012",
            FREIGHT,
            US,
            date(2026, 9, 18),
            date(2026, 10, 11),
            [item("Damaged pallet", "1", "118.00", "21")],
            is_credit=True,
        ),
    }


def house_bills() -> dict[str, Bill]:
    """Cleaning, and a sale of our own."""
    return {
        "07-cleaning-scan": Bill(
            "R-10472",
            CLEAN,
            US,
            date(2026, 9, 15),
            date(2026, 9, 29),
            [
                item("Office cleaning, 4 weeks", "4", "165.00"),
                item("Window cleaning", "1", "92.50"),
            ],
        ),
        "09-sale-text": Bill(
            "HL-2026-0203",
            US,
            CUSTOMER,
            date(2026, 9, 3),
            date(2026, 10, 3),
            [
                item("Reading lamp, brass", "24", "31.00", "0"),
                item("Delivery", "1", "60.00", "0"),
            ],
        ),
    }


def number(value: Decimal) -> str:
    """An amount as printed: 1,234.50."""
    return f"{value:,.2f}"


def pdf(bill: Bill) -> bytes:
    """A page with a text layer."""
    page = FPDF(format="A4")
    page.set_creation_date(MADE)
    page.set_margins(20, 20)
    page.add_page()
    page.set_font("helvetica", "B", 15)
    page.cell(0, 8, bill.seller.name, new_x="LMARGIN", new_y="NEXT")
    page.set_font("helvetica", "", 9)
    page.cell(0, 5, f"{bill.seller.street} - {bill.seller.city}", new_x="LMARGIN", new_y="NEXT")
    page.ln(12)
    page.set_font("helvetica", "", 11)
    for text in (bill.buyer.name, bill.buyer.street, bill.buyer.city):
        page.cell(0, 5.5, text, new_x="LMARGIN", new_y="NEXT")
    page.ln(10)
    page.set_font("helvetica", "B", 14)
    title = "Credit note" if bill.is_credit else "Invoice"
    page.cell(0, 9, title, new_x="LMARGIN", new_y="NEXT")
    page.set_font("helvetica", "", 10)
    facts = [
        (f"{title} no.", bill.number),
        ("Date", f"{bill.issued:%d.%m.%Y}"),
        ("Due date", f"{bill.due:%d.%m.%Y}"),
        ("Your order", bill.order),
    ]
    for label, value in facts:
        if value:
            page.cell(35, 5.5, label)
            page.cell(0, 5.5, value, new_x="LMARGIN", new_y="NEXT")
    page.ln(6)
    write_items(page, bill)
    page.ln(10)
    page.set_font("helvetica", "", 9)
    page.cell(0, 5, f"VAT ID {bill.seller.tax_id}   IBAN {spaced(bill.seller.iban)}")
    return bytes(page.output())


def write_items(page: FPDF, bill: Bill) -> None:
    """The table of lines, and the totals below it."""
    widths = (78, 18, 26, 18, 30)
    page.set_font("helvetica", "B", 10)
    headings = ("Description", "Quantity", "Unit price", "VAT %", "Amount")
    write_row(page, widths, headings)
    page.set_font("helvetica", "", 10)
    for line in bill.items:
        price = f"{line.price}" if line.price != line.price.quantize(CENT) else number(line.price)
        write_row(
            page,
            widths,
            (line.description, f"{line.quantity}", price, f"{line.rate}", number(line.amount)),
        )
    page.ln(4)
    totals = [("Net total", bill.net)]
    totals += [(f"VAT {rate} % of {number(base)}", tax) for rate, (base, tax) in bill.taxes.items()]
    totals.append((f"Total {bill.currency}", bill.gross))
    for label, value in totals:
        page.set_font("helvetica", "B" if value == bill.gross else "", 10)
        page.cell(140, 6, label, align="R")
        page.cell(30, 6, number(value), align="R", new_x="LMARGIN", new_y="NEXT")


def write_row(page: FPDF, widths: Sequence[int], cells: Sequence[str]) -> None:
    """One row; the first cell left, the others right."""
    for index, (width, text) in enumerate(zip(widths, cells, strict=True)):
        page.cell(width, 6.5, text, border="B", align="L" if index == 0 else "R")
    page.ln()


def spaced(iban: str) -> str:
    """An IBAN in groups of four."""
    return " ".join(iban[start : start + 4] for start in range(0, len(iban), 4))


def scan(document: bytes) -> bytes:
    """The first page as a scanner makes it: 200 dpi, a little askew, noisy, no text layer."""
    page = pypdfium2.PdfDocument(document)[0]
    picture = page.render(scale=200 / 72).to_pil().convert("L")
    picture = picture.rotate(0.7, fillcolor=255, resample=Image.Resampling.BICUBIC)
    noise = random.Random(7)  # noqa: S311
    speckle = Image.frombytes(
        "L",
        (picture.width // 4, picture.height // 4),
        noise.randbytes((picture.width // 4) * (picture.height // 4)),
    )
    picture = Image.blend(picture, speckle.resize(picture.size), 0.06)
    picture = picture.filter(ImageFilter.GaussianBlur(0.6))
    out = io.BytesIO()
    picture.save(out, "PDF", resolution=200, quality=80)
    return out.getvalue()


def receipt() -> bytes:
    """A till receipt, photographed."""
    rows = [
        "CORNER CAFE ALTONA",
        "Ehrenbergstrasse 9",
        "22767 Hamburg",
        "",
        "Date 16/09/2026   Time 12:42",
        "Receipt 004471",
        "",
        "2 x Coffee             7.80",
        "1 x Sandwich           6.40",
        "1 x Water              2.90",
        "",
        "TOTAL EUR             17.10",
        "VAT 19 %               2.73",
        "Card                  17.10",
        "",
        "Thank you",
    ]
    font = ImageFont.load_default(30)
    picture = Image.new("L", (640, 60 + 48 * len(rows)), 248)
    draw = ImageDraw.Draw(picture)
    for index, text in enumerate(rows):
        label, gap, value = text.rpartition("  ")
        y = 30 + 48 * index
        if gap and value.strip().replace(".", "").isdigit():
            draw.text((40, y), label.strip(), fill=30, font=font)
            width = draw.textlength(value.strip(), font=font)
            draw.text((600 - width, y), value.strip(), fill=30, font=font)
        else:
            draw.text((40, y), text, fill=30, font=font)
    picture = picture.rotate(-1.0, expand=True, fillcolor=120).filter(ImageFilter.GaussianBlur(0.8))
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=85)
    return out.getvalue()


UBL = "urn:oasis:names:specification:ubl:schema:xsd"
UBL_SPACES = {"cbc": f"{UBL}:CommonBasicComponents-2", "cac": f"{UBL}:CommonAggregateComponents-2"}
BASIC = ElementMaker(namespace=UBL_SPACES["cbc"])
AGGREGATE = ElementMaker(namespace=UBL_SPACES["cac"])


def ubl(bill: Bill) -> bytes:
    """UBL 2.1, Invoice or CreditNote, as EN 16931 uses it."""
    kind = "CreditNote" if bill.is_credit else "Invoice"
    space = f"{UBL}:{kind}-2"
    root = ElementMaker(namespace=space, nsmap={None: space, **UBL_SPACES})
    b, a = BASIC, AGGREGATE
    due = [] if bill.is_credit else [b.DueDate(bill.due.isoformat())]
    tree = root(
        kind,
        b.CustomizationID("urn:cen.eu:en16931:2017"),
        b.ID(bill.number),
        b.IssueDate(bill.issued.isoformat()),
        *due,
        b(f"{kind}TypeCode", "381" if bill.is_credit else "380"),
        b.DocumentCurrencyCode(bill.currency),
        ubl_party("AccountingSupplierParty", bill.seller),
        ubl_party("AccountingCustomerParty", bill.buyer),
        a.PaymentMeans(b.PaymentMeansCode("58"), a.PayeeFinancialAccount(b.ID(bill.seller.iban))),
        *ubl_totals(bill),
        *(ubl_line(bill, kind, index, line) for index, line in enumerate(bill.items, 1)),
    )
    return etree.tostring(tree, xml_declaration=True, encoding="UTF-8", pretty_print=True)


def ubl_party(tag: str, company: Company) -> etree._Element:
    """Who sells or buys."""
    b, a = BASIC, AGGREGATE
    scheme = a.TaxScheme(b.ID("VAT"))
    tax = [a.PartyTaxScheme(b.CompanyID(company.tax_id), scheme)] if company.tax_id else []
    address = a.PostalAddress(
        b.StreetName(company.street),
        b.CityName(company.city),
        a.Country(b.IdentificationCode(company.region)),
    )
    legal = a.PartyLegalEntity(b.RegistrationName(company.name))
    return a(tag, a.Party(a.PartyName(b.Name(company.name)), address, *tax, legal))


def ubl_totals(bill: Bill) -> list[etree._Element]:
    """The tax with its rates, and the sums."""
    a = AGGREGATE

    def money(tag: str, value: Decimal) -> etree._Element:
        return ubl_money(bill, tag, f"{value:.2f}")

    subtotals = [
        a.TaxSubtotal(money("TaxableAmount", base), money("TaxAmount", tax), ubl_category(rate))
        for rate, (base, tax) in bill.taxes.items()
    ]
    return [
        a.TaxTotal(money("TaxAmount", bill.tax), *subtotals),
        a.LegalMonetaryTotal(
            money("LineExtensionAmount", bill.net),
            money("TaxExclusiveAmount", bill.net),
            money("TaxInclusiveAmount", bill.gross),
            money("PayableAmount", bill.gross),
        ),
    ]


def ubl_line(bill: Bill, kind: str, index: int, line: Item) -> etree._Element:
    """One line of an Invoice or a CreditNote."""
    b, a = BASIC, AGGREGATE
    quantity = "CreditedQuantity" if bill.is_credit else "InvoicedQuantity"
    return a(
        f"{kind}Line",
        b.ID(f"{index}"),
        b(quantity, f"{line.quantity}", unitCode="C62"),
        ubl_money(bill, "LineExtensionAmount", f"{line.amount:.2f}"),
        a.Item(b.Name(line.description), ubl_category(line.rate, "ClassifiedTaxCategory")),
        a.Price(ubl_money(bill, "PriceAmount", f"{line.price}")),
    )


def ubl_money(bill: Bill, tag: str, text: str) -> etree._Element:
    """An amount in the bill's currency."""
    return BASIC(tag, text, currencyID=bill.currency)


def ubl_category(rate: Decimal, tag: str = "TaxCategory") -> etree._Element:
    """A rate of tax."""
    b, a = BASIC, AGGREGATE
    return a(tag, b.ID("S"), b.Percent(f"{rate}"), a.TaxScheme(b.ID("VAT")))


CII = "urn:un:unece:uncefact:data:standard"
CII_SPACES = {
    "rsm": f"{CII}:CrossIndustryInvoice:100",
    "ram": f"{CII}:ReusableAggregateBusinessInformationEntity:100",
    "udt": f"{CII}:UnqualifiedDataType:100",
}
m, r, u = (ElementMaker(namespace=space, nsmap=CII_SPACES) for space in CII_SPACES.values())


def cii(bill: Bill) -> bytes:
    """UN/CEFACT Cross Industry Invoice D16B, profile EN 16931."""
    tree = m.CrossIndustryInvoice(
        m.ExchangedDocumentContext(
            r.GuidelineSpecifiedDocumentContextParameter(r.ID("urn:cen.eu:en16931:2017"))
        ),
        m.ExchangedDocument(
            r.ID(bill.number),
            r.TypeCode("381" if bill.is_credit else "380"),
            cii_day("IssueDateTime", bill.issued),
        ),
        m.SupplyChainTradeTransaction(
            *(cii_line(index, entry) for index, entry in enumerate(bill.items, 1)),
            r.ApplicableHeaderTradeAgreement(
                cii_party("SellerTradeParty", bill.seller),
                cii_party("BuyerTradeParty", bill.buyer),
            ),
            r.ApplicableHeaderTradeDelivery(),
            cii_settlement(bill),
        ),
    )
    return etree.tostring(tree, xml_declaration=True, encoding="UTF-8", pretty_print=True)


def cii_day(tag: str, value: date) -> etree._Element:
    """A date of format 102, YYYYMMDD."""
    return r(tag, u.DateTimeString(f"{value:%Y%m%d}", format="102"))


def cii_party(tag: str, company: Company) -> etree._Element:
    """Seller or buyer."""
    postcode, _, city = company.city.partition(" ")
    address = r.PostalTradeAddress(
        r.PostcodeCode(postcode),
        r.LineOne(company.street),
        r.CityName(city),
        r.CountryID(company.region),
    )
    tax = r.SpecifiedTaxRegistration(r.ID(company.tax_id, schemeID="VA"))
    return r(tag, r.Name(company.name), address, *([tax] if company.tax_id else []))


def cii_rate(value: Decimal) -> list[etree._Element]:
    """Category and per cent of a tax."""
    return [r.CategoryCode("S"), r.RateApplicablePercent(f"{value}")]


def cii_line(index: int, entry: Item) -> etree._Element:
    """One line."""
    return r.IncludedSupplyChainTradeLineItem(
        r.AssociatedDocumentLineDocument(r.LineID(f"{index}")),
        r.SpecifiedTradeProduct(r.Name(entry.description)),
        r.SpecifiedLineTradeAgreement(
            r.NetPriceProductTradePrice(r.ChargeAmount(f"{entry.price}"))
        ),
        r.SpecifiedLineTradeDelivery(r.BilledQuantity(f"{entry.quantity}", unitCode="C62")),
        r.SpecifiedLineTradeSettlement(
            r.ApplicableTradeTax(r.TypeCode("VAT"), *cii_rate(entry.rate)),
            r.SpecifiedTradeSettlementLineMonetarySummation(r.LineTotalAmount(f"{entry.amount}")),
        ),
    )


def cii_settlement(bill: Bill) -> etree._Element:
    """Currency, account, taxes, due date and totals."""
    taxes = [
        r.ApplicableTradeTax(
            r.CalculatedAmount(f"{tax}"),
            r.TypeCode("VAT"),
            r.BasisAmount(f"{base}"),
            *cii_rate(value),
        )
        for value, (base, tax) in bill.taxes.items()
    ]
    return r.ApplicableHeaderTradeSettlement(
        r.InvoiceCurrencyCode(bill.currency),
        r.SpecifiedTradeSettlementPaymentMeans(
            r.TypeCode("58"), r.PayeePartyCreditorFinancialAccount(r.IBANID(bill.seller.iban))
        ),
        *taxes,
        r.SpecifiedTradePaymentTerms(cii_day("DueDateDateTime", bill.due)),
        r.SpecifiedTradeSettlementHeaderMonetarySummation(
            r.LineTotalAmount(f"{bill.net}"),
            r.TaxBasisTotalAmount(f"{bill.net}"),
            r.TaxTotalAmount(f"{bill.tax}", currencyID=bill.currency),
            r.GrandTotalAmount(f"{bill.gross}"),
            r.DuePayableAmount(f"{bill.gross}"),
        ),
    )


@dataclass(frozen=True)
class Move:
    """A line of the bank statement; money in is positive."""

    day: date
    amount: Decimal
    name: str
    iban: str
    text: str


def moves(all_bills: dict[str, Bill]) -> list[Move]:
    """What the bank saw: exact payments, one for two bills, a netted credit note, and noise."""
    paper, hosting = all_bills["01-paper-text"], all_bills["02-hosting-facturx"]
    power, meter = all_bills["03-power-ubl"], all_bills["04-power-ubl"]
    freight, credit = all_bills["05-freight-cii"], all_bills["06-freight-credit-note-ubl"]
    cleaning, sale = all_bills["07-cleaning-scan"], all_bills["09-sale-text"]

    def paid(day: date, amount: Decimal, to: Company, text: str) -> Move:
        return Move(day, -amount, to.name, to.iban, text)

    return [
        paid(
            date(2026, 9, 28),
            power.gross + meter.gross,
            POWER,
            f"Invoices {power.number} and {meter.number}",
        ),
        paid(date(2026, 9, 29), cleaning.gross, CLEAN, f"Rechnung {cleaning.number}"),
        Move(date(2026, 9, 30), Decimal("-8.90"), "", "", "Account fee September"),
        Move(
            date(2026, 10, 1),
            Decimal("-1850.00"),
            "Speicher Immobilien KG",
            "DE02300209000106531065",
            "Office rent October",
        ),
        paid(date(2026, 10, 1), paper.gross, PAPER, f"{paper.number} customer 20117"),
        Move(
            date(2026, 10, 2),
            sale.gross,
            "ORCHARD ST BOOKS",
            "GB33BUKB20201555555555",
            f"INV {sale.number.replace('-', '')} THANKS",
        ),
        paid(date(2026, 10, 5), hosting.gross, CLOUD, f"Facture {hosting.number}"),
        paid(
            date(2026, 10, 9),
            freight.gross - credit.gross,
            FREIGHT,
            f"{freight.number} less {credit.number}",
        ),
    ]


def statement_csv(rows: Sequence[Move]) -> bytes:
    """As many banks give it: semicolons, decimal comma, Latin-1."""
    lines = ["Booking date;Value date;Payee;IBAN;Purpose;Amount;Currency"]
    for row in rows:
        amount = f"{row.amount:.2f}".replace(".", ",")
        day = f"{row.day:%d.%m.%Y}"
        lines.append(f"{day};{day};{row.name};{row.iban};{row.text};{amount};EUR")
    return ("\r\n".join(lines) + "\r\n").encode("latin-1")


CAMT = "urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"
BANK = ElementMaker(namespace=CAMT, nsmap={None: CAMT})


def statement_camt(rows: Sequence[Move], opening: Decimal) -> bytes:
    """camt.053.001.08 (ISO 20022) of the same account and days."""
    e, made = BANK, "2026-10-10T06:00:00+00:00"
    closing = opening + sum(row.amount for row in rows)
    tree = e.Document(
        e.BkToCstmrStmt(
            e.GrpHdr(e.MsgId("HL-2026-09"), e.CreDtTm(made)),
            e.Stmt(
                e.Id("2026-009"),
                e.ElctrncSeqNb("9"),
                e.CreDtTm(made),
                e.Acct(e.Id(e.IBAN(US.iban)), e.Ccy("EUR")),
                camt_balance("OPBD", opening, rows[0].day),
                camt_balance("CLBD", closing, rows[-1].day),
                *(camt_entry(index, row) for index, row in enumerate(rows, 1)),
            ),
        )
    )
    return etree.tostring(tree, xml_declaration=True, encoding="UTF-8", pretty_print=True)


def camt_balance(code: str, value: Decimal, day: date) -> etree._Element:
    """What stood on the account on a day."""
    e = BANK
    kind = e.Tp(e.CdOrPrtry(e.Cd(code)))
    return e.Bal(kind, *camt_signed(value), e.Dt(e.Dt(day.isoformat())))


def camt_entry(index: int, row: Move) -> etree._Element:
    """One booked line."""
    e, other = BANK, []
    if row.name:
        party = "Cdtr" if row.amount < 0 else "Dbtr"
        name, account = e.Pty(e.Nm(row.name)), e.Id(e.IBAN(row.iban))
        other = [e.RltdPties(e(party, name), e(f"{party}Acct", account))]
    reference = e.Refs(e.EndToEndId(f"HL{index:04d}"))
    return e.Ntry(
        e.NtryRef(f"{index}"),
        *camt_signed(row.amount),
        e.Sts(e.Cd("BOOK")),
        e.BookgDt(e.Dt(row.day.isoformat())),
        e.ValDt(e.Dt(row.day.isoformat())),
        e.BkTxCd(e.Domn(e.Cd("PMNT"))),
        e.NtryDtls(e.TxDtls(reference, *other, e.RmtInf(e.Ustrd(row.text)))),
    )


def camt_signed(value: Decimal) -> list[etree._Element]:
    """An amount, and whether money went out or came in."""
    e = BANK
    return [e.Amt(f"{abs(value):.2f}", Ccy="EUR"), e.CdtDbtInd("DBIT" if value < 0 else "CRDT")]


def main() -> None:
    """Write every file beside this one."""
    all_bills = bills()
    made = {}
    for name, bill in all_bills.items():
        kind = name.rpartition("-")[2]
        match kind:
            case "text":
                made[f"{name}.pdf"] = pdf(bill)
            case "scan":
                made[f"{name}.pdf"] = scan(pdf(bill))
            case "ubl":
                made[f"{name}.xml"] = ubl(bill)
            case "cii":
                made[f"{name}.xml"] = cii(bill)
            case "facturx":
                made[f"{name}.pdf"] = generate_from_binary(
                    pdf(bill),
                    cii(bill),
                    flavor="factur-x",
                    level="en16931",
                    check_xsd=True,
                    check_schematron=False,
                )
    made["08-receipt.jpg"] = receipt()
    rows = moves(all_bills)
    made["statement.csv"] = statement_csv(rows)
    made["statement.camt053.xml"] = statement_camt(rows, Decimal("12480.55"))
    for name, content in made.items():
        (FOLDER / name).write_bytes(content)


if __name__ == "__main__":
    main()
