"""Runs of the matching engine."""

from typing import Any

import grpc
from auditron.recon.v1 import recon_pb2

from libs.pg import Database, requests
from libs.rpc import caller, is_uuid

from .. import booking, errors, store

Context = grpc.aio.ServicerContext[Any, Any]


class ReconciliationsApi:
    """What is open, matched anew."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def CreateReconciliation(
        self, request: recon_pb2.CreateReconciliationRequest, context: Context
    ) -> recon_pb2.Reconciliation:
        organization_id, request_id = caller().organization_id, request.request_id
        async with self._db.tenant(organization_id) as tx:
            before = await requests.once(
                tx, organization_id, request_id, "CreateReconciliation", request,
                recon_pb2.Reconciliation,
            )  # fmt: skip
            if before is not None:
                return before
            run = await booking.request_reconciliation(tx, organization_id, caller().actor)
            await requests.remember(tx, organization_id, request_id, run)
        return run

    async def GetReconciliation(
        self, request: recon_pb2.GetReconciliationRequest, context: Context
    ) -> recon_pb2.Reconciliation:
        if not is_uuid(request.reconciliation_id):
            raise errors.ReconciliationNotFound("There is no such reconciliation.")
        return await store.get_reconciliation(
            self._db, caller().organization_id, request.reconciliation_id
        )
