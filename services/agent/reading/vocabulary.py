"""What documents call things, one data file a language: a new file is a new language."""

import re
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache, cached_property
from importlib import resources
from itertools import chain, product

from .values import tokens

WEAK = 0.55
STRONG = 1.0
NO_LABELS = ("months", "legal_forms", "term_days", "term_paying")


@dataclass(frozen=True)
class Label:
    """A phrase that names a field in one language: its tokens and how much it says (0..1)."""

    field: str
    words: tuple[str, ...]
    weight: float
    language: str


@dataclass(frozen=True)
class Terms:
    """What terms of payment are said with: words for days, and how words of paying begin."""

    days: frozenset[str]
    paying: frozenset[str]


@dataclass(frozen=True)
class Labels:
    """All labels of some languages, legal forms by their first token, and month names."""

    by_words: dict[tuple[str, ...], list[Label]]
    lengths: dict[str, list[int]]  # of the labels that begin with a token, the longest first
    endings: tuple[Label, ...]
    months: dict[str, int]
    legal_forms: dict[str, tuple[tuple[str, ...], ...]]
    terms: Terms

    def at(self, found: list[str], index: int) -> list[Label]:
        """Return the labels that begin at this token, the longest first."""
        token = found[index]
        hits: list[Label] = []
        for length in self.lengths.get(token, ()):
            if index + length <= len(found):
                hits += self.by_words.get(tuple(found[index : index + length]), ())
        if token.endswith(self._suffixes):
            hits += [e for e in self.endings if token.endswith(e.words[0]) and token != e.words[0]]
        return hits

    @cached_property
    def _suffixes(self) -> tuple[str, ...]:
        return tuple(e.words[0] for e in self.endings)


@cache
def languages() -> tuple[str, ...]:
    """Return the languages that there is a label file for."""
    files = resources.files(__package__).joinpath("labels").iterdir()
    return tuple(sorted(f.name.removesuffix(".toml") for f in files if f.name.endswith(".toml")))


@cache
def load(wanted: tuple[str, ...]) -> Labels:
    """Return the labels of these languages together."""
    by_words: defaultdict[tuple[str, ...], list[Label]] = defaultdict(list)
    endings: list[Label] = []
    months: dict[str, int] = {}
    for language in wanted:
        for label in _labels(language):
            if label.words[0].startswith("*"):
                endings.append(replace(label, words=(label.words[0][1:],)))
            else:
                by_words[label.words].append(label)
        for number, names in enumerate(_file(language)["months"], start=1):
            months.update({" ".join(tokens(name)): number for name in names.split()})
    lengths: defaultdict[str, list[int]] = defaultdict(list)
    for first, length in sorted({(words[0], -len(words)) for words in by_words}):
        lengths[first].append(-length)
    terms = Terms(_words(wanted, "term_days"), _words(wanted, "term_paying"))
    forms = _legal_forms(wanted)
    return Labels(dict(by_words), dict(lengths), tuple(endings), months, forms, terms)


@cache
def _legal_forms(wanted: tuple[str, ...]) -> dict[str, tuple[tuple[str, ...], ...]]:
    """Return those of all languages: a firm abroad keeps its own, whatever its invoice is in.

    One with "?" at its end is a word elsewhere ("AS", "KB") and counts in its own language alone.
    """
    forms: defaultdict[str, list[tuple[str, ...]]] = defaultdict(list)
    for name in languages():
        for form in _file(name)["legal_forms"]:
            if name in wanted or not form.endswith("?"):
                words = tuple(tokens(form))
                forms[words[0]].append(words)
    return {word: tuple(dict.fromkeys(found)) for word, found in forms.items()}


def _words(wanted: tuple[str, ...], key: str) -> frozenset[str]:
    return frozenset(t for name in wanted for word in _file(name)[key] for t in tokens(word))


@cache
def _file(language: str) -> dict[str, list[str]]:
    text = resources.files(__package__).joinpath("labels", f"{language}.toml").read_text("utf-8")
    return tomllib.loads(text)


@cache
def _labels(language: str) -> tuple[Label, ...]:
    """Return the labels of a file; "?" at the end marks a weak one, "*" before it an ending."""
    found: dict[Label, None] = {}  # in their order, each once
    for field, phrases in _file(language).items():
        if field in NO_LABELS:
            continue
        for phrase in chain.from_iterable(map(_alternatives, phrases)):
            words = tuple(tokens(phrase))
            if phrase.startswith("*"):
                words = ("*" + words[0],)
            found[Label(field, words, WEAK if phrase.endswith("?") else STRONG, language)] = None
    return tuple(found)


def _alternatives(phrase: str) -> Iterator[str]:
    """Yield the phrases that one with alternatives stands for: "{net,gross} total" is two."""
    parts = [part.split(",") for part in re.split(r"[{}]", phrase)]
    for words in product(*parts):
        yield "".join(words)
