"""What tests stand on: real stores, services in this process, tokens, waiting for events."""

from libs.testkit.harness import Client, Harness, running_services
from libs.testkit.signer import Signer
from libs.testkit.stores import Stores
from libs.testkit.waiting import eventually

__all__ = ["Client", "Harness", "Signer", "Stores", "eventually", "running_services"]
