"""Reads bank statements of any bank as a stream of plain values: CAMT.052/053/054 and CSV."""

from .faults import Malformed
from .lines import read_lines
from .opening import read_statement
from .repeats import repeated_lines

__all__ = ["Malformed", "read_lines", "read_statement", "repeated_lines"]
