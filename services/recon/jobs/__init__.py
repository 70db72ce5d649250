"""What recon does outside a request: imports, reconciles, follows invoices, sweeps."""

from .facts import HANDLERS
from .importing import Importing
from .reconciling import Reconciling
from .sweeping import sweeper

__all__ = ["HANDLERS", "Importing", "Reconciling", "sweeper"]
