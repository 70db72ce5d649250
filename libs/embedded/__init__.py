"""Runs PostgreSQL, Redis and S3 from Python wheels in one folder; the only lib that knows them."""

from .embedded import Embedded
from .server import EmbeddedError, Server, free_port, is_free

__all__ = ["Embedded", "EmbeddedError", "Server", "free_port", "is_free"]
