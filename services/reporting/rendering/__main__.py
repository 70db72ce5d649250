"""Writes one file from a table in JSON, without any service."""

import argparse
from pathlib import Path

from auditron.reporting.v1.reporting_pb2 import ReportTable
from google.protobuf import json_format

from . import FORMATS, write


def main() -> None:
    """Read the command line, and write."""
    parser = argparse.ArgumentParser(prog="python -m services.reporting.rendering")
    parser.add_argument("table", type=Path, help="a ReportTable as QueryReport answers it, JSON")
    parser.add_argument("out", type=Path, help=f"by its suffix one of {', '.join(FORMATS)}")
    args = parser.parse_args()
    table = json_format.Parse(args.table.read_text(encoding="utf-8"), ReportTable())
    made = write(args.out.suffix.lstrip(".").upper(), table.SerializeToString())
    args.out.write_bytes(made["file"])


if __name__ == "__main__":
    main()
