"""`make eval`: reads made documents, and folders given, and writes docs/READING.md.

`python -m examples.generator.evaluate [DIR …] [--no-write] [--worst]`: folders with
NAME.expected.json beside their documents are scored as well.
"""

import argparse
import os
import platform
import random
import resource
import shutil
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .making import SPLITS, write
from .pictures import rescanned
from .score import FURTHER, HEADER, Tally, documents

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "eval"
PAGE = ROOT / "docs" / "READING.md"
SEED = 1
COUNTS = {"page": 160, "scan": 32, "receipt": 40, "einvoice": 36}
NAMES = {"page": "text layer", "scan": "scans", "receipt": "receipts", "einvoice": "e-invoices"}
COLUMNS = (*HEADER, "lines", *FURTHER)
AS_SCANS = ", as scans"
TIME_MAX = 900  # seconds for one set, before it counts as hung

INTRODUCTION = (
    "Made by `make eval` on {today} in {seconds} s: {machine}. Each set is read by"
    " `python -m services.agent.reading` in one process, two sets at a time; its start and the"
    " loading of what OCR needs count. The documents come from `examples/generator`, seed 1, for"
    " each split {counts}; layouts of `unseen` never occur in `tuning`, and labels are drawn from"
    " other lists. All but the e-invoices are read by the page alone (`--page-only`). F1 of each"
    " field; *header* is the micro F1 from number to tax ids. A line is right with its amount and"
    ' a description alike by 0.8. `make eval EVAL="DIR ..."` reads other folders that hold'
    " NAME.expected.json as well; `python -m examples.generator.evaluate --worst` lists every"
    " wrong field."
)


@dataclass(frozen=True)
class Result:
    """A set that was read: what is right and wrong, and what its process took."""

    name: str
    tally: Tally
    pages: int
    seconds: float
    cpu_seconds: float
    mebibytes: float
    wrong: Sequence[tuple[str, str, dict[str, Any], dict[str, Any]]]


def made(split: str, kind: str) -> Path:
    """A folder of made documents; made once for each state of the generator."""
    sources = sorted(Path(__file__).parent.rglob("*"))
    newest = max(source.stat().st_mtime for source in sources if source.suffix in (".py", ".toml"))
    folder = BUILD / f"{split}-{kind}-{COUNTS[kind]}-{SEED}"
    stamp = folder / ".made"
    if stamp.exists() and stamp.stat().st_mtime > newest:
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    for index in range(COUNTS[kind]):
        write(folder, split, kind, index, SEED)
    stamp.touch()
    return folder


def as_scans(folder: Path) -> Path:
    """The PDFs of a folder as scans without a text layer, with what is expected of them."""
    scans = BUILD / f"scans-of-{folder.name}"
    scans.mkdir(parents=True, exist_ok=True)
    for file in sorted(folder.glob("*.pdf")):
        expected, made_of = f"{file.stem}.expected.json", scans / file.name
        if not (folder / expected).exists():
            continue
        shutil.copy(folder / expected, scans / expected)
        if not made_of.exists():
            chance = random.Random(f"{SEED}/{file.name}")  # noqa: S311 - nothing secret
            made_of.write_bytes(rescanned(file.read_bytes(), chance))
    return scans


def run(name: str, folder: Path, *, page_only: bool) -> Result:
    """Read a folder by the engine's own command, in one process, and score it."""
    out = read_folder(name)
    out.mkdir(parents=True, exist_ok=True)
    for old in out.glob("*.json"):
        old.unlink()
    command = [sys.executable, "-m", "services.agent.reading", str(folder), "--out", str(out)]
    command += ["--page-only"] if page_only else []
    start = time.monotonic()
    done = subprocess.run(  # noqa: S603
        command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=TIME_MAX
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr}")
    seconds = time.monotonic() - start
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu, peak = used.ru_utime + used.ru_stime, used.ru_maxrss / 1024
    tally, wrong, pages = Tally(), [], 0
    for document, got, want in documents(folder, out):
        pages += got.get("reading", {}).get("page_count") or 1
        wrong += [(document, field, got, want) for field in tally.add(got, want)]
    return Result(name, tally, pages, seconds, cpu, peak, wrong)


def one(job: tuple[str, str, str, bool]) -> Result:
    """Make, if need be, and read one set, in a process of its own."""
    name, split, kind, page_only = job
    if split:
        folder = made(split, kind)
    else:
        folder = as_scans(Path(kind)) if name.endswith(AS_SCANS) else Path(kind)
    return run(name, folder, page_only=page_only)


def jobs(folders: Iterable[Path]) -> list[tuple[str, str, str, bool]]:
    """Every set, the slow ones first: name, split, kind or folder, whether by the page alone."""
    asked = [
        (f"{split}, {NAMES[kind]}", split, kind, kind != "einvoice")
        for kind in ("scan", "receipt", "page", "einvoice")
        for split in SPLITS
    ]
    given = []
    for folder in folders:
        path = str(folder.resolve())
        given.append((f"{folder.name}, page", "", path, True))
        if any(file.suffix.lower() in (".pdf", ".xml") for file in folder.iterdir()):
            given.append((f"{folder.name}, e-invoice used", "", path, False))
        if next(folder.glob("*.pdf"), None):
            given.append((f"{folder.name}{AS_SCANS}", "", path, True))
    return given + asked


