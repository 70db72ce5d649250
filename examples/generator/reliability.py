"""Measures how often readings are right, and fits the curves of calibration.json to that.

`python -m examples.generator.reliability --fit DIR …` makes the curves of the sources that the
documents have (text layer, OCR) again, from folders that hold NAME.expected.json beside their
documents, and shows how well curves hold on layouts that they were not fitted to; without `--fit`
it shows how well the curves hold on other folders.
"""

import argparse
import json
import math
import re
import sys
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from services.agent.reading import Unreadable, read_document
from services.agent.reading.calibration import ANY, FILE, LINES, Answer, Curves, of_curves

from .score import amount, is_alike, is_same

SURE_MAX = 0.995  # nothing that is read from a page is certain
BLOCK = 25  # fields at least, over which a share is taken
SAMPLES_MIN = 500  # of a source, to fit its curves anew
EDGES = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 1.0)
# Of made documents all are said that the page shows: these are wrong where none is expected.
SHOWN = ("due_date", "order_reference", "iban")


@dataclass(frozen=True)
class Sample:
    """A field that was read: by what source, how high it scored (0 to 1), whether it was right.

    layout: of the document, where it is known.
    """

    source: str
    field: str
    score: float
    right: bool
    layout: str = ""


def fit(samples: Iterable[Sample]) -> dict[str, dict[str, list[list[float]]]]:
    """Return the curve of each source and field that has enough samples (isotonic regression)."""
    groups: dict[tuple[str, str], list[Sample]] = defaultdict(list)
    for sample in samples:
        groups[sample.source, sample.field].append(sample)
        if sample.field != LINES:
            groups[sample.source, ANY].append(sample)
    curves: dict[str, dict[str, list[list[float]]]] = defaultdict(dict)
    for (source, field), group in sorted(groups.items()):
        if len(group) >= 2 * BLOCK or field == ANY:
            curves[source][field] = _isotonic(group)
    return dict(curves)


def _isotonic(samples: Sequence[Sample]) -> list[list[float]]:
    """Pool neighbours until the share that was right rises with the score."""
    blocks: list[list[Sample]] = []
    for _, same in groupby(sorted(samples, key=_score), key=_score):
        blocks.append(list(same))
        while len(blocks) > 1 and (
            len(blocks[-2]) < BLOCK or _share(blocks[-2]) >= _share(blocks[-1])
        ):
            blocks[-2:] = [blocks[-2] + blocks[-1]]
    while len(blocks) > 1 and (len(blocks[-1]) < BLOCK or _share(blocks[-2]) >= _share(blocks[-1])):
        blocks[-2:] = [blocks[-2] + blocks[-1]]
    return [
        [round(sum(map(_score, block)) / len(block), 4), round(_share(block), 4)]
        for block in blocks
    ]


def _score(sample: Sample) -> float:
    return sample.score


def _share(block: Sequence[Sample]) -> float:
    """Return the share that was right, less its standard error between layouts.

    What is wrong is wrong for whole layouts, and the next document may have another. One wrong
    field is counted more than there is, so that a few right ones are no certainty.
    """
    layouts: dict[str, list[bool]] = defaultdict(list)
    for each in block:
        layouts[each.layout].append(each.right)
    right = sum(each.right for each in block)
    mean = right / len(block)
    spread = sum(
        len(ones) / len(block) * (sum(ones) / len(ones) - mean) ** 2 for ones in layouts.values()
    )
    share = right / (len(block) + 1) - math.sqrt(spread / len(layouts))
    return max(0.0, min(share, SURE_MAX))


def unseen(samples: Sequence[Sample]) -> list[Sample]:
    """Return the samples with confidences by curves that saw no document of their layout."""
    judged = []
    for layout in sorted({each.layout for each in samples}):
        curves = fit(each for each in samples if each.layout != layout)
        judged += [
            replace(each, score=of_curves(curves, each.source, each.field, each.score))
            for each in samples
            if each.layout == layout
        ]
    return judged


