"""`make fault`, or `python -m tests.fault [--seconds N] [--seed N]`; writes docs/FAULTS.md."""

import argparse
import random
import sys
import tempfile
from pathlib import Path

import uvloop

from libs.embedded import Embedded
from libs.run.platform import ROOT, say
from tests.fault import report, trial

EVERY_S = 0.7
COMPANIES = 4


def main() -> int:
    """Run it, print the table, write it down; 1 if a rule was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.fault", description=__doc__)
    parser.add_argument("--seconds", type=float, default=120.0, help="of load under faults")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--keep", type=Path, help="keep data, logs and history in this new folder")
    args = parser.parse_args()
    if args.keep:
        args.keep.mkdir(parents=True)
        outcome = uvloop.run(run(args.keep, args))
    else:
        with tempfile.TemporaryDirectory(prefix="auditron-fault-") as folder:
            outcome = uvloop.run(run_and_erase(Path(folder), args))
    text = report.document(outcome, " ".join(["python -m tests.fault", *sys.argv[1:]]))
    (ROOT / "docs" / "FAULTS.md").write_text(text)
    sys.stdout.write(text)
    return 1 if outcome.violations else 0


async def run_and_erase(folder: Path, args: argparse.Namespace) -> trial.Outcome:
    """Run, and leave nothing, wherever the databases lie."""
    try:
        return await run(folder, args)
    finally:
        await Embedded(folder / "platform", environ={}).erase()


async def run(folder: Path, args: argparse.Namespace) -> trial.Outcome:
    """Run with as many faults as the time has room for."""
    return await trial.run(
        folder,
        seconds=args.seconds,
        faults=round(args.seconds / EVERY_S),
        companies=COMPANIES,
        seed=args.seed,
        progress=say,
    )


if __name__ == "__main__":
    sys.exit(main())
