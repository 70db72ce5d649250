"""What recon does outside a request: imports, reconciles, follows invoices, sweeps."""

from .facts import HANDLERS
from .importing import Importing
from .reconciling import Reconciling
from .sweeping import sweeping

__all__ = ["HANDLERS", "Importing", "Reconciling", "sweeping"]
