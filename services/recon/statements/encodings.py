"""In which encoding a bank's text file is written."""

import codecs

MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
NAMES = (
    "cp1252",
    "cp1250",
    "iso8859_2",
    "cp850",
    "mac_roman",
    "cp1251",
    "koi8_r",
    "cp866",
    "cp1253",
)
# Letters from here on are Greek or Cyrillic.
OTHER_ALPHABETS = 0x370


def find_encoding(sample: bytes) -> tuple[str, str]:
    """The encoding's Python name and why it was taken."""
    for mark, name in MARKS:
        if sample.startswith(mark):
            return name, "the file begins with its mark"
    if sample[1:400:2].count(0) > 100 or (
        len(sample) < 400 and sample[1::2].count(0) > len(sample) // 3
    ):
        return "utf-16-le", "every other byte is zero"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample)
    except UnicodeDecodeError:
        scores = {name: _plausible(sample, name) for name in NAMES}
        best = max(NAMES, key=lambda name: scores[name])
        return best, "it is not UTF-8, and so its letters make words"
    return "utf-8", "it is valid UTF-8"


def _plausible(sample: bytes, name: str) -> int:
    """How much the bytes above ASCII look like letters within words."""
    text = sample.decode(name, errors="replace")
    triples = zip(" " + text[:-1], text, text[1:] + " ", strict=True)
    return sum(_fits(*triple) for triple in triples if ord(triple[1]) >= 0x80)


def _fits(before: str, mark: str, after: str) -> int:
    """Whether one character looks right between its neighbours."""
    near = [each for each in (before, after) if each.isalpha()]
    if mark == "\ufffd" or ord(mark) < 0xA0:
        return -5
    if not mark.isalpha():
        return 1 if mark in "€£§°\u00a0" else -3 if len(near) == 2 else -len(near)
    if before.islower() and mark.isupper():
        return -2
    other = ord(mark) >= OTHER_ALPHABETS
    if other and any(each.isascii() for each in near):
        return -3
    if not other and len(near) == 2 and not any(each.isascii() for each in near):
        # Three accented Latin letters in a row are hardly ever a word.
        return -2
    return 2 if near else 0
