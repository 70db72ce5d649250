"""Reads the files of a folder in processes of their own, so that a bad one stops nothing."""

import json
import multiprocessing
import queue
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from . import Unreadable, annotate, read_document
from .einvoice import parse

SUFFIXES = {".pdf", ".xml", ".png", ".jpg", ".jpeg", ".tif", ".tiff"}
LINE_KEYS = ("description", "quantity", "unit", "unit_price", "tax_rate", "amount")


@dataclass(frozen=True)
class Options:
    """Where answers go, whether e-invoices are passed over and pages drawn, how many at a time."""

    out: Path
    page_only: bool = False
    annotate: bool = False
    jobs: int = 1


def read_file(path: Path, *, page_only: bool, beside: Path | None = None) -> dict[str, Any]:
    """Return a file's fields as flat keys, with the details of each beside them.

    `beside` is the XML file of its e-invoice, if that came with it.
    """
    try:
        options = {"page_only": page_only, "beside": beside.read_bytes() if beside else None}
        answer = read_document(path.read_bytes(), options=options)
    except Unreadable as error:
        return {"error": {"reason": error.reason, "message": error.message}}
    except (OSError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        return {"error": {"reason": "BROKEN", "message": f"{type(error).__name__}: {error}"}}
    flat = {name: found["value"] for name, found in answer["fields"].items()}
    flat["currency"] = flat.get("currency_code")
    flat["lines"] = [{key: line[key] for key in LINE_KEYS} for line in answer["lines"]]
    return {**flat, "reading": answer}


@dataclass(frozen=True)
class Read:
    """A file to be read: what its answer is called, and the e-invoice that came with it."""

    path: Path
    name: str
    beside: Path | None = None


def planned(files: list[Path], *, page_only: bool) -> list[Read]:
    """Return what is to be read: NAME.xml beside NAME.pdf or a picture is its e-invoice.

    Of other files that share a name the first has it alone, the others with their suffix.
    """
    plan: dict[str, Read] = {}
    for path in sorted(files, key=lambda each: (each.suffix.lower() == ".xml", each.name)):
        first = plan.get(path.stem)
        data = path.suffix.lower() == ".xml" and not page_only
        if first and data and first.beside is None and _is_einvoice(path):
            plan[path.stem] = replace(first, beside=path)
        else:
            name = path.name if first else path.stem
            plan[name] = Read(path, name)
    return list(plan.values())


def _is_einvoice(path: Path) -> bool:
    try:
        return bool(parse(path.read_bytes()).syntax)
    except (Unreadable, OSError):
        return False


def _one(file: Read, options: Options) -> tuple[str, str]:
    path = file.path
    answer = read_file(path, page_only=options.page_only, beside=file.beside)
    target = options.out / f"{file.name}.json"
    target.write_text(json.dumps(answer, ensure_ascii=False, indent=1), encoding="utf-8")
    error = answer.get("error")
    if options.annotate and not error:
        for page, picture in annotate.pictures(path.read_bytes(), answer["reading"]):
            (options.out / f"{file.name}.{page}.png").write_bytes(annotate.png(picture))
    return path.name, error["reason"] if error else ""


class _Worker:
    """One process that reads; another takes its place when a file has killed it."""

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None

    def read(self, file: Read, options: Options) -> tuple[str, str]:
        """Read one file; what happens to the process is told in words and stops nothing."""
        if self._pool is None:  # spawned: a fork would copy the threads of this process
            self._pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
        try:
            return self._pool.submit(_one, file, options).result()
        except BrokenProcessPool:
            self._pool = None
            reason, message = "KILLED", "The process that read the file died of it."
        except Exception as error:  # noqa: BLE001 - one bad file stops nothing
            reason, message = "FAILED", f"{type(error).__name__}: {error}"
        text = json.dumps({"error": {"reason": reason, "message": message}})
        (options.out / f"{file.name}.json").write_text(text, encoding="utf-8")
        return file.path.name, reason

    def close(self) -> None:
        """End the process."""
        if self._pool is not None:
            self._pool.shutdown()


def read_files(files: list[Read], options: Options) -> Iterator[tuple[str, str]]:
    """Yield each file's name and why it was not read ("" where it was), as they are done."""
    workers: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
    made = [_Worker() for _ in range(max(1, options.jobs))]
    for worker in made:
        workers.put(worker)

    def read(file: Read) -> tuple[str, str]:
        worker = workers.get()
        try:
            return worker.read(file, options)
        finally:
            workers.put(worker)

    with ThreadPoolExecutor(len(made)) as threads:
        for done in as_completed([threads.submit(read, file) for file in files]):
            yield done.result()
    for worker in made:
        worker.close()
