"""`python -m examples.generator --out DIR`: makes documents, each with what is to be read in it."""

import argparse
import sys
from pathlib import Path

from .making import KINDS, SPLITS, write


def main() -> None:
    """Write COUNT documents of each kind that is asked for."""
    parser = argparse.ArgumentParser("python -m examples.generator", description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=40, help="documents of each kind")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kind", choices=(*KINDS, "all"), default="page")
    parser.add_argument("--split", choices=SPLITS, default="tuning")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    kinds = list(KINDS) if args.kind == "all" else [args.kind]
    for kind in kinds:
        for index in range(args.count):
            write(args.out, args.split, kind, index, args.seed)
            if sys.stderr.isatty():
                sys.stderr.write(f"\r{kind} {index + 1}/{args.count} ")
    sys.stderr.write(f"{len(kinds) * args.count} documents in {args.out}\n")


if __name__ == "__main__":
    main()
