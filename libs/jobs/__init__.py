"""Work outside a request, done durably: `enqueue` it in a transaction, a `Worker` runs it.

PostgreSQL remembers every task; Redis Streams only carry their ids, and may lose them. A handler
may be run more than once (after a crash, a lost lease, a failure), never twice at the same time.
"""

from pathlib import Path

from .store import Task, enqueue
from .worker import AttemptsSpent, FailedCallback, Permanent, TaskHandler, Worker

SCHEMA = Path(__file__).parent / "schema"

__all__ = [
    "SCHEMA",
    "AttemptsSpent",
    "FailedCallback",
    "Permanent",
    "Task",
    "TaskHandler",
    "Worker",
    "enqueue",
]
