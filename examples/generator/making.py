"""Makes documents of every kind, one by its number: the same number and seed, the same document."""

import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from . import einvoices, receipts
from .invent import bill
from .layouts import layout_of, paint
from .pictures import photographed, scanned
from .truth import truth
from .wording import Wording, languages, wording, words_of

SPLITS = ("tuning", "unseen")
Made = tuple[str, bytes, dict[str, Any]]  # ending of the file, its bytes, what is expected


def country_of(index: int, chance: random.Random) -> str:
    """A country; the languages take turns, so that a small set has each."""
    codes = languages()
    language = codes[index % len(codes)]
    countries = [c for c, f in words_of("countries").items() if f["language"] == language]
    return chance.choice(countries)


def worded(country: str, split: str, currency: str, sign: int, chance: random.Random) -> Wording:
    """How a firm of a country writes."""
    facts = words_of("countries")[country]
    made = wording(facts, currency, split, sign, chance)
    if country == "US":
        for key, text in made.labels.items():
            made.labels[key] = text.replace("VAT", "Tax").replace("value added tax", "sales tax")
    return made


def page(split: str, index: int, chance: random.Random) -> Made:
    """An invoice or a credit note as a PDF with a text layer."""
    country = country_of(index, chance)
    made = bill(country, chance)
    sign = -1 if made.kind == "CREDIT_NOTE" and chance.random() < 0.4 else 1
    w = worded(country, split, made.currency, sign, chance)
    layout = layout_of(split, chance)
    about = {"layout": layout.name, "language": w.language, "country": country}
    return ".pdf", paint(made, w, layout), {**truth(made, layout), "made": about}


def scan(split: str, index: int, chance: random.Random) -> Made:
    """The same without a text layer, as a scanner gives it."""
    _, data, expected = page(split, index, chance)
    ending, picture = scanned(data, chance)
    return ending, picture, expected


def receipt(split: str, index: int, chance: random.Random) -> Made:
    """A till receipt, photographed."""
    country = country_of(index, chance)
    bought = receipts.purchase(country, chance)
    strip = chance.choice(receipts.STRIPS[split])
    currency = words_of("countries")[country]["currencies"][0]
    w = worded(country, split, currency, 1, chance)
    ending, picture = photographed(receipts.paint(bought, strip, w, chance), chance)
    about = {"layout": strip.name, "language": w.language, "country": country}
    return ending, picture, {**receipts.truth(bought), "made": about}


def einvoice(split: str, index: int, chance: random.Random) -> Made:
    """An e-invoice: UBL, CII or Factur-X, in turn."""
    country = country_of(index, chance)
    made = replace(bill(country, chance), has_gross_prices=False)
    syntax = ("ubl", "cii", "facturx")[index % 3]
    about = {"layout": syntax, "language": words_of("countries")[country]["language"]}
    expected = {**truth(made), "made": about}
    if syntax == "ubl":
        return ".xml", einvoices.ubl(made), expected
    if syntax == "cii":
        return ".xml", einvoices.cii(made), expected
    w = worded(country, split, made.currency, 1, chance)
    return ".pdf", einvoices.facturx(made, paint(made, w, layout_of(split, chance))), expected


KINDS: dict[str, Callable[[str, int, random.Random], Made]] = {
    "page": page,
    "scan": scan,
    "receipt": receipt,
    "einvoice": einvoice,
}


def make(split: str, kind: str, index: int, seed: int) -> Made:
    """The document of this number."""
    chance = random.Random(f"{seed}/{split}/{kind}/{index}")  # noqa: S311 - nothing secret
    return KINDS[kind](split, index, chance)


def write(folder: Path, split: str, kind: str, index: int, seed: int) -> None:
    """Make a document and put it, with NAME.expected.json, into a folder."""
    ending, data, expected = make(split, kind, index, seed)
    name = f"{kind}-{index:04}"
    (folder / f"{name}{ending}").write_bytes(data)
    text = json.dumps(expected, ensure_ascii=False, indent=1)
    (folder / f"{name}.expected.json").write_text(text + "\n", encoding="utf-8")
