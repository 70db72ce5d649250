"""PostgreSQL for a service: pools, migrations, tenant transactions, rows as messages."""

from . import requests, rows
from .connection import Record, Tx, savepoint, use_organization
from .database import CommitUncertain, Database, DatabaseUnavailable, PgSettings, role_url
from .identifiers import is_uuid, uuid7
from .isolation import audit_isolation
from .migrations import MigrationError, migrate
from .requests import InvalidRequestId, RequestIdReused

__all__ = [
    "CommitUncertain",
    "Database",
    "DatabaseUnavailable",
    "InvalidRequestId",
    "MigrationError",
    "PgSettings",
    "Record",
    "RequestIdReused",
    "Tx",
    "audit_isolation",
    "is_uuid",
    "migrate",
    "requests",
    "role_url",
    "rows",
    "savepoint",
    "use_organization",
    "uuid7",
]
