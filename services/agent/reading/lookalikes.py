"""Letters that look like others: words that a person reads otherwise than a program does."""

import unicodedata
from collections.abc import Iterable
from functools import lru_cache

# Cyrillic and Greek letters that no eye tells from the Latin ones under them.
_ALIKE_BY_LATIN = {
    "A": "\u0410\u0391", "B": "\u0412\u0392", "C": "\u0421\u03f9", "E": "\u0415\u0395",
    "G": "\u050c", "H": "\u041d\u0397", "I": "\u0406\u0399", "J": "\u0408", "K": "\u041a\u039a",
    "M": "\u041c\u039c", "N": "\u039d", "O": "\u041e\u039f", "P": "\u0420\u03a1", "Q": "\u051a",
    "S": "\u0405", "T": "\u0422\u03a4", "V": "\u0474", "W": "\u051c", "X": "\u0425\u03a7",
    "Y": "\u0423\u03a5", "Z": "\u0396", "a": "\u0430\u03b1", "c": "\u0441\u03f2", "d": "\u0501",
    "e": "\u0435", "h": "\u04bb", "i": "\u0456\u03b9", "j": "\u0458\u03f3", "k": "\u03ba",
    "o": "\u043e\u03bf", "p": "\u0440\u03c1", "q": "\u051b", "s": "\u0455", "t": "\u03c4",
    "u": "\u03c5", "v": "\u0475\u03bd", "w": "\u051d", "x": "\u0445\u03c7", "y": "\u0443",
}  # fmt: skip
_ALIKE = {ord(c): latin for latin, others in _ALIKE_BY_LATIN.items() for c in others}
LETTERS = frozenset(map(chr, _ALIKE))
# Of no width, or turning the direction of writing: they change a word and not what is seen.
CONTROLS = frozenset(
    map(chr, (0x180E, 0x200B, *range(0x202A, 0x202F), *range(0x2060, 0x206A), 0xFEFF))
) | frozenset({"\u200c", "\u200d"})
FOREIGN_SHARE = 0.2  # of a page's letters: it is in Greek or Cyrillic where there are more
_QUANTITIES = frozenset("\u03a9\u03bc\u0394\u03c0\u03bb\u03b1\u03b2\u03b3")
_LETTERS_KNOWN = 4_096


def latin(text: str) -> str:
    """Return the text as a person reads it: look-alikes as Latin letters, no controls."""
    return uncontrolled(text).translate(_ALIKE)


def uncontrolled(text: str) -> str:
    """Return the text without the signs that nobody sees."""
    return text if text.isascii() else "".join(c for c in text if c not in CONTROLS)


def is_latin(texts: Iterable[str]) -> bool:
    """Return whether the words of a page are written in Latin letters."""
    scripts = [_script(c) for text in texts for c in text if c.isalpha()]
    return scripts.count("OTHER") <= FOREIGN_SHARE * len(scripts)


def disguised(word: str) -> bool:
    """Return whether a word on a page in Latin letters mixes in letters of another script.

    A word wholly in another script is a word; one of look-alikes and digits alone is none.
    """
    if word.isascii():
        return False
    alike = sum(c in LETTERS for c in word)
    if not alike:
        return False
    scripts = [_script(c) for c in word if c.isalpha()]
    others = scripts.count("OTHER")
    if others < len(scripts):
        return others == alike and not _is_unit(word)
    return alike == others and any(c.isdigit() for c in word)


def controlled(word: str) -> bool:
    """Return whether a word holds a sign of no width between letters, or one that turns writing."""
    return not word.isascii() and any(c in CONTROLS for c in word.strip("\ufeff\u200b"))


def _is_unit(word: str) -> bool:
    """Return whether a Greek letter stands for a quantity, as in kilo-ohm and micrometre."""
    return all(_script(c) == "LATIN" or c in _QUANTITIES for c in word if c.isalpha()) and (
        len(word) <= 3
    )


@lru_cache(_LETTERS_KNOWN)
def _script(letter: str) -> str:
    if letter.isascii():
        return "LATIN"
    name = unicodedata.name(letter, "")
    return "OTHER" if name.startswith(("GREEK", "CYRILLIC")) else "LATIN"
