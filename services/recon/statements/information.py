"""What field 86 of an MT940 says to its owner, in the ways that banks write it.

Subfields of two digits behind a mark ("166?00GUTSCHRIFT?20…", also with ~, < or ^ in its place),
words between slashes ("/EREF/…/REMI/…"), the SEPA words of the German banking committee
("EREF+… SVWZ+…"), or just text.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

from .values import read_iban

CODED = re.compile(r"(\d{3})([?~<^|+])(?=\d\d)")
SLASHED = re.compile(
    r"(?:^|/)(TRCD|EREF|PREF|KREF|RREF|MARF|CSID|CNTP|REMI|NAME|IBAN|BIC|ORDP|BENM|ADDR|PURP|RTRN"
    r"|ULTD|ULTC|ULTB|ISDT|INIT|SVCL|EXCH|CHGS|OCMT|TYPE|ACCW)/"
)
SEPA = re.compile(
    r"(?:^|\s|(?<=[^A-Z]))(EREF|KREF|MREF|CRED|DEBT|SVWZ|ABWA|ABWE|IBAN|BIC|PURP|COAM|OAMT)[+:]\s?"
)
MONEY = re.compile(r"([A-Z]{3})\s?(\d{1,15}(?:[.,]\d{0,5})?)")
WIDTH = 27  # of a subfield: a full one goes on in the next without a space


@dataclass(frozen=True)
class Information:
    """What is known of a line beyond its amount; amounts as decimal text."""

    text: str = ""
    name: str = ""
    account: str = ""
    end_to_end_id: str = ""
    code: str = ""
    kind: str = ""
    original_amount: str | None = None
    original_currency_code: str = ""
    exchange_rate: str | None = None
    charges: str | None = None

    def joined(self, later: "Information") -> "Information":
        """What both say: the later one first, but no text is lost."""
        if self == NOTHING:
            return later
        known = {f.name: getattr(later, f.name) or getattr(self, f.name) for f in fields(self)}
        texts = dict.fromkeys(filter(None, (self.text, later.text)))
        return Information(**{**known, "text": " ".join(texts)})


NOTHING = Information()


def read_information(rows: Sequence[str]) -> Information:
    """Return what the lines of a field 86 say."""
    whole = "".join(rows)
    if coded := CODED.match(whole):
        return _of_subfields(coded[1], whole[coded.end(1) + 1 :].split(coded[2]))
    if SLASHED.match(whole.lstrip()):
        return _of_words(whole.lstrip())
    text = " ".join(row.strip() for row in rows if row.strip())
    return _of_sepa(text) if SEPA.search(text) else Information(text=text)


def read_supplement(rows: Sequence[str]) -> Information:
    """Return what the second line of a field 61 says: amounts before exchange, or a text."""
    text = " ".join(row.strip() for row in rows if row.strip())
    return _of_words(text) if SLASHED.match(text) else Information(text=text)


def _of_subfields(code: str, parts: Sequence[str]) -> Information:
    said: dict[int, str] = {}
    for part in parts:
        if part[:2].isdecimal():
            said[int(part[:2])] = said.get(int(part[:2]), "") + part[2:]
    text = ""
    for number in (*range(20, 30), *range(60, 64)):
        part = said.get(number, "")
        full = len(text) > 0 and text[-1:] != " " and len(said.get(number - 1, "")) < WIDTH
        text += f" {part}" if part and full else part
    found = _of_sepa(text) if SEPA.search(text) else Information(text=" ".join(text.split()))
    account = read_iban(said.get(38, "")) or read_iban(said.get(31, ""))
    name = f"{said.get(32, '')}{said.get(33, '')}".strip()
    return replace(
        found,
        name=name or found.name,
        account=account or found.account,
        code=code,
        kind=said.get(0, "").strip(),
    )


def _of_sepa(text: str) -> Information:
    """Return what stands behind the words; the text is what is for the receiver."""
    pieces = SEPA.split(text)
    said = {word: value.strip() for word, value in zip(pieces[1::2], pieces[2::2], strict=True)}
    told = said.get("SVWZ", "") if "SVWZ" in said else pieces[0]
    original = MONEY.match(said.get("OAMT", ""))
    return Information(
        text=" ".join(told.split()),
        name=said.get("ABWA", "") or said.get("ABWE", ""),
        account=read_iban(said.get("IBAN", "")),
        end_to_end_id=_reference(said.get("EREF", "") or said.get("KREF", "")),
        original_amount=_decimal(original[2]) if original else None,
        original_currency_code=original[1] if original else "",
    )


def _of_words(text: str) -> Information:
    pieces = SLASHED.split(text)
    said: dict[str, str] = {}
    for word, value in zip(pieces[1::2], pieces[2::2], strict=True):
        said.setdefault(word, value.strip())
    party = said.get("CNTP", "").split("/")
    party += [""] * (4 - len(party))
    told = re.sub(r"^(?:USTD|STRD)/(?:CUR/)?/?", "", said.get("REMI", "")).strip("/ ")
    original, charges = MONEY.match(said.get("OCMT", "")), MONEY.match(said.get("CHGS", ""))
    rate = re.match(r"\d{1,12}(?:[.,]\d{1,12})?", said.get("EXCH", ""))
    return Information(
        text=" ".join(told.split()),
        name=(party[2] or said.get("NAME", "")).strip("/ "),
        account=read_iban(party[0]) or read_iban(said.get("IBAN", "").strip("/")),
        end_to_end_id=_reference(said.get("EREF", "").strip("/ ")),
        code=said.get("TRCD", "").strip("/ "),
        kind=said.get("TYPE", "").strip("/ "),
        original_amount=_decimal(original[2]) if original else None,
        original_currency_code=original[1] if original else "",
        exchange_rate=_decimal(rate[0]) if rate else None,
        charges=_decimal(charges[2]) if charges else None,
    )


def _reference(text: str) -> str:
    return "" if text.upper() in ("NOTPROVIDED", "NONREF") else text


def _decimal(text: str) -> str:
    return text.replace(",", ".").rstrip(".")
