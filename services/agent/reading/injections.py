"""Finds sentences that are meant for a model that reads along: orders to set its own aside."""

import base64
import binascii
import re
import tomllib
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import resources

from .lookalikes import latin
from .values import folded

BETWEEN, BETWEEN_TURNED = 30, 12  # letters between an order and its object; where the object leads
_LEET = str.maketrans("013457@$!|", "oieastasii")
_CODED = 24  # letters of a word in base 64, at least
_BASE64 = re.compile(rf"[A-Za-z0-9+/]{{{_CODED},}}={{0,2}}", re.ASCII)
_SHORT = 4  # letters of a word that a full stop may shorten
_OTHERS = re.compile(r"[^a-z]+")


def found(words: Sequence[str]) -> list[tuple[int, int]]:
    """Return the ranges of words (first, after the last) that speak to a model.

    Letters set apart, digits for letters, look-alikes and signs between change nothing of it; a
    word in base 64 counts as what it says.
    """
    text, owners, edges = "", list[int](), {0}
    for index, word in enumerate(words):
        for token in (*_tokens(word), *("." if _ends(word) else "")):
            text += token
            owners += [index] * len(token)
            edges.add(len(text))
    spans = {
        (owners[begin], owners[end - 1] + 1)
        for begin, end, whole in _spans(text)
        if begin in edges and (end in edges or not whole)
    }
    long = ((i, word) for i, word in enumerate(words) if len(word) >= _CODED)
    coded = {(i, i + 1) for i, word in long if _is_coded(word)}
    return sorted(spans | coded)


def _tokens(word: str) -> list[str]:
    if word.isascii() and word.isalpha():
        return [word.lower()]
    text = folded(latin(word))
    return [token for token in _OTHERS.split(text.translate(_LEET)) if token]


def _ends(word: str) -> bool:
    return len(word) > _SHORT and word.endswith((".", "!", "?"))


def _spans(text: str) -> Iterator[tuple[int, int, bool]]:
    """Yield where a pattern is found, and whether its last word must be a whole one."""
    aside, pairs, alone = _patterns()
    for pattern in (*(pairs if aside.search(text) else ()), alone):
        for match in pattern.finditer(text):
            yield *match.span(), pattern is alone


def _is_coded(word: str) -> bool:
    match = _BASE64.search(word)
    if match is None:
        return False
    given = match.group().rstrip("=")
    try:
        said = base64.b64decode(given[: len(given) // 4 * 4]).decode("ascii")
    except (binascii.Error, UnicodeDecodeError):
        return False
    return said.isprintable() and bool(found(said.split()))


@cache
def _patterns() -> tuple[re.Pattern[str], tuple[re.Pattern[str], ...], re.Pattern[str]]:
    data = resources.files(__package__).joinpath("injections.toml").read_text("utf-8")
    told = {name: _either(phrases) for name, phrases in tomllib.loads(data).items()}
    aside, object_ = told["aside"], told["told"]
    led = re.compile(f"{aside}[a-z]{{0,{BETWEEN}}}?{object_}")
    turned = re.compile(f"{object_}[a-z]{{0,{BETWEEN_TURNED}}}?{aside}")
    return re.compile(aside), (led, turned), re.compile(told["alone"])


def _either(phrases: Sequence[str]) -> str:
    squeezed = sorted({phrase.replace(" ", "") for phrase in phrases}, key=len, reverse=True)
    return f"(?:{'|'.join(squeezed)})"
