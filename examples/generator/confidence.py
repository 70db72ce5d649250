"""`make confidence`: measures how sure readings are and what corrections teach.

`python -m examples.generator.confidence [DIR …] [--no-write]` writes docs/CONFIDENCE.md; folders
with NAME.expected.json beside their documents are measured as well.
"""

import argparse
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from services.agent.reading import calibration

from . import reliability, series
from .evaluate import BUILD, ROOT
from .making import write
from .reliability import Sample

PAGE = ROOT / "docs" / "CONFIDENCE.md"
DOCUMENTS, SUPPLIERS = 240, 60
SEED = 21  # of no document that the curves were fitted to

TEXT = """# Confidence

Made by `make confidence`. The curves that turn scores into probabilities stand in
`services/agent/reading/calibration.json`; `python -m examples.generator.reliability --fit DIR`
makes them again from documents of `examples/generator`, split `unseen`, to which the engine was not
tuned. The tables below are of {documents} others of that split, by the page alone.

## Layouts that the curves have not seen

Each layout is judged by curves that were fitted to the other layouts alone.

{cross}

## The curves as shipped

{shipped}
{folders}
## What corrections teach

{suppliers} suppliers that were not seen before, three documents each, of one layout and wording.
What was read wrongly on one document is corrected and counts for the next
(`python -m examples.generator.series`). With the words that firms use:

{usual}

With a supplier's own words for number, dates, order and totals, which are in no language:

{coined}
"""


def made() -> Path:
    """A folder of documents that were not used for a fit."""
    folder = BUILD / "confidence"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for index in range(DOCUMENTS):
        write(folder, "unseen", "page", index, SEED)
    return folder


def shipped(samples: Sequence[Sample]) -> list[Sample]:
    """The samples with confidences by the curves that are shipped."""
    probability = calibration.probability
    return [replace(s, score=probability(s.source, s.field, s.score)) for s in samples]


def learned(*, has_coined_labels: bool) -> str:
    """How much is right on the first, second and third document of new suppliers."""
    counts = series.run(SUPPLIERS, "unseen", has_coined_labels=has_coined_labels)
    return series.table(counts, SUPPLIERS)


def report(folders: Sequence[Path]) -> str:
    """The text of docs/CONFIDENCE.md."""
    samples = list(reliability.read_all([made()], raw=True))
    given = ""
    for folder in folders:
        table = reliability.table(list(reliability.read_all([folder], raw=False)))
        given += f"\n## {folder.name}, by the curves as shipped\n\n{table}\n"
    return TEXT.format(
        documents=DOCUMENTS,
        suppliers=SUPPLIERS,
        cross=reliability.table(reliability.unseen(samples)),
        shipped=reliability.table(shipped(samples)),
        folders=given,
        usual=learned(has_coined_labels=False),
        coined=learned(has_coined_labels=True),
    )


def main() -> None:
    """Measure and write the page."""
    parser = argparse.ArgumentParser("python -m examples.generator.confidence", description=__doc__)
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--no-write", action="store_true", help="leave docs/CONFIDENCE.md as it is")
    args = parser.parse_args()
    text = report(args.folders)
    sys.stdout.write(text)
    if not args.no_write:
        PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
