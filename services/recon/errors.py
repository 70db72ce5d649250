"""Every failure of recon that a caller can act on."""

from google.rpc import code_pb2

from libs.rpc import Fault, InvalidArgument


class BankAccountNotFound(Fault):
    """Not a bank account of the organization."""

    code, reason = code_pb2.NOT_FOUND, "BANK_ACCOUNT_NOT_FOUND"


class BankAccountExists(Fault):
    """The organization has a bank account of this IBAN."""

    code, reason = code_pb2.ALREADY_EXISTS, "BANK_ACCOUNT_EXISTS"


class StatementNotFound(Fault):
    """Not a statement of the organization."""

    code, reason = code_pb2.NOT_FOUND, "STATEMENT_NOT_FOUND"


class StatementEmpty(InvalidArgument):
    """There are no bytes."""

    reason = "STATEMENT_EMPTY"


class StatementTooLarge(InvalidArgument):
    """There are more bytes than we take."""

    reason = "STATEMENT_TOO_LARGE"


class StatementFormatUnsupported(InvalidArgument):
    """Neither a table of text nor a statement in a format that we read."""

    reason = "STATEMENT_FORMAT_UNSUPPORTED"


class TransactionNotFound(Fault):
    """Not a transaction of the organization."""

    code, reason = code_pb2.NOT_FOUND, "TRANSACTION_NOT_FOUND"


class InvoiceNotOpen(Fault):
    """Not an approved invoice of the organization."""

    code, reason = code_pb2.NOT_FOUND, "INVOICE_NOT_OPEN"


class MatchNotFound(Fault):
    """Not a match of the organization."""

    code, reason = code_pb2.NOT_FOUND, "MATCH_NOT_FOUND"


class MatchNotProposed(Fault):
    """Only a proposed match can be confirmed or rejected."""

    code, reason = code_pb2.FAILED_PRECONDITION, "MATCH_NOT_PROPOSED"


class MatchNotConfirmed(Fault):
    """Only a confirmed match can be undone."""

    code, reason = code_pb2.FAILED_PRECONDITION, "MATCH_NOT_CONFIRMED"


class TransactionMatched(Fault):
    """A confirmed match holds the transaction."""

    code, reason = code_pb2.FAILED_PRECONDITION, "TRANSACTION_MATCHED"


class InvoiceSettled(Fault):
    """Less of the invoice is open than the match would settle."""

    code, reason = code_pb2.FAILED_PRECONDITION, "INVOICE_SETTLED"


class ReconciliationNotFound(Fault):
    """Not a reconciliation run of the organization."""

    code, reason = code_pb2.NOT_FOUND, "RECONCILIATION_NOT_FOUND"
