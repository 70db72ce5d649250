"""What each column of a bank's table means, found from its title and its values."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stdnum import iban

from .titles import roles
from .values import read_amount, read_date

# The role whose title fits a column best takes it; an equal title beats one that is contained.
ROLES = roles()
# A column with a fitting title may hold a few values that do not fit; they are reported later.
TITLED = 0.5
SINGLE = frozenset(ROLES) - {"remittance_text"}
NEEDS_NUMBERS = frozenset(
    {"amount", "debit", "credit", "balance", "fee", "original_amount", "exchange_rate"}
)
NEEDS_DATES = frozenset({"booking_date", "value_date"})
DEBIT = "d dr debit s soll af dbit debet out debito dare a uit - w"
CREDIT = "c cr credit h haben bij crdt in kredit credito avere + u"
SIDES = dict.fromkeys(DEBIT.split(), -1) | dict.fromkeys(CREDIT.split(), 1)
CURRENCY = re.compile(r"[A-Z]{3}")
TRANSLATION = str.maketrans({"ß": "ss", "ø": "o", "ł": "l", "æ": "ae", "đ": "d"})


@dataclass(frozen=True)
class Shape:
    """What the values of one column look like, as shares of those that are not empty."""

    filled: float
    dates: float
    amounts: float
    negative: float
    ibans: float
    currencies: float
    sides: float
    length: float
    distinct: float


def plain_title(title: str) -> str:
    """A title in lower case without accents and signs: "Betrag (€)" → "betrag"."""
    text = title.casefold().translate(TRANSLATION)
    text = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return re.sub(r"[^\w]+|_", " ", text).strip()


def shape(values: Sequence[str], mark: str) -> Shape:
    """Looks at the values of one column."""
    full = [value.strip() for value in values if value.strip()]
    count = max(1, len(full))
    amounts = [read_amount(v, mark) for v in full if any(c.isdigit() for c in v)]
    dates = [v for v in full if any(read_date(v, style) for style in ("DMY", "MDY"))]
    return Shape(
        filled=len(full) / max(1, len(values)),
        dates=len(dates) / count,
        amounts=sum(amount is not None for amount in amounts) / count,
        negative=sum(amount is not None and amount < 0 for amount in amounts) / count,
        ibans=sum(iban.is_valid(v) for v in full) / count,
        currencies=sum(bool(CURRENCY.fullmatch(v)) for v in full) / count,
        sides=sum(v.casefold() in SIDES for v in full) / count,
        length=sum(map(len, full)) / count,
        distinct=len(set(full)) / count,
    )


def title_fit(title: str, role: str) -> float:
    """How well a title names a role: 0 … 1."""
    wanted = plain_title(title)
    best = 0.0
    for place, phrase in enumerate(ROLES[role]):
        if wanted == phrase:
            best = max(best, 1.0 - place / 1000)
        elif len(phrase) >= 4 and re.search(rf"\b{re.escape(phrase)}\b", wanted):
            best = max(best, 0.4 + 0.5 * len(phrase) / len(wanted))
    return best


def _shape_fits(role: str, seen: Shape) -> bool:
    """Whether a column's values can have this role; an empty column can have most."""
    if not seen.filled:
        return role not in {"booking_date", "amount", "side", "balance"}
    fits = {
        **dict.fromkeys(NEEDS_NUMBERS, seen.amounts >= TITLED),
        **dict.fromkeys(NEEDS_DATES, seen.dates >= TITLED),
        **dict.fromkeys(("currency", "original_currency"), seen.currencies >= 0.9),
        "side": seen.sides >= 0.9,
        **dict.fromkeys(("counterparty_iban", "counterparty_name"), seen.dates < 0.5),
        "remittance_text": seen.dates < 0.9,
    }
    return fits.get(role, True)


def find_columns(
    titles: Sequence[str], shapes: Sequence[Shape]
) -> tuple[dict[str, list[int]], list[str]]:
    """Role → columns, and why; titles lead, values decide where those are silent."""
    fits = sorted(
        (
            (-title_fit(title, role), column, role)
            for column, title in enumerate(titles)
            for role in ROLES
            if title and _shape_fits(role, shapes[column])
        ),
    )
    roles: dict[str, list[int]] = {}
    why: list[str] = []
    taken: set[int] = set()
    for fit, column, role in fits:
        if fit > -0.5 or column in taken or (role in roles and role in SINGLE):
            continue
        roles.setdefault(role, []).append(column)
        taken.add(column)
        why.append(f"Column {column + 1} “{titles[column]}” is {role}, by its title.")
    _own_and_other_account(roles, shapes, why)
    why += _from_values(roles, shapes, taken)
    roles.get("remittance_text", []).sort()
    return roles, why


