"""Everything that an operator of billing can set."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Settings:
    """Stripe; without a key plans change without payment."""

    stripe_api_key: str = field(default="", repr=False)
    stripe_webhook_secret: str = field(default="", repr=False)
    # Plan code → id of its price at Stripe, for every plan that costs money.
    stripe_prices: Mapping[str, str] = field(default_factory=dict)
    stripe_api_base: str = ""  # empty: Stripe's own
    # Where Stripe sends people after they paid, or did not.
    return_url: str = "http://localhost:8080/docs"

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> "Settings":
        """Read STRIPE_* and BILLING_*; ValueError where a key is set and what it needs is not."""
        pairs = [pair.partition("=") for pair in env.get("BILLING_STRIPE_PRICES", "").split(",")]
        found = cls(
            stripe_api_key=env.get("STRIPE_API_KEY", ""),
            stripe_webhook_secret=env.get("STRIPE_WEBHOOK_SECRET", ""),
            stripe_prices={code: price for code, _, price in pairs if code},
            stripe_api_base=env.get("BILLING_STRIPE_API_BASE", ""),
            return_url=env.get("BILLING_RETURN_URL", cls.return_url),
        )
        if found.stripe_api_key and not found.stripe_webhook_secret:
            raise ValueError("STRIPE_API_KEY needs STRIPE_WEBHOOK_SECRET beside it")
        return found
