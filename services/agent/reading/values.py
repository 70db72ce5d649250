"""Numbers, dates, currencies and identifiers in a row of text, by the locale of the document."""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from itertools import chain, permutations, product

from stdnum import iban as iban_check
from stdnum.eu import vat
from stdnum.no import mva

CROWN = "KR"  # a mark that three countries write; whose it is, the document says elsewhere
SYMBOLS = {
    "€": "EUR",
    "£": "GBP",
    "$": "USD",
    "US$": "USD",
    "zł": "PLN",
    "RM": "MYR",
    "Rm": "MYR",
    "CHF": "CHF",
    "Fr.": "CHF",
    "R$": "BRL",
    "Kč": "CZK",
    "Ft": "HUF",
    **dict.fromkeys(("lei", "Lei", "LEI"), "RON"),
    **dict.fromkeys(("kr", "kr.", "Kr", "Kr."), CROWN),
    "¥": "JPY",
    "₹": "INR",
}
CODES = (  # noqa: SIM905 - as a list they would fill a page
    "EUR USD GBP CHF PLN SEK NOK DKK CZK HUF RON BGN CAD AUD NZD JPY CNY INR BRL MXN MYR SGD "
    "HKD ZAR TRY ILS AED SAR KRW THB IDR PHP"
).split()
CENT = Decimal("0.02")  # what rounding makes of a sum or product at most
_UNIT = "|".join(sorted((re.escape(s) for s in [*SYMBOLS, *CODES]), key=len, reverse=True))

_NUMBER = re.compile(
    rf"(?<![\w.,/'\u2019-])(?P<sign>[-\u2212\u2013]\s?|\()?(?P<before>(?:{_UNIT})\s?)?(?P<inner>[-\u2212\u2013]\s?)?"
    r"(?P<digits>\d{1,3}(?:[ \u2019'.,]\d{3})+(?:[.,]\d{1,4})?|\d+(?:[.,]\d{1,4})?)"
    rf"(?P<even>[,:][-\u2013]{{1,2}})?(?P<close>\)|[-\u2212\u2013](?![\w]))?(?P<percent>\s?%)?(?P<after>\s?(?:{_UNIT})(?![\w]))?(?![\w]|[.,/:'\u2019-]\d)"
)
_FORINTS = re.compile(r"\d([.,]\d\d)?\s?(?:Ft|HUF)(?!\w)")
_DIGIT = re.compile(r"\d")
_TOKEN = re.compile(r"[^\W_]+|[#%]")
_LETTERS = str.maketrans({"ł": "l", "Ł": "l", "ø": "o", "Ø": "o", "æ": "ae", "œ": "oe", "№": "no"})


def folded(text: str) -> str:
    """Return a text in lower case, without accents."""
    if text.isascii():
        return text.lower()
    marks = unicodedata.normalize("NFKD", text.translate(_LETTERS).casefold())
    return "".join(c for c in marks if not unicodedata.combining(c))


def tokens(text: str) -> list[str]:
    """Return the folded words and numbers of a text ("USt.-Id.-Nr.:" gives ust, id, nr)."""
    return _TOKEN.findall(folded(text))


@dataclass(frozen=True)
class Locale:
    """How a document writes: its decimal mark, the month before the day, money without cents."""

    decimal_mark: str = ","
    month_first: bool = False
    whole: bool = False


@dataclass(frozen=True)
class Number:
    """A number in a row's text, from start to end; decimals is how many places were written."""

    value: Decimal
    start: int
    end: int
    decimals: int
    currency: str | None = None
    percent: bool = False
    whole: bool = False  # the document's money has no cents, and this may be some

    @property
    def money(self) -> bool:
        """Return whether it looks like an amount: two places or a currency, no percentage."""
        return not self.percent and (self.decimals == 2 or bool(self.currency) or self.whole)


