"""Loads the OCR's models when imported, so that processes forked afterwards have them at once."""

from .ocr import load

__all__ = ["load"]

load()
