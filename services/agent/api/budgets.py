"""How much a model may read for the organization."""

from typing import Any

import grpc
from auditron.agent.v1 import agent_pb2
from auditron.agent.v1.agent_pb2 import ModelBudget

from libs.pg import Database, Tx
from libs.rpc import caller

from .. import rules, store
from ..settings import Settings

Context = grpc.aio.ServicerContext[Any, Any]


class BudgetsApi:
    """The organization's budget for a model."""

    def __init__(self, db: Database, settings: Settings) -> None:
        self._db = db
        self._model = settings.model

    async def GetModelBudget(
        self, request: agent_pb2.GetModelBudgetRequest, context: Context
    ) -> ModelBudget:
        async with self._db.tenant(caller().organization_id) as tx:
            return await self._budget(tx)

    async def UpdateModelBudget(
        self, request: agent_pb2.UpdateModelBudgetRequest, context: Context
    ) -> ModelBudget:
        organization_id, given = caller().organization_id, request.model_budget
        rules.check_budget(given, request.update_mask, self._allowed)
        async with self._db.tenant(organization_id) as tx:
            await store.update_model_budget(tx, organization_id, given.monthly_tokens_max)
            return await self._budget(tx)

    @property
    def _allowed(self) -> int:
        return self._model.monthly_tokens_max if self._model else 0

    async def _budget(self, tx: Tx) -> ModelBudget:
        budget = await store.get_model_budget(tx, self._allowed)
        budget.model = self._model.name if self._model else ""
        return budget