def locale_of(texts: Iterable[str], *, american: bool) -> Locale:
    """Infer a document's locale from all its rows by the cases that are not ambiguous."""
    marks: Counter[str] = Counter()
    firsts: Counter[bool] = Counter()
    text = "\n".join(texts)
    for found in re.findall(r"(?<![\d.,])\d[\d.,]*[.,]\d+(?![\d.,])", text):
        marks.update(_mark(found))
    for a, b in re.findall(r"(?<!\d)(\d{1,2})[/.-](\d{1,2})[/.-](?:19|20)?\d\d(?!\d)", text):
        if (int(a) > 12) != (int(b) > 12) and max(int(a), int(b)) <= 31:
            firsts[int(b) > 12] += 1
    mark = "." if marks["."] > marks[","] else ","
    if not marks:
        mark = "." if american else ","
    first = firsts[True] > firsts[False] if firsts else american
    forints = [cents == "" for cents in _FORINTS.findall(text)]
    return Locale(mark, first, whole=2 * sum(forints) > len(forints))


APART = 60  # days: the dates of one document rarely lie further apart than by mistake


def clustered(texts: list[str], locale: Locale, months: dict[str, int]) -> Locale:
    """Return the locale, with day and month turned where the dates then lie closer together."""
    turned = replace(locale, month_first=not locale.month_first)
    spread = []
    for one in (locale, turned):
        found = [(day, text) for text in texts for day in days(text, one, months)]
        values = [day.value for day, _ in found]
        spread.append((max(values) - min(values)).days if values else 0)
        if any(day.sure and "/" in text for day, text in found):
            return locale
    return turned if spread[1] + APART < spread[0] else locale


def _mark(number: str) -> list[str]:
    last = max(number.rfind("."), number.rfind(","))
    places = len(number) - last - 1
    whole = number[:last]
    if "." in whole or "," in whole:
        return [number[last]] if number[last] not in whole else []
    if places == 3 and whole != "0":
        return []
    return [number[last]]


def numbers(text: str, locale: Locale) -> list[Number]:
    """Return the numbers of a text from left to right (no part of a date, phone or code)."""
    found: list[Number] = []
    if not _DIGIT.search(text):
        return found
    for match in _NUMBER.finditer(text):
        number = _number(match, locale)
        if number is not None:
            found.append(number)
    return [_remark(text, n) if n is not found[-1] else n for n in found]


def _remark(text: str, number: Number) -> Number:
    """Return a number in brackets amid others as it is: only the last one there is negative."""
    bracketed = text[number.start] == "(" and number.value < 0
    return replace(number, value=-number.value) if bracketed else number


def _number(match: re.Match[str], locale: Locale) -> Number | None:
    digits = match["digits"]
    mark = max(digits.rfind("."), digits.rfind(","))
    places = len(digits) - mark - 1 if mark >= 0 else 0
    if mark >= 0 and _grouping(digits, mark, places, locale):
        places = 0
    whole = digits if places == 0 else digits[:mark]
    text = "".join(filter(str.isdecimal, whole)) + ("." + digits[mark + 1 :] if places else "")
    if len(text) > 16:
        return None
    closed = match["close"] or ""
    minus = match["sign"] or match["inner"] or (closed and closed != ")")
    if match["sign"] == "(" and closed != ")":
        minus = match["inner"]
    unit = (match["before"] or match["after"] or "").strip()
    currency = SYMBOLS.get(unit) or (unit or None)
    value = -Decimal(text) if minus else Decimal(text)
    places = 2 if match["even"] else places  # "500,-" says that there are no cents
    whole = locale.whole and not places and bool(unit or re.fullmatch(r"\d{3}|.*\D.*", digits))
    return Number(value, *match.span(), places, currency, bool(match["percent"]), whole)


def _grouping(digits: str, mark: int, places: int, locale: Locale) -> bool:
    """Return whether the last mark groups thousands rather than opening the decimals."""
    if places != 3:
        return False
    sign, rest = digits[mark], digits[:mark]
    if sign in rest:
        return True
    if "." in rest or "," in rest or rest.startswith("0"):
        return False
    return sign != locale.decimal_mark


