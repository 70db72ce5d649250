"""Takes secrets out of what is logged: by the key they stand under, and by their shape."""

import re
from collections.abc import Collection, Mapping
from datetime import date, datetime
from functools import lru_cache
from itertools import islice
from uuid import UUID

REDACTED = "[redacted]"
TEXT_LIMIT = 8_192  # characters of one string
_MARGIN = 512  # characters beyond the limit that are read, so that no secret is cut in half unseen
ITEMS_LIMIT = 100  # of one list or mapping
DEPTH_LIMIT = 6

_SENSITIVE = (
    r"authorization|password|passwd|passphrase|secret|token|api[_-]?key|cookie|credential"
    r"|private[_-]?key|signing[_-]?key|iban|card[_-]?number|cvc|otp[_-]?code|session[_-]?key"
)
_SECRET_KEY = re.compile(_SENSITIVE, re.IGNORECASE)
_HARMLESS_KEY = re.compile(r"(?:_id|_type|_count|_seconds)$", re.IGNORECASE)

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")  # what is logged most often
# Nothing below can match a text without one of these, and most log messages have none of them.
_SUSPECT = re.compile(r"[=:@_-]|\d{2}|\bey|earer|asic|[A-Z]{6}")
# password=x, "token": "x y", Authorization: Bearer x; also as JSON within a JSON text. An API key's
# id as an actor, api_key:0190…-…, is no secret.
_PAIR = re.compile(
    rf"((?!api_key:[0-9a-f]{{8}}-)(?:{_SENSITIVE})[\w-]{{0,20}}\\*[\"']?\s{{0,3}}[:=]\s{{0,3}})"
    r"(?:(?:bearer|basic|digest|negotiate)\s{1,3})?"
    r"(?:\\+\"[^\"]*\"?|\"(?:[^\"\\]|\\.)*\"?|'(?:[^'\\]|\\.)*'?|[^\s&]+)",
    re.IGNORECASE | re.DOTALL,
)
_SHAPES = re.compile(
    r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----.*?(?:-----END [A-Z ]{0,30}-----|$)"
    r"|\b(?:[Bb]earer|[Bb]asic)\s{1,3}[\w.~+/=-]{16,}"
    r"|\bey[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)*"  # JWT and JWE
    r"|\b(?:aud|sk|rk|pk|whsec|ghp|gho|xox[abp]|glpat)[_-][A-Za-z0-9_-]{12,}"
    r"|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    re.DOTALL,
)
_USER_INFO = re.compile(
    r"(\b[a-z][a-z0-9+.-]{1,20}://[^\s:/@\"']{0,64}:)[^\s/\"']{1,256}@", re.IGNORECASE
)
_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+")
_CARD = re.compile(r"(?<![A-Za-z0-9])(?:[23456]\d{3})(?:[ -]?\d){9,15}(?![A-Za-z0-9])")
_IBAN_START = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}\d{2}(?=[\s-]?[A-Za-z0-9])")
_IBAN_LENGTHS = {
    country: int(length)
    for country, length in re.findall(
        r"([A-Z]{2})(\d\d)",
        "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 "
        "DK18 DO28 EE20 EG29 ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 "
        "IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 "
        "MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24 "
        "SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30",
    )
}


def redact_text(text: str, limit: int = TEXT_LIMIT) -> str:
    """Return the text without secrets, at most `limit` characters, always valid UTF-8."""
    cut = len(text) > limit
    if cut:
        text = text[: limit + _MARGIN]
    if not text.isascii():
        text = text.encode("utf-8", "backslashreplace").decode()
    if _SUSPECT.search(text) and not _UUID.fullmatch(text):
        text = _take_out(text)
    # What lies in the margin may be half a secret, and redaction may have moved it forward.
    return f"{text[: max(0, min(limit, len(text) - _MARGIN))]}…" if cut else text


def redact(key: str, value: object, depth: int = 0) -> object:
    """Return the value that stands under the key as JSON-able, without secrets."""
    if _is_secret(key[:100]) and not (isinstance(value, int) and key.endswith("tokens")):
        return REDACTED if value else value
    match value:
        case None | bool() | float() | datetime() | date() | UUID():
            return value
        case int():
            return value if abs(value) < 10**12 else redact_text(str(value))
        case Mapping() | list() | tuple() | set() | frozenset():
            return _redact_inside(value, depth + 1)
        case bytes() | bytearray() | memoryview():
            return f"<{len(value)} bytes>"
        case _:
            return redact_text(str(value))


def _redact_inside(
    value: Mapping[object, object] | Collection[object], depth: int
) -> dict[str, object] | list[object] | str:
    if depth > DEPTH_LIMIT:
        return "…"
    items = islice(value, ITEMS_LIMIT)
    if isinstance(value, Mapping):
        return {redact_text(str(key)): redact(str(key), value[key], depth) for key in items}
    return [redact("", item, depth) for item in items]


@lru_cache(maxsize=2_048)
def _is_secret(key: str) -> bool:
    return bool(_SECRET_KEY.search(key)) and not _HARMLESS_KEY.search(key)


def _take_out(text: str) -> str:
    text = _PAIR.sub(rf"\1{REDACTED}", text)
    text = _SHAPES.sub(REDACTED, text)
    if "@" in text:
        text = _USER_INFO.sub(rf"\1{REDACTED}@", text)
        text = _EMAIL.sub(REDACTED, text)
    text = _CARD.sub(lambda found: REDACTED if _luhn(found[0]) else found[0], text)
    return _without_ibans(text)


def _luhn(text: str) -> bool:
    digits = [int(character) for character in reversed(text) if character.isdigit()]
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[1::2])
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0


def _without_ibans(text: str) -> str:
    parts, begin = [], 0
    for found in _IBAN_START.finditer(text):
        if found.start() >= begin and (end := _iban_end(text, found.start())):
            parts += [text[begin : found.start()], REDACTED]
            begin = end
    return "".join(parts) + text[begin:] if parts else text


def _iban_end(text: str, begin: int) -> int | None:
    """Return where the IBAN that begins there ends; None if it is none."""
    length = _IBAN_LENGTHS.get(text[begin : begin + 2].upper(), 0)
    iban, end = "", begin
    while len(iban) < length and end < len(text):
        character = text[end]
        if character.isascii() and character.isalnum():
            iban += character
        elif not (character in " -\u00a0" and text[end - 1].isalnum()):
            return None
        end += 1
    goes_on = text[end : end + 1].isalnum()
    if not length or len(iban) < length or goes_on:
        return None
    number = "".join(str(int(character, 36)) for character in iban[4:] + iban[:4])
    return end if int(number) % 97 == 1 else None
