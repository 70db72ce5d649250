"""Reads one document's bytes into fields: e-invoices exactly, pages without a template.

A pure engine: bytes in, a JSON-able dict out; no socket, no database, no download.
"""

from .errors import Unreadable
from .reader import read_document
from .vocabulary import languages, load

__all__ = ["Unreadable", "read_document"]

load(languages())  # for all processes that are forked afterwards, one for each document