@dataclass(frozen=True)
class Day:
    """A date in a row's text; `sure` if the order of day and month was not guessed."""

    value: date
    start: int
    end: int
    sure: bool


_ISO = re.compile(r"(?<![\d-])((?:19|20)\d\d)([-/.])\s?(\d{1,2})\2\s?(\d{1,2})(?!\d(?!\d:\d\d))")
_SHORT = re.compile(
    r"(?<![\w.,/-])(\d{1,2})\s?([./-])\s?(\d{1,2})\s?\2\s?((?:19|20)\d\d(?=\d{1,2}:\d\d)|(?:19|20)\d\d|\d\d)"
    r"(?:(?=\d{1,2}:\d\d)|(?![\d/]|[.,-]\d))"
)
_COMPACT = re.compile(r"(?<![\w.,-])((?:19|20)\d\d)(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?![\w.,-])")
_DAY_NAME = re.compile(
    r"(?<!\w)(\d{1,2})(?:st|nd|rd|th|er|º|ª)?(?:[.,-]|\s(?!\s))*(?:de |d')?\s?([^\W\d_]{3,})\.?,?"
    r"(?:-|\s(?!\s))*(?:de |del )?((?:19|20)\d\d|\d\d)(?![\d:])"
)
_NAME_DAY = re.compile(
    r"(?<!\w)([^\W\d_]{3,})\.?\s(\d{1,2})(?:st|nd|rd|th)?,?\s((?:19|20)\d\d)(?!\d)"
)
_YEAR_NAME = re.compile(r"(?<![\w.])((?:19|20)\d\d)\.?\s([^\W\d_]{3,})\.?\s(\d{1,2})(?!\d)")


def days(text: str, locale: Locale, months: dict[str, int]) -> list[Day]:
    """Return the dates of a text from left to right; `months` maps folded names to 1..12."""
    found: list[Day] = []
    if not _DIGIT.search(text):
        return found
    for day in _days(text, locale, months):
        if not any(day.start < d.end and d.start < day.end for d in found):
            found.append(day)
    return sorted(found, key=lambda d: d.start)


def _days(text: str, locale: Locale, months: dict[str, int]) -> Iterator[Day]:
    for m in _ISO.finditer(text):
        yield from _day(m, (int(m[1]), int(m[3]), int(m[4])), sure=True)
    for m in _SHORT.finditer(text):
        a, b = int(m[1]), int(m[3])
        swap = b > 12 or (locale.month_first and a <= 12 and m[2] != ".")
        day, month = (b, a) if swap else (a, b)
        yield from _day(m, (_year(m[4]), month, day), sure=a > 12 or b > 12 or m[2] == ".")
    for m in _each(_DAY_NAME, text):
        if named := _month(m[2], months):
            yield from _day(m, (_year(m[3]), named, int(m[1])), sure=True)
    for m in _each(_NAME_DAY, text):
        if named := _month(m[1], months):
            yield from _day(m, (int(m[3]), named, int(m[2])), sure=True)
    for m in _YEAR_NAME.finditer(text):
        if named := _month(m[2], months):
            yield from _day(m, (int(m[1]), named, int(m[3])), sure=True)
    for m in _COMPACT.finditer(text):
        yield from _day(m, (int(m[1]), int(m[2]), int(m[3])), sure=False)


def _each(pattern: re.Pattern[str], text: str) -> Iterator[re.Match[str]]:
    """Yield all matches, those too that begin within another: "6  Datum  27 oktober 2026"."""
    found = pattern.search(text)
    while found:
        yield found
        found = pattern.search(text, found.start() + 1)


def _day(m: re.Match[str], parts: tuple[int, int, int], *, sure: bool) -> Iterator[Day]:
    try:
        value = date(*parts)
    except ValueError:
        return
    if date(1990, 1, 1) <= value <= date(2100, 1, 1):
        yield Day(value, m.start(), m.end(), sure)