def _own_and_other_account(
    roles: dict[str, list[int]], shapes: Sequence[Shape], why: list[str]
) -> None:
    """An account that never changes is the statement's own; one that varies is the other side's."""
    own = roles.get("account", [-1])[0]
    if own >= 0 and "counterparty_iban" not in roles:
        varies = shapes[own].filled < 1.0 or (shapes[own].distinct > 0.5 and shapes[own].ibans > 0)
        if varies:
            roles["counterparty_iban"] = roles.pop("account")
            why.append(f"Column {own + 1} varies from line to line: the other side's account.")
        return
    column = roles.get("counterparty_iban", [-1])[0]
    if column < 0 or "account" in roles or len(shapes) <= column:
        return
    if (
        shapes[column].ibans == 1.0
        and shapes[column].filled == 1.0
        and shapes[column].distinct < 0.1
    ):
        roles["account"] = roles.pop("counterparty_iban")
        why.append(f"Column {column + 1} holds one IBAN on every line: the account's own.")


def _from_values(
    roles: dict[str, list[int]], shapes: Sequence[Shape], taken: set[int]
) -> list[str]:
    """Fills in what no title named, from the values alone."""
    why: list[str] = []
    for column, seen in enumerate(shapes):
        later = shapes[column + 1 :]
        role, reason = "", ""
        if column not in taken:
            role, reason = _by_value(seen, later, roles)
        if role:
            roles[role] = [column]
            taken.add(column)
            why.append(f"Column {column + 1} is {role}: {reason}.")
    texts = [n for n, seen in enumerate(shapes) if n not in taken and _is_text(seen)]
    if "remittance_text" not in roles and texts:
        longest = max(texts, key=lambda n: shapes[n].length)
        roles["remittance_text"] = [longest]
        why.append(f"Column {longest + 1} is remittance_text: the longest text.")
    return why


def _is_text(seen: Shape) -> bool:
    return seen.amounts < 0.5 and seen.dates < 0.5 and seen.length >= 4


def _by_value(
    seen: Shape, later: Sequence[Shape], roles: Mapping[str, Sequence[int]]
) -> tuple[str, str]:
    """The role that only the values of a column suggest, and the reason."""
    full = seen.filled >= 0.9
    if full and seen.dates >= 0.95:
        role = "value_date" if "booking_date" in roles else "booking_date"
        return ("", "") if role in roles else (role, "all its values are dates")
    if full and seen.amounts >= 0.95 and seen.length > 2 and not {"amount", "debit"} & set(roles):
        signed = seen.negative or not any(each.negative for each in later)
        return ("amount", "all its values are amounts") if signed else ("", "")
    if seen.ibans >= 0.8 and "counterparty_iban" not in roles:
        return "counterparty_iban", "its values are IBANs"
    codes = full and seen.currencies >= 0.95 and seen.distinct < 0.5
    if codes and "currency" not in roles:
        return "currency", "its values are currency codes"
    return "", ""


def explicit(
    wanted: Mapping[str, int | str | Sequence[int | str]], titles: Sequence[str]
) -> tuple[dict[str, list[int]], list[str]]:
    """A person's mapping as column positions; raises KeyError for what is not there."""
    roles: dict[str, list[int]] = {}
    for role, given in wanted.items():
        if role not in ROLES:
            raise KeyError(role)
        several = [given] if isinstance(given, int | str) else list(given)
        roles[role] = [_position(each, titles) for each in several]
    return roles, [f"{role} is as chosen." for role in roles]


def _position(given: int | str, titles: Sequence[str]) -> int:
    if isinstance(given, int):
        if not 1 <= given <= max(1, len(titles)):
            raise KeyError(f"column {given}")
        return given - 1
    wanted = plain_title(given)
    for column, title in enumerate(titles):
        if plain_title(title) == wanted:
            return column
    raise KeyError(given)
