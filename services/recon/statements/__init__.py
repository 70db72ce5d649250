"""Reads bank statements as a stream of plain values: CAMT, MT940, MT942, BAI2, OFX, QIF, CSV."""

from .faults import Malformed
from .lines import read_lines
from .opening import read_statement
from .repeats import repeated_lines

__all__ = ["Malformed", "read_lines", "read_statement", "repeated_lines"]