def _year(text: str) -> int:
    return int(text) if len(text) == 4 else 2000 + int(text)


def _month(name: str, months: dict[str, int]) -> int | None:
    word = folded(name)
    if word in months:
        return months[word]
    found = {months[m] for m in months if len(word) >= 3 and m.startswith(word)}
    return found.pop() if len(found) == 1 else None


_IBAN = re.compile(r"(?<![\w])([A-Z]{2}\s?\d{2}(?:\s?[A-Z0-9]){8,30})(?![\w])")
_MISREAD = {"O": "0", "I": "1", "l": "1", "S": "5", "B": "8", "Z": "2"}
_IBAN_COUNTRIES = frozenset(
    (  # noqa: SIM905 - as a list they would fill a page
        "AD AE AL AT AZ BA BE BG BH BR BY CH CR CY CZ DE DK DO EE EG ES FI FO FR GB GE GI GL GR GT "
        "HR HU IE IL IQ IS IT JO KW KZ LB LC LI LT LU LV MC MD ME MK MR MT MU NL NO PK PL PS PT QA "
        "RO RS SA SC SE SI SK SM ST SV TL TN TR UA VA VG XK"
    ).split()
)


@dataclass(frozen=True)
class Identifier:
    """An IBAN or tax id in a row's text; `valid` if its check digits are right."""

    value: str
    start: int
    end: int
    valid: bool


def ibans(text: str) -> list[Identifier]:
    """Return what looks like an IBAN; trailing words that do not belong to it are cut off."""
    found = []
    at = 0
    while match := _IBAN.search(text, at):
        at = match.start() + 2  # it may hold the real one: "DE123456789 IBAN DE02…"
        value = re.sub(r"\s", "", match[1])
        if value[:2] not in _IBAN_COUNTRIES:
            continue
        valid = next((v for n in range(len(value), 14, -1) if (v := _iban(value[:n]))), None)
        end = match.end() if valid is None else _end(text, match.start(), len(valid))
        found.append(Identifier(valid or _numeric_head(value), match.start(), end, bool(valid)))
        at = end if valid else at
    right = [one for one in found if one.valid]
    return right or found[:1]


def _iban(text: str) -> str | None:
    variants = [text]
    if text[2:].isalnum() and sum(c in _MISREAD for c in text[4:]) in (1, 2):
        variants.append(text[:4] + "".join(_MISREAD.get(c, c) for c in text[4:]))
    return next((v for v in variants if iban_check.is_valid(v)), None)


def _end(text: str, start: int, count: int) -> int:
    at = start
    while count and at < len(text):
        count -= not text[at].isspace()
        at += 1
    return at


def _numeric_head(value: str) -> str:
    """Return an IBAN whose check digits are wrong without the letters that follow its digits."""
    match = re.match(r"[A-Z]{2}\d{2}(?:[A-Z]{4})?\d{8,}", value)
    return match[0] if match else value


_VAT = re.compile(
    r"(?<![\w])((?:AT|BE|BG|CY|CZ|DE|DK|EE|EL|ES|EU|FI|FR|GB|GR|HR|HU|IE|IT|LT|LU|LV|MT|NL|PL|PT"
    r"|RO|SE|SI|SK|XI|CHE)[ -]?[A-Z0-9][A-Z0-9 .-]{6,15}[A-Z0-9])(?![\w])"
)
_VAT_SHAPE = re.compile(
    r"(ATU\d{8}|BE[01]\d{9}|BG\d{9,10}|CY\d{8}[A-Z]|CZ\d{8,10}|DE\d{9}|DK\d{8}|EE\d{9}|(EL|GR)\d{9}"
    r"|ES[A-Z0-9]\d{7}[A-Z0-9]|EU\d{9}|FI\d{8}|FR[A-Z0-9]{2}\d{9}|(GB|XI)(\d{9}|\d{12}|GD\d{3}|HA\d{3})"
    r"|HR\d{11}|HU\d{8}|IE\d[A-Z0-9+*]\d{5}[A-Z]{1,2}|IT\d{11}|LT(\d{9}|\d{12})|LU\d{8}|LV\d{11}"
    r"|MT\d{8}|NL\d{9}B\d{2}|PL\d{10}|PT\d{9}|RO\d{2,10}|SE\d{12}|SI\d{8}|SK\d{10}|CHE\d{9}"
    r"|(NO)?\d{9}MVA)"
)
_MVA = re.compile(r"(?<![\w])((?:NO[ -]?)?\d{3}[ .]?\d{3}[ .]?\d{3}[ -]?MVA)(?![\w])")


