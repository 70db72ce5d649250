"""Bank accounts and their transactions."""

from datetime import date
from typing import Any

import grpc
from auditron.recon.v1 import recon_pb2

from libs.pg import Database, requests
from libs.rpc import caller, check, page_asked, page_of, uuid_or

from .. import errors, rules, store

Context = grpc.aio.ServicerContext[Any, Any]
TRANSACTION_STATES = recon_pb2.TransactionState.values()


class AccountsApi:
    """The organization's accounts at banks."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def CreateBankAccount(
        self, request: recon_pb2.CreateBankAccountRequest, context: Context
    ) -> recon_pb2.BankAccount:
        wanted = recon_pb2.BankAccount()
        wanted.CopyFrom(request.bank_account)
        wanted.iban = rules.compact(wanted.iban)
        check(rules.bank_account_violations(wanted))
        organization_id, request_id = caller().organization_id, request.request_id
        async with self._db.tenant(organization_id) as tx:
            before = await requests.once(
                tx, organization_id, request_id, "CreateBankAccount", request,
                recon_pb2.BankAccount,
            )  # fmt: skip
            if before is not None:
                return before
            account = await store.insert_bank_account(tx, organization_id, wanted)
            await requests.remember(tx, organization_id, request_id, account)
        return account

    async def GetBankAccount(
        self, request: recon_pb2.GetBankAccountRequest, context: Context
    ) -> recon_pb2.BankAccount:
        fault = errors.BankAccountNotFound("There is no such bank account.")
        bank_account_id = uuid_or(fault, request.bank_account_id)
        return await store.get_bank_account(self._db, caller().organization_id, bank_account_id)

    async def ListBankAccounts(
        self, request: recon_pb2.ListBankAccountsRequest, context: Context
    ) -> recon_pb2.ListBankAccountsResponse:
        size, filters, after = page_asked(request, str)
        found = await store.list_bank_accounts(self._db, caller().organization_id, after, size + 1)
        page, token = page_of(found, size, filters, lambda last: [last.bank_account_id])
        return recon_pb2.ListBankAccountsResponse(bank_accounts=page, next_page_token=token)

    async def ListTransactions(
        self, request: recon_pb2.ListTransactionsRequest, context: Context
    ) -> recon_pb2.ListTransactionsResponse:
        check(rules.filter_violations(request.bank_account_id, request.state, TRANSACTION_STATES))
        size, filters, before = page_asked(request, date, str)
        found = await store.list_transactions(
            self._db, caller().organization_id, request.bank_account_id or None, request.state,
            before, size + 1,
        )  # fmt: skip
        page, token = page_of(found, size, filters, _place)
        return recon_pb2.ListTransactionsResponse(transactions=page, next_page_token=token)


def _place(transaction: recon_pb2.Transaction) -> tuple[date, str]:
    day = transaction.booking_date
    return date(day.year, day.month, day.day), transaction.transaction_id
