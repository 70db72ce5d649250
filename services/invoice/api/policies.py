"""The approval policy."""

from auditron.invoice.v1 import invoice_pb2
from auditron.invoice.v1.invoice_pb2 import ApprovalPolicy

from libs.pg import Database
from libs.rpc import caller, check

from .. import errors, rules, store
from .changes import Context


class PoliciesApi:
    """What may pass without a person."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def GetApprovalPolicy(
        self, request: invoice_pb2.GetApprovalPolicyRequest, context: Context
    ) -> ApprovalPolicy:
        return await store.read_policy(self._db, caller().organization_id)

    async def UpdateApprovalPolicy(
        self, request: invoice_pb2.UpdateApprovalPolicyRequest, context: Context
    ) -> ApprovalPolicy:
        given, organization_id = request.approval_policy, caller().organization_id
        async with self._db.tenant(organization_id) as tx:
            policy = await store.get_policy(tx, organization_id)
            if given.etag and given.etag != policy.etag:
                raise errors.EtagMismatch("The policy was changed meanwhile.", etag=policy.etag)
            rules.merge(given, policy, request.update_mask)
            check(rules.policy_violations(policy))
            return await store.update_policy(tx, organization_id, policy)
