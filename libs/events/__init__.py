"""The log of a service's facts: append, put in order, serve, and follow those of others.

A fact is appended in the transaction that makes it true (`append`). The service's `Relay` gives it
a position in its partition, in commit order and without gaps, and rings the bell. Every server
offers the log (`EventLog`); a `Consumer` follows another's: effects and cursor in one transaction.
"""

from pathlib import Path

from .consumer import Consumer, EventHandler
from .cursors import list_dead_letters, set_cursor
from .log import PARTITIONS, EventLog, append
from .relay import Relay

SCHEMA = Path(__file__).parent / "schema"

__all__ = [
    "PARTITIONS",
    "SCHEMA",
    "Consumer",
    "EventHandler",
    "EventLog",
    "Relay",
    "append",
    "list_dead_letters",
    "set_cursor",
]
