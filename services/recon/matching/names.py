"""Whether two spellings mean the same company."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from rapidfuzz.distance import OSA

LEGAL_FORMS = """
gmbh mbh ag kg kgaa ohg gbr ug ek ev eg se sa sas sarl sasu eurl snc scs sca sl slu srl spa sapa bv
nv vof cv bvba ltd limited llc llp lp plc inc incorporated corp corporation co company oy oyj ab hb
as asa aps is doo dd ad ood eood sro zrt kft nyrt bt spzoo spz sp zoo spj sia uab oue ou pty pte
aktiengesellschaft gesellschaft bhd sdn kk ooo oao zao pao tov pat prat lda ltda eireli me sti tic
"""
LEGAL = frozenset(LEGAL_FORMS.split())
FILLERS = frozenset(
    {"and", "und", "et", "y", "e", "en", "the", "i", "og", "och", "cie", "compagnie"}
)
LETTERS = str.maketrans(
    {
        "ß": "ss",
        "ø": "o",
        "æ": "a",
        "å": "a",
        "ł": "l",
        "đ": "d",
        "ð": "d",
        "þ": "th",
        "œ": "o",
        "\u0131": "i",
    }
    | dict(zip("абвгґдезийклмнопрстуфыэіѐ", "abvggdeziiklmnoprstufyeie", strict=True))
    | {
        "ж": "zh",
        "\u0445": "kh",
        "ц": "ts",
        "ч": "ch",
        "ш": "sh",
        "щ": "shch",
        "ъ": "",
        "ь": "",
        "ю": "yu",
    }
    | {"я": "ya", "ё": "e", "ї": "i", "є": "ye"}
    | dict(zip("αβγδεζηικλμνοπρσςτυφω", "avgdeziiklmnoprsstyfo", strict=True))
    | {"θ": "th", "ξ": "x", "χ": "ch", "ψ": "ps"}
)
DOTTED = re.compile(r"(?<=\b\w)\.(?=\w\b)")
WORDS = re.compile(r"[a-z0-9]+\.?")
# Two spellings of one sound: bank systems write ü as ue, u or not at all.
DIGRAPHS = re.compile(r"([aou])e(?=[^aeiou]|$)")


@dataclass(frozen=True)
class Name:
    """A company's name without what varies: words, and the legal form apart."""

    words: tuple[str, ...]
    legal: frozenset[str]
    # The last word may have been cut off by a field's length.
    cut: bool = False


@dataclass(frozen=True)
class Likeness:
    """How alike two names are: 0 … 1, and in what way."""

    degree: float
    way: str


def plain(text: str) -> str:
    """Lower case Latin letters without accents, whatever the alphabet."""
    lowered = text.casefold().translate(LETTERS)
    decomposed = unicodedata.normalize("NFKD", lowered)
    without = "".join(mark for mark in decomposed if not unicodedata.combining(mark))
    return without.translate(LETTERS)


@lru_cache(maxsize=200_000)
def parse(text: str) -> Name:
    """Takes a name apart."""
    folded = DIGRAPHS.sub(r"\1", DOTTED.sub("", plain(text)))
    found = WORDS.findall(folded)
    words = [word.rstrip(".") for word in found]
    legal = frozenset(word for word in words[1:] if word in LEGAL)
    kept = tuple(w for n, w in enumerate(words) if n == 0 or (w not in LEGAL and w not in FILLERS))
    return Name(kept, legal, cut=len(text) in {22, 24, 27, 30, 32, 35, 70})


def _word_likeness(short: str, long: str) -> float:
    """How well one word stands for another: equal, an abbreviation, or misspelt."""
    if short == long:
        return 1.0
    if len(short) > len(long):
        short, long = long, short
    if len(short) >= 3 and long.startswith(short):
        return 0.9
    if len(short) >= 4 and len(long) - len(short) <= 1:
        distance = OSA.distance(short, long, score_cutoff=2)
        return 0.9 if distance == 1 else 0.75 if distance == 2 and len(short) >= 7 else 0.0
    return 0.0