def vat_ids(text: str) -> list[Identifier]:
    """Return what has the shape of a VAT id of Europe, with whether its check digits hold."""
    found = []
    for match in chain(_VAT.finditer(text), _MVA.finditer(text) if "MVA" in text else ()):
        parts = re.sub(r"[ .-]", "", match[1])
        shape = _VAT_SHAPE.match(parts)
        if shape is None or parts[2:].isalpha():
            continue
        value = shape[0]
        end = _vat_end(text, match.start(), len(value))
        if end < len(text) and text[end].isalnum():
            continue
        valid = (mva if value.endswith("MVA") else vat).is_valid(value)
        found.append(Identifier(value, match.start(), end, valid))
    accounts = [one for one in ibans(text) if one.valid] if found else []
    return [v for v in found if not any(a.start < v.end and v.start < a.end for a in accounts)]


def _vat_end(text: str, start: int, count: int) -> int:
    at = start
    while count and at < len(text):
        count -= text[at] not in " .-"
        at += 1
    return at


def rounding(*found: Number) -> Decimal:
    """Return what rounding makes of these amounts at most: money without cents is rounded more."""
    return CENT * 100 if all(n.whole for n in found) else CENT


def adds_up(parts: Iterable[Decimal], total: Decimal, tolerance: Decimal = CENT) -> bool:
    """Return whether the parts sum to the total within the tolerance of rounding."""
    return abs(sum(parts, Decimal(0)) - total) <= tolerance


def rate_triples(found: list[Number]) -> Iterator[tuple[Number, Number, Number]]:
    """Yield (rate, base, tax) among a row's numbers with base times rate = tax."""
    amounts = [n for n in found if n.money]
    rates = [n for n in found if n.percent] or [n for n in found if not n.money or n.value < 40]
    for rate, base, tax in product(rates, amounts, amounts):
        if len({rate, base, tax}) < 3 or not 0 <= rate.value <= 40:
            continue
        if base.value == 0 or abs(tax.value) > abs(base.value):
            continue
        if abs(base.value * rate.value / 100 - tax.value) <= rounding(base, tax) * 3 / 4:
            yield rate, base, tax


def factors(
    found: list[Number], amount: Number, is_price: Callable[[Number], bool]
) -> tuple[Number, Number] | None:
    """Return the quantity and the price among a row's numbers that come to an amount.

    Less a share that the row names, as a discount. A price stands before the amount of its row.
    """
    own = amount in found
    shares = [n.value for n in found if n.percent and 0 < n.value < 100]
    rates = [Decimal(1), *(1 - share / 100 for share in shares)]
    # of two ones the nearer to the price is the quantity, the other the item's number
    rest = [n for n in reversed(found) if n is not amount and not n.percent and n.value]
    # where either may be the price, the quantity stands before it
    for quantity, price in sorted(
        permutations(rest, 2), key=lambda pair: pair[0].start > pair[1].start
    ):
        if not is_price(price) or quantity.currency or (own and price.start > amount.start):
            continue
        whole = quantity.value * price.value
        if any(abs(whole * rate - amount.value) <= rounding(amount) for rate in rates):
            return quantity, price
    return None
