"""Our account at Stripe: checkouts, changes of subscriptions, signed webhooks."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .errors import PaymentUnavailable, SignatureInvalid
from .settings import Settings

if TYPE_CHECKING:
    import stripe

TIMEOUT_S = 8.0
SIGNATURE_AGE_S = 300


class StripeAccount:
    """Talks to Stripe; the package is imported by the first call, for it takes long."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._opened: stripe.StripeClient | None = None
        self._http: stripe.HTTPXClient | None = None

    async def close(self) -> None:
        """Let go of the connections."""
        if self._http is not None:
            await self._http.close_async()  # type: ignore[no-untyped-call]

    async def checkout_url(self, organization_id: str, checkout_id: str, plan_code: str) -> str:
        """Where the plan can be paid; the same for the same checkout. PaymentUnavailable."""
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
        sessions = self._client().v1.checkout.sessions
        session = await self._ask(
            sessions.create_async(params, {"idempotency_key": checkout_id})  # type: ignore[arg-type]
        )
        return str(session["url"])

    async def subscription(self, subscription_id: str) -> Mapping[str, Any]:
        """The Subscription object as it is now. PaymentUnavailable."""
        return await self._ask(self._client().v1.subscriptions.retrieve_async(subscription_id))

    async def change_plan(self, subscription_id: str, plan_code: str, key: str) -> None:
        """Move a paid subscription to another price, prorated. PaymentUnavailable."""
        found = await self.subscription(subscription_id)
        item = {
            "id": found["items"]["data"][0]["id"],
            "price": self._settings.stripe_prices[plan_code],
        }
        await self._update(subscription_id, {"items": [item], "cancel_at_period_end": False}, key)

    async def cancel(self, subscription_id: str, key: str) -> None:
        """Let a subscription end with what is paid for. PaymentUnavailable."""
        await self._update(subscription_id, {"cancel_at_period_end": True}, key)

    def event(self, payload: bytes, signature: str) -> Mapping[str, Any]:
        """The event that a webhook brings. Raises SignatureInvalid."""
        import stripe  # noqa: PLC0415  # takes seconds

        try:
            event = stripe.Webhook.construct_event(
                payload, signature, self._settings.stripe_webhook_secret, SIGNATURE_AGE_S
            )
        except (ValueError, stripe.SignatureVerificationError):
            raise SignatureInvalid("The webhook is not signed by Stripe.") from None
        found: Mapping[str, Any] = event.to_dict()
        return found

    async def _update(self, subscription_id: str, params: dict[str, Any], key: str) -> None:
        subscriptions = self._client().v1.subscriptions
        await self._ask(
            subscriptions.update_async(subscription_id, params, {"idempotency_key": key})  # type: ignore[arg-type]
        )

    async def _ask(self, call: Any) -> Mapping[str, Any]:
        import stripe  # noqa: PLC0415  # takes seconds

        try:
            answer = await call
        except stripe.StripeError as error:
            raise PaymentUnavailable(
                "Stripe does not answer, or refuses.", stripe_code=str(error.code or "")
            ) from error
        found: Mapping[str, Any] = answer.to_dict()
        return found

    def _client(self) -> "stripe.StripeClient":
        if self._opened is None:
            import stripe  # noqa: PLC0415  # takes seconds

            base = self._settings.stripe_api_base
            self._http = stripe.HTTPXClient(timeout=TIMEOUT_S)
            self._opened = stripe.StripeClient(
                self._settings.stripe_api_key,
                base_addresses={"api": base} if base else None,
                http_client=self._http,
                max_network_retries=1,
            )
        return self._opened
