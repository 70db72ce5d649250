"""What becomes of the documents behind the first one in a file that holds several, in words too."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from ..reading.reader import PAGES_READ

FILENAME_LENGTH_MAX = 200


@dataclass(frozen=True)
class Fate:
    """What became of a document's pages: the invoice that has them, or why none has."""

    first_page: int
    last_page: int
    invoice_id: str = ""
    # Whether the same bytes had been uploaded by themselves.
    known: bool = False
    why_not: str = ""

    def __str__(self) -> str:
        pages = pages_text((self.first_page, self.last_page))
        if self.why_not:
            return f"{pages}: no invoice yet. {self.why_not}"
        how = ": known already, as" if self.known else " became"
        return f"{pages}{how} invoice {self.invoice_id}"


def further(answer: Mapping[str, Any]) -> list[tuple[int, int]]:
    """Return first and last page of each document that was read behind the first one.

    None begins the file: what is cut out has fewer pages, so that cutting it again comes to an end.
    The last one takes along what follows the pages that are looked at, to the end of the file (0):
    its own job finds what else is there.
    """
    read = answer.get("documents", ())[1:]
    found = [(each["first_page"], each["last_page"]) for each in read if each["first_page"] > 1]
    if found and answer["page_count"] >= PAGES_READ:
        found[-1] = (found[-1][0], 0)
    return found


def pages_text(*spans: tuple[int, int]) -> str:
    """Return "page 3", "pages 3-4", "pages 3-4, 5"."""
    texts = [str(first) if first == last else f"{first}-{last}" for first, last in spans]
    one = len(texts) == 1 and "-" not in texts[0]
    return f"{'page' if one else 'pages'} {', '.join(texts)}"


def cut_filename(filename: str, span: tuple[int, int]) -> str:
    """Return "scan (pages 3-4).pdf" for "scan.pdf", no longer than a filename may be."""
    path = PurePosixPath(filename)
    ending = f" ({pages_text(span)}){path.suffix[:20]}"
    return f"{path.stem[: FILENAME_LENGTH_MAX - len(ending)]}{ending}"


def cut_request_id(job_id: str, span: tuple[int, int]) -> str:
    """Return by what the upload of a job's pages is known, however often it is tried."""
    return str(uuid.uuid5(uuid.UUID(job_id), pages_text(span)))


def fate_warnings(fates: Sequence[Fate]) -> list[str]:
    """Return what a person should know of the others: few sentences, the worst first."""
    reasons = dict.fromkeys(each.why_not for each in fates if each.why_not)
    found = [f"no invoice yet for {_those(fates, why)}: {why}" for why in reasons]
    if any(not each.why_not for each in fates):
        found.append(f"what was cut from it has invoices of its own: {_those(fates, '')}")
    return found


def _those(fates: Sequence[Fate], why_not: str) -> str:
    spans = [(each.first_page, each.last_page) for each in fates if each.why_not == why_not]
    return pages_text(*spans)