def shown(value: float | None) -> str:
    """A share to three places."""
    return "-" if value is None else f"{value:.3f}"


def fields_table(results: Sequence[Result]) -> list[str]:
    """F1 of each field in each set."""
    rows = [f"| field | {' | '.join(r.name for r in results)} |", "|---|" + "---|" * len(results)]
    for field in COLUMNS:
        cells = (shown(r.tally.f1(field)) for r in results)
        rows.append(f"| {field.replace('_', ' ')} | {' | '.join(cells)} |")
    cells = (f"**{shown(r.tally.f1(*HEADER))}**" for r in results)
    rows.append(f"| **header** | {' | '.join(cells)} |")
    cells = (f"{r.tally.wholly_right}/{r.tally.documents}" for r in results)
    rows.append(f"| wholly right | {' | '.join(cells)} |")
    return rows


def speed_table(results: Sequence[Result]) -> list[str]:
    """How fast each set was read, and in how much memory."""
    head = ("set", "documents", "pages", "pages/s", "ms a page", "CPU ms a page", "peak MiB")
    rows = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for r in results:
        each = [f"{1000 * time / r.pages:.0f}" for time in (r.seconds, r.cpu_seconds)]
        cells = (r.name, r.tally.documents, r.pages, f"{r.pages / r.seconds:.1f}", *each)
        rows.append(f"| {' | '.join(map(str, cells))} | {r.mebibytes:.0f} |")
    return rows


def groups_table(results: Sequence[Result], by: str) -> list[str]:
    """Header and lines of documents with a text layer, by language or by layout."""
    tallies: dict[str, Tally] = defaultdict(Tally)
    for r in results:
        split, _, kind = r.name.partition(", ")
        if split not in SPLITS or kind != NAMES["page"]:
            continue
        for _, got, want in documents(made(split, "page"), read_folder(r.name)):
            mark = want["made"][by]
            tallies[f"{mark} ({split})" if by == "layout" else mark].add(got, want)
    rows = [f"| {by} | documents | header F1 | lines F1 |", "|---|---|---|---|"]
    for mark, tally in sorted(tallies.items()):
        scores = f"{shown(tally.f1(*HEADER))} | {shown(tally.f1('lines'))}"
        rows.append(f"| {mark.replace('_', ' ')} | {tally.documents} | {scores} |")
    return rows


def read_folder(name: str) -> Path:
    """Where the engine puts what it reads of a set."""
    return BUILD / "read" / name.replace(" ", "-").replace(",", "")


def report(results: Sequence[Result], seconds: float) -> str:
    """The text of docs/READING.md."""
    machine = f"{os.cpu_count()} cores, Python {platform.python_version()}"
    counts = ", ".join(f"{count} {NAMES[kind]}" for kind, count in COUNTS.items())
    today = datetime.now(UTC).date()
    parts = [
        "# Reading",
        "",
        INTRODUCTION.format(today=today, machine=machine, counts=counts, seconds=round(seconds)),
        "",
        "## Fields",
        "",
        *fields_table(results),
        "",
        "## Speed and memory",
        "",
        *speed_table(results),
        "",
        "## By language",
        "",
        *groups_table(results, "language"),
        "",
        "## By layout",
        "",
        *groups_table(results, "layout"),
    ]
    return "\n".join(parts) + "\n"


def worst(results: Iterable[Result]) -> str:
    """Each wrong field with what was read and what is expected; the layouts that have most."""
    rows = []
    for r in results:
        count: Counter[tuple[str, str]] = Counter()
        for name, field, got, want in r.wrong:
            about = want.get("made", {})
            count[field, f"{about.get('layout')}/{about.get('language')}"] += 1
            if field != "lines":
                said = f"{got.get(field)!r} for {want[field]!r}"
                rows.append(f"{r.name}: {name} {about} {field}: {said}")
        rows += [f"{r.name}: {times} x {what}" for what, times in count.most_common(12)]
    return "\n".join(rows)


def main() -> None:
    """Read every set, two at a time, and write the page."""
    parser = argparse.ArgumentParser("python -m examples.generator.evaluate", description=__doc__)
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--jobs", type=int, default=2, help="sets read at a time")
    parser.add_argument("--no-write", action="store_true", help="leave docs/READING.md as it is")
    parser.add_argument("--worst", action="store_true", help="also list every wrong field")
    parser.add_argument("--only", default="", help="only sets whose name holds this")
    args = parser.parse_args()
    start, results = time.monotonic(), []
    chosen = [job for job in jobs(args.folders) if args.only in job[0]]
    with ProcessPoolExecutor(args.jobs, max_tasks_per_child=1) as pool:
        for number, result in enumerate(pool.map(one, chosen), 1):
            results.append(result)
            header, lines = (shown(result.tally.f1(*names)) for names in (HEADER, ("lines",)))
            scores = f"header {header}, lines {lines}, {result.seconds:.0f} s"
            sys.stderr.write(f"{number}/{len(chosen)} {result.name}: {scores}\n")
    text = report(results, time.monotonic() - start)
    sys.stdout.write(text)
    if args.worst:
        sys.stdout.write("\n" + worst(results) + "\n")
    if not args.no_write and not args.only:
        PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
