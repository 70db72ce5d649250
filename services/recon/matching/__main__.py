"""Runs the engine on files: python -m services.recon.matching INVOICES TRANSACTIONS --out FILE."""

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson

from .engine import reconcile
from .records import invoice_of, transaction_of


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with path.open("rb") as file:
        for line in file:
            if line.strip():
                yield orjson.loads(line)


def main() -> None:
    """Reads two files of JSON lines and writes the matches as a third."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("invoices", type=Path)
    parser.add_argument("transactions", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    invoices = [invoice_of(row) for row in _rows(arguments.invoices)]
    transactions = [transaction_of(row) for row in _rows(arguments.transactions)]
    start = time.perf_counter()
    outcome = reconcile(invoices, transactions)
    seconds = time.perf_counter() - start
    with arguments.out.open("wb") as file:
        for each in outcome.matches:
            file.write(orjson.dumps(asdict(each), default=str) + b"\n")
    booked = sum(each.auto for each in outcome.matches)
    sys.stdout.write(
        f"{len(invoices)} invoices, {len(transactions)} transactions: {len(outcome.matches)} "
        f"matches, {booked} certain, {len(outcome.double_payments)} double payments, "
        f"{seconds:.2f} s\n"
    )


if __name__ == "__main__":
    main()
