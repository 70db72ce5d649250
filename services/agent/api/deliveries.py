"""What was sent to webhooks and mail addresses."""

from typing import Any

import grpc
from auditron.agent.v1 import agent_pb2

from libs.pg import Database, requests
from libs.rpc import caller, page_asked, page_of, uuid_or

from .. import errors, store

Context = grpc.aio.ServicerContext[Any, Any]


class DeliveriesApi:
    """The deliveries of an organization."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def ListDeliveries(
        self, request: agent_pb2.ListDeliveriesRequest, context: Context
    ) -> agent_pb2.ListDeliveriesResponse:
        size, filters, before = page_asked(request, str)
        found = await store.list_deliveries(self._db, caller().organization_id, before, size + 1)
        page, token = page_of(found, size, filters, lambda last: [last.delivery_id])
        return agent_pb2.ListDeliveriesResponse(deliveries=page, next_page_token=token)

    async def RetryDelivery(
        self, request: agent_pb2.RetryDeliveryRequest, context: Context
    ) -> agent_pb2.Delivery:
        fault = errors.DeliveryNotFound("There is no such delivery.")
        delivery_id = uuid_or(fault, request.delivery_id)
        organization_id, method = caller().organization_id, "RetryDelivery"
        async with self._db.tenant(organization_id) as tx:
            before = await requests.once(
                tx, organization_id, request.request_id, method, request, agent_pb2.Delivery
            )
            if before is not None:
                return before
            delivery = await store.lock_delivery(tx, delivery_id)
            if delivery.state != agent_pb2.DELIVERY_STATE_FAILED:
                raise errors.DeliveryNotFailed("The delivery was sent, or is still tried.")
            delivery = await store.retry_delivery(tx, organization_id, delivery_id)
            await requests.remember(tx, organization_id, request.request_id, delivery)
        return delivery
