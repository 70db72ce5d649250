"""Our account at Stripe: checkouts, changes of subscriptions, signed webhooks."""

from collections.abc import Mapping
from typing import Any

import stripe

from . import rules
from .errors import PaymentUnavailable, SignatureInvalid
from .settings import Settings

TIMEOUT_S = 8.0
SIGNATURE_AGE_S = 300
ENDED = ("canceled", "incomplete_expired")


class StripeAccount:
    """Talks to Stripe; to import it takes more than a second."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        base = settings.stripe_api_base
        self._http = stripe.HTTPXClient(timeout=TIMEOUT_S)
        self._stripe = stripe.StripeClient(
            settings.stripe_api_key,
            base_addresses={"api": base} if base else None,
            http_client=self._http,
            max_network_retries=1,
        ).v1

    async def close(self) -> None:
        """Let go of the connections."""
        await self._http.close_async()  # type: ignore[no-untyped-call]

    async def check_out(self, organization_id: str, plan_code: str, key: str) -> rules.Checkout:
        """Have a plan be paid; the same for the same key. PaymentUnavailable."""
        metadata = {"organization_id": organization_id}
        params = {
            "mode": "subscription",
            "line_items": [{"price": self._settings.stripe_prices[plan_code], "quantity": 1}],
            "client_reference_id": organization_id,
            "metadata": metadata,
            "subscription_data": {"metadata": metadata},
            "success_url": self._settings.return_url,
            "cancel_url": self._settings.return_url,
        }
        session = await self._ask(
            self._stripe.checkout.sessions.create_async(params, {"idempotency_key": key})  # type: ignore[arg-type]
        )
        return rules.Checkout(session["id"], session["url"])

    async def close_checkout(self, session_id: str) -> str:
        """Have a checkout be paid no more; the subscription if it was, else ''. PaymentUnavailable.

        One that is paid while this is asked is refused; asked again, it is seen.
        """
        sessions = self._stripe.checkout.sessions
        session = await self._ask(sessions.retrieve_async(session_id))
        if session["status"] == "open":
            await self._ask(sessions.expire_async(session_id))
        return session.get("subscription") or ""

    async def standing(self, subscription_id: str) -> rules.Standing:
        """What a subscription means for us now. PaymentUnavailable."""
        found = await self._subscription(subscription_id)
        return rules.standing(found, self._settings.stripe_prices)

    async def change_plan(self, subscription_id: str, plan_code: str, key: str) -> None:
        """Move a paid subscription to another price, prorated. PaymentUnavailable."""
        found = await self._subscription(subscription_id)
        item = {
            "id": found["items"]["data"][0]["id"],
            "price": self._settings.stripe_prices[plan_code],
        }
        await self._update(subscription_id, {"items": [item], "cancel_at_period_end": False}, key)

    async def cancel(self, subscription_id: str, key: str) -> None:
        """Let a subscription end with what is paid for. PaymentUnavailable."""
        await self._update(subscription_id, {"cancel_at_period_end": True}, key)

    async def end(self, subscription_id: str) -> None:
        """End a subscription now and credit what is left of it; repeated, nothing more happens.

        PaymentUnavailable.
        """
        found = await self._subscription(subscription_id)
        if found["status"] not in ENDED:
            params = {"prorate": True, "invoice_now": True}
            await self._ask(
                self._stripe.subscriptions.cancel_async(subscription_id, params)  # type: ignore[arg-type]
            )

    def event(self, payload: bytes, signature: str) -> Mapping[str, Any]:
        """The event that a webhook brings. Raises SignatureInvalid."""
        try:
            event = stripe.Webhook.construct_event(
                payload, signature, self._settings.stripe_webhook_secret, SIGNATURE_AGE_S
            )
        except (ValueError, stripe.SignatureVerificationError):
            raise SignatureInvalid("The webhook is not signed by Stripe.") from None
        found: Mapping[str, Any] = event.to_dict()
        return found

    async def _subscription(self, subscription_id: str) -> Mapping[str, Any]:
        return await self._ask(self._stripe.subscriptions.retrieve_async(subscription_id))

    async def _update(self, subscription_id: str, params: dict[str, Any], key: str) -> None:
        await self._ask(
            self._stripe.subscriptions.update_async(
                subscription_id,
                params,  # type: ignore[arg-type]
                {"idempotency_key": key},
            )
        )

    async def _ask(self, call: Any) -> Mapping[str, Any]:
        try:
            answer = await call
        except stripe.StripeError as error:
            raise PaymentUnavailable(
                "Stripe does not answer, or refuses.", stripe_code=str(error.code or "")
            ) from error
        found: Mapping[str, Any] = answer.to_dict()
        return found
