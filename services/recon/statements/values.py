"""Dates and amounts as banks write them."""

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal
from functools import lru_cache

from stdnum import iban

SHORT_DATE = re.compile(r"([0-9]{2}|[0-9]{4})([0-9]{2})([0-9]{2})")
MONTH_NAMES = """
jan january januar janvier janv ene enero gen gennaio januari sty
feb february februar fevrier fevr febrero febbraio februari lut
mar march marz maerz mrz mars marzo maart mrt
apr april avril avr abr abril aprile kwi
may mai mayo mag maggio mei maj
jun june juni juin junio giu giugno cze
jul july juli juillet juil julio lug luglio lip
aug august aout ago agosto augustus sie
sep sept september septembre septiembre set settembre wrz
oct october okt oktober octobre octubre ott ottobre paz
nov november novembre noviembre lis
dec december dez dezember decembre dic diciembre dicembre gru
"""
MONTHS = {
    name: number
    for number, names in enumerate(MONTH_NAMES.strip().splitlines(), start=1)
    for name in names.split()
}
NUMERIC_DATE = re.compile(r"(\d{1,4})\s?[./\-\s]\s?(\d{1,2})\s?[./\-\s]\s?(\d{2,4})\.?(?:[T ,].*)?")
COMPACT_DATE = re.compile(r"(\d{8})(?:[T ]?\d{4,6})?")
WORDY_DATE = re.compile(
    r"(?:(\d{1,2})[.\s\-/]*([^\W\d]{3,10})\.?|([^\W\d]{3,10})\.?\s+(\d{1,2}),?)"
    r"[\s\-,/]*(\d{2,4})(?:[T ,].*)?"
)
SPACES = re.compile("[\\s\u00a0\u202f\u2009]+")
CODES = (
    "EUR|USD|GBP|CHF|SEK|NOK|DKK|ISK|PLN|CZK|HUF|RON|BGN|RSD|MKD|ALL|BAM|MDL|UAH|RUB|BYN|GEL|AMD|"
    "AZN|KZT|TRY|ILS|AED|SAR|QAR|KWD|BHD|OMR|JOD|EGP|MAD|TND|ZAR|NGN|KES|GHS|CAD|AUD|NZD|JPY|CNY|"
    "HKD|SGD|TWD|KRW|INR|PKR|BDT|LKR|THB|VND|IDR|MYR|PHP|MXN|BRL|ARS|CLP|COP|PEN|UYU"
)
CURRENCY_MARK = re.compile(
    rf"^(?:{CODES})(?=[\s\d+\-(])|(?<=[\d\s)\-+])(?:{CODES}|zł|Kč|kr\.?|lei)$|[€$£¥₴₽₺]"
)
SIDE = re.compile(r"(?<=[\d\s,.+\-])(CR|DR|C|D|H|S)$", re.IGNORECASE)
NUMBER = re.compile(r"\d+(?:[.,' ]\d+)*[.,]?|[.,]\d+")


def read_date(text: str, style: str) -> date | None:
    """The date in the text, by style "DMY", "MDY" or "YMD"; None where there is none."""
    text = text.strip()
    if found := NUMERIC_DATE.fullmatch(text):
        return _numeric_date(found[1], found[2], found[3], style)
    if found := COMPACT_DATE.fullmatch(text):
        digits = found.group(1)
        if style == "DMY" and not digits.startswith(("19", "20")):
            return _date(digits[4:], digits[2:4], digits[:2])
        return _date(digits[:4], digits[4:6], digits[6:])
    if found := WORDY_DATE.fullmatch(text):
        day, month, other_month, other_day, year = found.groups()
        number = MONTHS.get(_plain(month or other_month))
        return _date(year, str(number), day or other_day) if number else None
    return None


def _numeric_date(one: str, two: str, three: str, style: str) -> date | None:
    if len(one) == 4 or (style == "YMD" and len(three) == 2):
        return _date(one, two, three)
    if len(one) > 2:
        return None
    return _date(three, one, two) if style == "MDY" else _date(three, two, one)


def _plain(word: str) -> str:
    return word.casefold().translate(str.maketrans("äéûćźôü", "aeuczou"))


def _date(year: str, month: str, day: str) -> date | None:
    full = int(year) + (2000 if len(year) == 2 else 0)
    if not 1970 <= full <= 2199:
        return None
    try:
        return date(full, int(month), int(day))
    except ValueError:
        return None


