"""Webhooks, and who is told by mail."""

from typing import Any

import grpc
from auditron.agent.v1 import agent_pb2
from auditron.agent.v1.agent_pb2 import NotificationSettings, Webhook
from google.protobuf.empty_pb2 import Empty

from libs.pg import Database, requests
from libs.rpc import caller, check, uuid_or

from .. import errors, rules, store, webhooks
from ..settings import Settings

Context = grpc.aio.ServicerContext[Any, Any]
WEBHOOKS_MAX = 20
RESOLVE_S = 1.0  # of the two that a call has; a name not known by then is looked up when called


class WebhooksApi:
    """Who wants to know when a job ends."""

    def __init__(self, db: Database, settings: Settings) -> None:
        self._db = db
        self._settings = settings

    async def CreateWebhook(
        self, request: agent_pb2.CreateWebhookRequest, context: Context
    ) -> Webhook:
        private = self._settings.webhooks_may_be_private
        rules.check_url_form(request.webhook.url, plain_http=private)
        await webhooks.resolve(request.webhook.url, private_allowed=private, within_s=RESOLVE_S)
        organization_id, method = caller().organization_id, "CreateWebhook"
        async with self._db.tenant(organization_id) as tx:
            webhook = await requests.once(
                tx, organization_id, request.request_id, method, request, Webhook
            )
            if webhook is None:
                if await store.lock_webhooks(tx, organization_id) >= WEBHOOKS_MAX:
                    check([("webhook", f"must be at most {WEBHOOKS_MAX}")])
                webhook = await store.insert_webhook(tx, organization_id, request.webhook.url)
                await requests.remember(tx, organization_id, request.request_id, webhook)
        webhook.secret = webhooks.secret_of(self._settings.webhook_key, webhook.webhook_id)
        return webhook

    async def ListWebhooks(
        self, request: agent_pb2.ListWebhooksRequest, context: Context
    ) -> agent_pb2.ListWebhooksResponse:
        found = await store.list_webhooks(self._db, caller().organization_id)
        return agent_pb2.ListWebhooksResponse(webhooks=found)

    async def DeleteWebhook(
        self, request: agent_pb2.DeleteWebhookRequest, context: Context
    ) -> Empty:
        fault = errors.WebhookNotFound("There is no such webhook.")
        webhook_id = uuid_or(fault, request.webhook_id)
        async with self._db.tenant(caller().organization_id) as tx:
            await store.delete_webhook(tx, webhook_id)
        return Empty()

    async def GetNotificationSettings(
        self, request: agent_pb2.GetNotificationSettingsRequest, context: Context
    ) -> NotificationSettings:
        return await store.get_settings(self._db, caller().organization_id)

    async def UpdateNotificationSettings(
        self, request: agent_pb2.UpdateNotificationSettingsRequest, context: Context
    ) -> NotificationSettings:
        organization_id = caller().organization_id
        given, mask = request.notification_settings, request.update_mask
        async with self._db.tenant(organization_id) as tx:
            before = await store.lock_settings(tx, organization_id)
            return await store.update_settings(tx, rules.merged_settings(before, given, mask))
