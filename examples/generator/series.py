"""What a reader learns from corrections: documents of suppliers that it has not seen, in turn.

`python -m examples.generator.series [--suppliers N] [--split unseen] [--coined]` makes three
documents of each supplier, of one layout and wording; what was read wrongly on one is corrected
as a person would, and counts for the next. With --coined the suppliers call number, dates and
totals by names that are in no language.
"""

import argparse
import random
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from services.agent.reading import read_document
from services.agent.reading.hints import FIELDS, merged
from services.agent.reading.learning import learn

from .bill import Bill
from .invent import bill, coined
from .layouts import layout_of, paint
from .making import SPLITS, country_of, worded
from .score import is_same
from .truth import truth

DOCUMENTS = 3
SEED = 5
COINED = ("number", "number_credit", "issue_date", "due_date", "order", "gross", "net")
SCORED = tuple(name.removesuffix("_code") for name in FIELDS if name != "amount_due")
Document = tuple[bytes, dict[str, Any]]


def series(index: int, split: str, *, has_coined_labels: bool, seed: int = SEED) -> list[Document]:
    """Documents of one supplier, each with what is expected."""
    chance = random.Random(f"{seed}/{split}/series/{index}")  # noqa: S311 - nothing secret
    country = country_of(index, chance)
    first = bill(country, chance)
    w = worded(country, split, first.currency, 1, chance)
    layout = layout_of(split, chance)
    if has_coined_labels:
        labels = {key: f"{coined(chance)} {coined(chance)}" for key in COINED}
        w = replace(w, labels={**w.labels, **labels})
    bills = [first, *(_next(first, bill(country, chance), chance) for _ in range(DOCUMENTS - 1))]
    return [(paint(each, w, layout), truth(each, layout)) for each in bills]


def _next(first: Bill, other: Bill, chance: random.Random) -> Bill:
    """Another bill of the same firm, numbered alike."""
    number, order = (
        "".join(str(chance.randint(1, 9)) if mark.isdigit() else mark for mark in text)
        for text in (first.number, first.order)
    )
    same = {name: getattr(first, name) for name in ("kind", "supplier", "buyer", "currency")}
    return replace(other, number=number, order=order, original=first.original, **same)


def corrected(got: dict[str, Any], want: dict[str, Any]) -> dict[str, str]:
    """What a person corrects of a document: values by the reader's names."""
    return {
        "currency_code" if name == "currency" else name: str(want[name])
        for name in SCORED
        if name in want and not is_same(name, got.get(name), want[name])
    }


def read(data: bytes, hints: dict[str, Any]) -> dict[str, Any]:
    """The values of a document by the keys of what is expected."""
    fields = read_document(data, options={"hints": hints})["fields"]
    values = {name: found["value"] for name, found in fields.items()}
    return {**values, "currency": values.get("currency_code")}


def run(suppliers: int, split: str, *, has_coined_labels: bool) -> list[Counter[str]]:
    """Counts for the first document of each supplier, the second …: fields right and wanted."""
    counts = [Counter[str]() for _ in range(DOCUMENTS)]
    for index in range(suppliers):
        hints: dict[str, Any] = {}
        for count, (data, want) in zip(
            counts, series(index, split, has_coined_labels=has_coined_labels), strict=True
        ):
            got = read(data, hints)
            wrong = corrected(got, want)
            wanted = [name for name in SCORED if name in want]
            count["wanted"] += len(wanted)
            count["right"] += len(wanted) - len(wrong)
            count["whole"] += not wrong
            count.update(wrong.keys())
            if wrong:
                hints = merged(hints, learn(data, options={"values": wrong}))
    return counts


def table(counts: Sequence[Counter[str]], suppliers: int) -> str:
    """The counts as a Markdown table."""
    rows = ["| document | fields right | wholly right | corrected most |", "|---|---|---|---|"]
    for number, count in enumerate(counts, 1):
        most = [f"{name} {times}" for name, times in count.most_common() if name in FIELDS][:4]
        share = f"{count['right']}/{count['wanted']} = {count['right'] / count['wanted']:.3f}"
        whole = f"{count['whole']}/{suppliers}"
        rows.append(f"| {number} | {share} | {whole} | {', '.join(most)} |")
    return "\n".join(rows)


def main() -> None:
    """Print how much is right on the first, second and third document."""
    parser = argparse.ArgumentParser("python -m examples.generator.series", description=__doc__)
    parser.add_argument("--suppliers", type=int, default=60)
    parser.add_argument("--split", choices=SPLITS, default="unseen")
    parser.add_argument("--coined", action="store_true", help="labels that are in no language")
    args = parser.parse_args()
    counts = run(args.suppliers, args.split, has_coined_labels=args.coined)
    sys.stdout.write(table(counts, args.suppliers) + "\n")


if __name__ == "__main__":
    main()