@lru_cache(maxsize=500_000)
def _words_likeness(some: tuple[str, ...], other: tuple[str, ...]) -> tuple[float, bool]:
    """Share of the letters that find their word on the other side, and whether in order."""
    if len(some) > len(other):
        some, other = other, some
    free = list(range(len(other)))
    matched, places = 0.0, []
    for word in some:
        best, place = 0.0, -1
        for candidate in free:
            likeness = _word_likeness(word, other[candidate])
            if likeness > best:
                best, place = likeness, candidate
        if place >= 0:
            free.remove(place)
            places.append(place)
            matched += best * (len(word) + len(other[place]))
    letters = sum(map(len, some)) + sum(map(len, other))
    if len(places) < len(some):
        # Each side has a word that the other lacks: relatives, perhaps, but not one company.
        matched *= 0.8
    return (matched / letters if letters else 0.0), places == sorted(places)


def compare(said: Name, known: Name) -> Likeness:
    """Compares the name in a statement with a known one."""
    if not said.words or not known.words:
        return Likeness(0.0, "")
    if said.words == known.words:
        degree, way = 1.0, "same name"
    elif "".join(said.words) == "".join(known.words):
        degree, way = 0.98, "same name"
    else:
        degree, in_order = _words_likeness(said.words, known.words)
        if sorted(said.words) == sorted(known.words):
            way = "same words in another order"
        elif in_order:
            way = "similar name"
        else:
            way = "similar words in another order"
    if said.legal and known.legal and said.legal != known.legal:
        smaller, larger = sorted((said.legal, known.legal), key=len)
        cut = said.cut and smaller < larger
        return Likeness(degree * (0.97 if cut else 0.8), f"{way}, other legal form")
    return Likeness(degree, way)


class NameIndex:
    """Finds the known names that a spelling may mean."""

    def __init__(self, names: Iterable[Name]) -> None:
        self._by_words: dict[tuple[str, ...], list[Name]] = defaultdict(list)
        self._block: dict[str, set[tuple[str, ...]]] = defaultdict(set)
        self._pairs: dict[tuple[str, ...], set[tuple[str, ...]]] = defaultdict(set)
        for name in dict.fromkeys(names):
            self._by_words[name.words].append(name)
            for word in name.words:
                if len(word) >= 3:
                    self._block[word[:3]].add(name.words)
                    self._block[word[-3:]].add(name.words)
            self._pairs[name.words[:2]].add(name.words)
        self._cache: dict[str, dict[Name, Likeness]] = {}

    def find(self, text: str, floor: float = 0.6, widest: int = 400) -> dict[Name, Likeness]:
        """Known names like this one, at least to the degree of `floor`."""
        if text not in self._cache:
            self._cache[text] = self._find(parse(text), floor, widest)
        return self._cache[text]

    def _find(self, said: Name, floor: float, widest: int) -> dict[Name, Likeness]:
        keys = {key for word in said.words if len(word) >= 3 for key in (word[:3], word[-3:])}
        # In an order of their own: that of sets is another in every process.
        blocks = sorted((self._block[key] for key in sorted(keys) if key in self._block), key=len)
        near: set[tuple[str, ...]] = {said.words} if said.words in self._by_words else set()
        for block in blocks:
            if len(near) + len(block) > widest and near:
                break
            near |= block
        found: dict[Name, Likeness] = {}
        for words in sorted(near):
            if _words_likeness(said.words, words)[0] < floor:
                continue
            for name in self._by_words[words]:
                likeness = compare(said, name)
                if likeness.degree >= floor:
                    found[name] = likeness
        return found

    def within(self, text: str) -> dict[Name, Likeness]:
        """Known names whose first two words stand in a longer text."""
        said = parse(text)
        found: dict[Name, Likeness] = {}
        for pair in zip(said.words, said.words[1:], strict=False):
            for words in self._pairs.get(pair, ()):
                for name in self._by_words[words]:
                    other = bool(said.legal and name.legal and not name.legal <= said.legal)
                    degree = 0.75 if other else 0.95
                    found[name] = Likeness(degree, "name in the text")
        return found
