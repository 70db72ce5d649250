"""Every failure of reporting that a caller can act on."""

from google.rpc import code_pb2

from libs.rpc import Fault, Unavailable


class AccountExists(Fault):
    """The chart has an account of this code."""

    code, reason = code_pb2.ALREADY_EXISTS, "ACCOUNT_EXISTS"


class TooManyAccounts(Fault):
    """The chart has as many accounts as it may."""

    code, reason = code_pb2.RESOURCE_EXHAUSTED, "TOO_MANY_ACCOUNTS"


class JournalEntryNotFound(Fault):
    """Not an entry of the organization."""

    code, reason = code_pb2.NOT_FOUND, "JOURNAL_ENTRY_NOT_FOUND"


class ReportNotFound(Fault):
    """Not a report of the organization."""

    code, reason = code_pb2.NOT_FOUND, "REPORT_NOT_FOUND"


class ReportNotReady(Fault):
    """The report's file is not written yet, or could not be."""

    code, reason = code_pb2.FAILED_PRECONDITION, "REPORT_NOT_READY"


class LedgerNotReady(Unavailable):
    """The organization is so new that its ledger has not been opened yet."""

    reason = "LEDGER_NOT_READY"


class ReportFileUnavailable(Unavailable):
    """The store of files does not answer, or does not have the file that it was given."""

    reason = "REPORT_FILE_UNAVAILABLE"
