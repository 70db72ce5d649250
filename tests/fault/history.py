"""What the clients were told, line by line in a file: written by them, read by the checker."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

Record = dict[str, Any]


class History:
    """Appends records; each is in the file before `add` returns."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.counts: Counter[str] = Counter()
        self._file: TextIO = path.open("a")
        self._began = time.monotonic()

    def add(self, kind: str, **facts: object) -> None:
        """Note what was acknowledged, refused or never answered."""
        self.counts[kind] += 1
        record = {"at_s": round(time.monotonic() - self._began, 3), "kind": kind, **facts}
        self._file.write(json.dumps(record, default=str) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def read(path: Path) -> Iterator[Record]:
    """The records, oldest first."""
    with path.open() as file:
        yield from map(json.loads, file)
