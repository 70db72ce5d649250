"""Sends what is to be told of a job's end, to webhooks and by mail."""

import httpx
from auditron.agent.v1 import agent_pb2
from auditron.agent.v1.agent_pb2 import Job, RetryDeliveryRequest
from google.protobuf.json_format import Parse

from libs.jobs import Permanent, Task
from libs.pg import Database

from .. import errors, mail, rules, store, webhooks
from ..settings import Settings


class Deliveries:
    """Sends deliveries; a receiver may get one twice, with the same id."""

    def __init__(self, db: Database, settings: Settings, client: httpx.AsyncClient) -> None:
        self._db = db
        self._settings = settings
        self._client = client

    async def deliver(self, task: Task) -> None:
        """Make one attempt. Raises DeliveryRefused, so that the task tries again, or Permanent."""
        delivery_id = RetryDeliveryRequest.FromString(task.payload).delivery_id
        delivery = await store.get_delivery(self._db, task.organization_id, delivery_id)
        if delivery.message.state == agent_pb2.DELIVERY_STATE_SENT:
            return
        try:
            outcome = await self._send(delivery)
        except errors.DeliveryRefused as error:
            await self._note(task, agent_pb2.DELIVERY_STATE_QUEUED, str(error))
            raise
        except (errors.WebhookNotFound, errors.WebhookUrlForbidden) as error:
            raise Permanent(str(error)) from error
        await self._note(task, agent_pb2.DELIVERY_STATE_SENT, outcome)

    async def give_up(self, task: Task, error: Exception) -> None:
        """Note that a delivery has failed for good."""
        await self._note(task, agent_pb2.DELIVERY_STATE_FAILED, str(error))

    async def _send(self, delivery: store.Delivery) -> str:
        kind, _, address = delivery.message.recipient.partition(":")
        if kind == "mail":
            return await self._mail(delivery, address)
        return await self._call(delivery, address)

    async def _mail(self, delivery: store.Delivery, address: str) -> str:
        subject, text = rules.job_mail(Parse(delivery.body, Job()))
        delivery_id = delivery.message.delivery_id
        made = mail.message(self._settings.mail, delivery_id, address, subject, text)
        return await mail.send(self._settings.mail, made, delivery_id)

    async def _call(self, delivery: store.Delivery, webhook_id: str) -> str:
        if not delivery.url:
            raise errors.WebhookNotFound("The webhook is not there any more.")
        private = self._settings.webhooks_may_be_private
        target = await webhooks.resolve(delivery.url, private_allowed=private)
        if target is None:
            raise errors.DeliveryRefused("no answer: the host's name is not known")
        secret = webhooks.secret_of(self._settings.webhook_key, webhook_id)
        delivery_id, body = delivery.message.delivery_id, delivery.body.encode()
        return await webhooks.send(target, secret, delivery_id, body, self._client)

    async def _note(self, task: Task, state: int, outcome: str) -> None:
        delivery_id = RetryDeliveryRequest.FromString(task.payload).delivery_id
        async with self._db.tenant(task.organization_id) as tx:
            await store.update_delivery(tx, delivery_id, state, task.attempt, outcome)
