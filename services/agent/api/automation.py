"""What passes without a person, and how well fields are read."""

from typing import Any

import grpc
from auditron.agent.v1 import agent_pb2
from auditron.agent.v1.agent_pb2 import AutomationSettings

from libs.pg import Database, is_uuid
from libs.rpc import caller, check, page_asked, page_of

from .. import rules, store

Context = grpc.aio.ServicerContext[Any, Any]


class AutomationApi:
    """The errors that an organization allows, and the coverage that follows."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def GetAutomationSettings(
        self, request: agent_pb2.GetAutomationSettingsRequest, context: Context
    ) -> AutomationSettings:
        async with self._db.tenant(caller().organization_id) as tx:
            return await store.get_automation_settings(tx)

    async def UpdateAutomationSettings(
        self, request: agent_pb2.UpdateAutomationSettingsRequest, context: Context
    ) -> AutomationSettings:
        organization_id = caller().organization_id
        async with self._db.tenant(organization_id) as tx:
            before = await store.get_automation_settings(tx)
            given, mask = request.automation_settings, request.update_mask
            after = rules.merged_automation(before, given, mask)
            await store.update_automation_settings(tx, organization_id, after)
        return after

    async def ListCoverage(
        self, request: agent_pb2.ListCoverageRequest, context: Context
    ) -> agent_pb2.ListCoverageResponse:
        size, filters, after = page_asked(request, str, str)
        if request.supplier_id and not is_uuid(request.supplier_id):
            check([("supplier_id", "must be a supplier's id")])
        async with self._db.tenant(caller().organization_id) as tx:
            settings = await store.get_automation_settings(tx)
            found = await store.list_coverage(tx, request.supplier_id or None, after, size + 1)
            suppliers = list({row.supplier_id or store.UNKNOWN for row in found})
            known = await store.list_evidence(tx, suppliers, rules.MEASURED)
        rows = [
            rules.with_rates(
                row,
                known[row.supplier_id or store.UNKNOWN][row.field, True],
                settings.error_max,
            )
            for row in found
        ]
        page, token = page_of(
            rows, size, filters, lambda last: [last.supplier_id or store.UNKNOWN, last.field]
        )
        return agent_pb2.ListCoverageResponse(coverage=page, next_page_token=token)
