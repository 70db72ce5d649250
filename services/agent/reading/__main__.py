"""Reads a folder of documents without any service: one NAME.json for each file, and a summary."""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from . import Unreadable, read_document

SUFFIXES = {".pdf", ".xml", ".png", ".jpg", ".jpeg", ".tif", ".tiff"}
LINE_KEYS = ("description", "quantity", "unit", "unit_price", "tax_rate", "amount")


def read_file(path: Path, *, page_only: bool) -> dict[str, Any]:
    """Return a file's fields as flat keys, with the details of each beside them."""
    try:
        answer = read_document(path.read_bytes(), options={"page_only": page_only})
    except Unreadable as error:
        return {"error": {"reason": error.reason, "message": error.message}}
    except (OSError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        return {"error": {"reason": "BROKEN", "message": f"{type(error).__name__}: {error}"}}
    flat = {name: found["value"] for name, found in answer["fields"].items()}
    flat["currency"] = flat.get("currency_code")
    flat["lines"] = [{key: line[key] for key in LINE_KEYS} for line in answer["lines"]]
    return {**flat, "reading": answer}


def _one(path: Path, out: Path, page_only: bool) -> tuple[str, str, float]:
    start = time.monotonic()
    answer = read_file(path, page_only=page_only)
    target = out / f"{path.stem}.json"
    target.write_text(json.dumps(answer, ensure_ascii=False, indent=1), encoding="utf-8")
    error = answer.get("error")
    return path.name, error["reason"] if error else "", time.monotonic() - start


def _all(
    files: list[Path], out: Path, page_only: bool, jobs: int
) -> Iterator[tuple[str, str, float]]:
    if jobs == 1:
        for path in files:
            yield _one(path, out, page_only)
        return
    with ProcessPoolExecutor(jobs) as pool:
        waiting = {pool.submit(_one, path, out, page_only): path for path in files}
        for done in as_completed(waiting):
            try:
                yield done.result()
            except Exception as error:  # noqa: BLE001 - a worker that died stops only its own file
                yield waiting[done].name, type(error).__name__, 0.0


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
    parser.add_argument("--jobs", type=int, default=1)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    files = sorted(p for p in args.folder.iterdir() if p.suffix.lower() in SUFFIXES)
    start, failed = time.monotonic(), []
    for done, (name, reason, _) in enumerate(
        _all(files, args.out, args.page_only, max(1, args.jobs)), start=1
    ):
        _progress(done, len(files), name)
        if reason:
            failed.append(f"{name}: {reason}")
    seconds = time.monotonic() - start
    sys.stderr.write(f"\n{len(files)} files in {seconds:.1f} s, {len(failed)} not readable\n")
    sys.stderr.writelines(f"  {line}\n" for line in failed)


if __name__ == "__main__":
    main()
