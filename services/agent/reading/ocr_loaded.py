"""Loads the OCR's models when imported, so that processes forked afterwards have them at once."""

from . import scans
from .ocr import load

__all__ = ["load", "scans"]

load()
