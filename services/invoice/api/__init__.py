"""Answers InvoiceService: each part of the contract by a class of its own."""

from types import SimpleNamespace

from libs.rpc import joined
from libs.run.runtime import Runtime
from libs.sandbox import Sandbox

from ..settings import Settings
from .decisions import DecisionsApi
from .invoices import InvoicesApi
from .policies import PoliciesApi
from .readings import ReadingsApi
from .uploads import UploadsApi

__all__ = ["servicer"]


def servicer(runtime: Runtime, settings: Settings, checkers: Sandbox) -> SimpleNamespace:
    """Every RPC of the contract, by its name."""
    parts = [
        UploadsApi(runtime.db, runtime.blobs, checkers, settings),
        InvoicesApi(runtime.db),
        DecisionsApi(runtime.db),
        ReadingsApi(runtime.db),
        PoliciesApi(runtime.db),
    ]
    return joined(parts)