def date_style(samples: Sequence[str], *, american: bool) -> tuple[str, str]:
    """The style by which most samples are dates, and why; `american` decides where both fit."""
    read = {style: [read_date(each, style) for each in samples] for style in ("DMY", "MDY", "YMD")}
    counts = {style: sum(each is not None for each in dates) for style, dates in read.items()}
    if re.match(r"(19|20)\d{2}", samples[0].strip()) and counts["YMD"]:
        return "YMD", "the year comes first"
    best = max(counts.values())
    fitting = [style for style in ("DMY", "MDY") if counts[style] == best]
    if len(fitting) == 1:
        return fitting[0], "only so every value is a date"
    if read["DMY"] == read["MDY"]:
        return "DMY", "both orders give the same dates"
    if not any("/" in each for each in samples):
        return "DMY", "dates with dots or hyphens begin with the day"
    spans = {style: _disorder(read[style]) for style in fitting}
    if spans["DMY"] != spans["MDY"]:
        return min(spans, key=lambda s: spans[s]), "only so the lines are in order of time"
    return (
        "MDY" if american else "DMY"
    ), "both orders are possible; this one goes with the amounts"


def _disorder(dates: Iterable[date | None]) -> int:
    days = [each.toordinal() for each in dates if each]
    steps = [b - a for a, b in itertools.pairwise(days)]
    return min(sum(step < 0 for step in steps), sum(step > 0 for step in steps))


def decimal_mark(samples: Iterable[str]) -> str:
    """The decimal mark that most of these amounts show: "." or ","."""
    votes: Counter[str] = Counter()
    for sample in samples:
        digits = re.sub(r"[^\d.,]", "", sample)
        marks = re.findall(r"[.,]", digits)
        if not marks:
            continue
        last = marks[-1]
        after = len(digits) - digits.rfind(last) - 1
        if len(set(marks)) == 2:
            votes[last] += 3
        elif len(marks) > 1:
            votes["," if last == "." else "."] += 3
        elif after != 3 or digits.startswith("0"):
            votes[last] += 2
        else:
            votes["," if last == "." else "."] += 1
    return max((".", ","), key=lambda mark: votes[mark])


def read_short_date(text: str) -> date | None:
    """The day as yymmdd, or with the century; without it years from 80 on are of the last one."""
    found = SHORT_DATE.fullmatch(text)
    if found is None:
        return None
    year = int(found[1])
    if len(found[1]) == 2:
        year += 2000 if year < 80 else 1900
    try:
        return date(year, int(found[2]), int(found[3]))
    except ValueError:
        return None


@lru_cache(4096)  # payers come again, and the check takes most of a line's time
def read_iban(text: str) -> str:
    """The IBAN in a text that is nothing else, without its spaces; "" where it is none."""
    plain = "".join(text.split()).upper()
    return plain if 15 <= len(plain) <= 34 and plain.isascii() and iban.is_valid(plain) else ""


def read_amount(text: str, mark: str) -> Decimal | None:
    """The signed amount in the text, or None where it is not one.

    Knows signs before and behind, brackets, CR and DR, currency signs and every thousands mark.
    """
    value = SPACES.sub(" ", text.strip()).replace("\u2212", "-").replace("\u2013", "-")
    value = value.replace("\u2019", "'")
    value = CURRENCY_MARK.sub("", value).strip()
    negative = False
    if side := SIDE.search(value):
        negative, value = side.group().upper() in {"DR", "D", "S"}, value[: side.start()].strip()
    if value.startswith("(") and value.endswith(")"):
        negative, value = not negative, value[1:-1].strip()
    for sign in ("-", "+"):
        if value.startswith(sign) or value.endswith(sign):
            negative = negative != (sign == "-")
            value = value[1:] if value.startswith(sign) else value[:-1]
            value = value.strip()
            break
    value = CURRENCY_MARK.sub("", value).strip()
    if not NUMBER.fullmatch(value):
        return None
    whole, _, fraction = value.rpartition(mark) if mark in value else (value, "", "")
    if mark in whole or (fraction and not fraction.isdecimal()) or not _grouped(whole):
        return None
    digits = re.sub(r"[., ']", "", whole) or "0"
    number = Decimal(f"{digits}.{fraction}" if fraction else digits)
    return -number if negative else number


def _grouped(whole: str) -> bool:
    """Whether thousands marks stand where they may; Indian grouping counts as well."""
    groups = re.split(r"[., ']", whole)
    return len(groups) == 1 or (len(groups[-1]) == 3 and all(1 <= len(g) <= 3 for g in groups))
