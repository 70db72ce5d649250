"""Identifiers: made in Python, for PostgreSQL 15 has no function for them, and told from junk."""

import os
import re
import time

_last = 0
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)


def uuid7() -> str:
    """Return a UUID of version 7 (RFC 9562); those made by one process sort in the order made.

    Its 48-bit time is in milliseconds; the 12 bits after the version hold the part below (0.24 µs).
    """
    global _last  # noqa: PLW0603
    milliseconds, rest = divmod(time.time_ns(), 1_000_000)
    _last = stamp = max(milliseconds << 12 | rest * 4096 // 1_000_000, _last + 1)
    low = int.from_bytes(os.urandom(8), "big") & 0x3FFF_FFFF_FFFF_FFFF | 0x8000_0000_0000_0000
    digits = f"{stamp >> 12:012x}7{stamp & 0xFFF:03x}{low:016x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def is_uuid(text: str) -> bool:
    """Say whether a text is a UUID as RFC 9562 writes it, in capitals or not."""
    return _UUID.fullmatch(text) is not None
