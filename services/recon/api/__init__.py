"""Answers ReconService: each part of the contract by a class of its own."""

from types import SimpleNamespace

from libs.rpc import joined
from libs.run.runtime import Runtime

from .accounts import AccountsApi
from .matches import MatchesApi
from .reconciliations import ReconciliationsApi
from .statements import StatementsApi

__all__ = ["servicer"]


def servicer(runtime: Runtime) -> SimpleNamespace:
    """Every RPC of the contract, by its name."""
    parts = [
        AccountsApi(runtime.db),
        StatementsApi(runtime.db, runtime.blobs),
        MatchesApi(runtime.db),
        ReconciliationsApi(runtime.db),
    ]
    return joined(parts)
