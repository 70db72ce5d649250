"""Reads a folder of documents without any service: one NAME.json for each file, and a summary."""

import argparse
import sys
import time
from pathlib import Path

from .folder import SUFFIXES, Options, planned, read_files


def _progress(done: int, total: int, name: str) -> None:
    if sys.stderr.isatty():
        bar = "#" * (30 * done // total)
        sys.stderr.write(f"\r[{bar:<30}] {done}/{total} {name[:40]:<40}")
        sys.stderr.flush()


def main() -> None:
    """Read all documents of a folder."""
    parser = argparse.ArgumentParser("python -m services.agent.reading", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--page-only", action="store_true", help="pass over embedded e-invoices")
    parser.add_argument("--jobs", type=int, default=1, help="files read at the same time")
    parser.add_argument(
        "--annotate", action="store_true", help="write each page as a picture with the boxes drawn"
    )
    args = parser.parse_args()
    options = Options(args.out, args.page_only, args.annotate, args.jobs)
    args.out.mkdir(parents=True, exist_ok=True)
    found = [p for p in args.folder.iterdir() if p.suffix.lower() in SUFFIXES]
    files = planned(found, page_only=args.page_only)
    start, failed = time.monotonic(), []
    for done, (name, reason) in enumerate(read_files(files, options), start=1):
        _progress(done, len(files), name)
        if reason:
            failed.append(f"{name}: {reason}")
    seconds = time.monotonic() - start
    sys.stderr.write(f"\n{len(files)} files in {seconds:.1f} s, {len(failed)} not readable\n")
    sys.stderr.writelines(f"  {line}\n" for line in failed)


if __name__ == "__main__":
    main()