def samples_of(answer: Answer, expected: Mapping[str, Any]) -> Iterator[Sample]:
    """Yield what was read of a document, with whether it is what is expected."""
    layout = expected.get("made", {}).get("layout", "")
    for name, found in answer["fields"].items():
        key = "currency" if name == "currency_code" else name
        if key in expected or (name in SHOWN and "made" in expected):
            right = key in expected and is_same(name, found["value"], expected[key])
            yield Sample(found["source"], name, found["confidence"], right, layout)
    left = list(expected.get("lines", ()))
    for line in answer["lines"] if "lines" in expected else ():
        same = next((each for each in left if _same_line(line, each)), None)
        if same is not None:
            left.remove(same)
        yield Sample(line["source"], LINES, line["confidence"], same is not None, layout)


def _same_line(line: Mapping[str, Any], want: dict[str, Any]) -> bool:
    same = amount(line["amount"]) == amount(want["amount"])
    return same and is_alike(line["description"], want)


def reliability(samples: Iterable[Sample]) -> list[tuple[float, float, float, float, int]]:
    """Return for each bin (from, to): the mean confidence said, the share right, the count."""
    bins: dict[int, list[Sample]] = defaultdict(list)
    for sample in samples:
        bins[min(bisect_right(EDGES, sample.score), len(EDGES) - 1)].append(sample)
    return [
        (
            EDGES[at - 1],
            EDGES[at],
            sum(each.score for each in group) / len(group),
            sum(each.right for each in group) / len(group),
            len(group),
        )
        for at, group in sorted(bins.items())
    ]


def table(samples: Sequence[Sample]) -> str:
    """Return the reliability of all fields as a Markdown table, and what is said to be sure."""
    rows = ["| confidence | said | right | fields |", "|---|---|---|---|"]
    rows += [
        f"| {low:.2f} to {high:.2f} | {said:.3f} | {right:.3f} | {count} |"
        for low, high, said, right, count in reliability(samples)
    ]
    sure = [each.right for each in samples if each.score >= 0.95]
    if sure:
        rows += ["", f"Of {len(sure)} given with at least 0.95, {sum(sure) / len(sure):.4f} right."]
    return "\n".join(rows)


def read_all(folders: Iterable[Path], *, raw: bool) -> Iterator[Sample]:
    """Yield the samples of every document of the folders, by the page alone."""
    for folder in folders:
        for file in sorted(folder.glob("*.expected.json")):
            expected = json.loads(file.read_text(encoding="utf-8"))
            name = file.name.removesuffix(".expected.json")
            for path in folder.glob(f"{name}.*"):
                if path.suffix in (".json", ".xml"):
                    continue
                try:
                    options = {"page_only": True, "raw": raw}
                    answer = read_document(path.read_bytes(), options=options)
                except Unreadable:
                    continue
                yield from samples_of(answer, expected)


def write(curves: Curves, samples: Iterable[Sample]) -> None:
    """Replace the curves of sources with enough samples; those of others stay."""
    known = json.loads(FILE.read_text(encoding="utf-8"))
    counts = Counter(sample.source for sample in samples)
    enough = {source: made for source, made in curves.items() if counts[source] >= SAMPLES_MIN}
    text = json.dumps({**known, **enough}, indent=1, sort_keys=True)
    text = re.sub(r"\[\s+([\d.]+),\s+([\d.]+)\s+\]", r"[\1, \2]", text)
    FILE.write_text(text + "\n", encoding="utf-8")


def main() -> None:
    """Fit the curves, or show how well they hold."""
    parser = argparse.ArgumentParser(
        "python -m examples.generator.reliability", description=__doc__
    )
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--fit", action="store_true", help="write the curves anew")
    args = parser.parse_args()
    samples = list(read_all(args.folders, raw=args.fit))
    if args.fit:
        write(fit(samples), samples)
        samples = unseen(samples)
    sys.stdout.write(f"{len(samples)} fields\n{table(samples)}\n")


if __name__ == "__main__":
    main()
