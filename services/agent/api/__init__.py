"""Answers AgentService: each part of the contract by a class of its own."""

from types import SimpleNamespace

from libs.pg import Database
from libs.rpc import joined

from ..settings import Settings
from .automation import AutomationApi
from .budgets import BudgetsApi
from .deliveries import DeliveriesApi
from .webhooks import WebhooksApi
from .workflows import WorkflowsApi

__all__ = ["servicer"]


def servicer(db: Database, settings: Settings) -> SimpleNamespace:
    """Every RPC of the contract, by its name."""
    parts = [
        WorkflowsApi(db),
        WebhooksApi(db, settings),
        DeliveriesApi(db),
        BudgetsApi(db, settings),
        AutomationApi(db),
    ]
    return joined(parts)
