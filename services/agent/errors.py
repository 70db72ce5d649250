"""Every failure of agent that a caller can act on, and those that a job can end with."""

from google.rpc import code_pb2

from libs.rpc import Fault, InvalidArgument


class JobNotFound(Fault):
    """Not a job of the caller."""

    code, reason = code_pb2.NOT_FOUND, "JOB_NOT_FOUND"


class JobNotEnded(Fault):
    """The job still waits or runs."""

    code, reason = code_pb2.FAILED_PRECONDITION, "JOB_NOT_ENDED"


class JobSucceeded(Fault):
    """There is nothing to run again."""

    code, reason = code_pb2.FAILED_PRECONDITION, "JOB_SUCCEEDED"


class JobEnded(Fault):
    """There is nothing left to cancel."""

    code, reason = code_pb2.FAILED_PRECONDITION, "JOB_ENDED"


class WebhookNotFound(Fault):
    """Not a webhook of the caller."""

    code, reason = code_pb2.NOT_FOUND, "WEBHOOK_NOT_FOUND"


class WebhookUrlForbidden(InvalidArgument):
    """Not an address that we may call."""

    reason = "WEBHOOK_URL_FORBIDDEN"


class DeliveryNotFound(Fault):
    """Not a delivery of the caller."""

    code, reason = code_pb2.NOT_FOUND, "DELIVERY_NOT_FOUND"


class DeliveryNotFailed(Fault):
    """The delivery was sent, or is still tried."""

    code, reason = code_pb2.FAILED_PRECONDITION, "DELIVERY_NOT_FAILED"


class DocumentUnreadable(Fault):
    """What a job ends with: no attempt will read the document; metadata `cause` says why."""

    code, reason = code_pb2.INVALID_ARGUMENT, "DOCUMENT_UNREADABLE"


class DocumentGone(Fault):
    """What a job ends with: invoice has no such document."""

    code, reason = code_pb2.NOT_FOUND, "DOCUMENT_GONE"


class ReadingRefused(Fault):
    """What a job ends with: invoice does not take what was read."""

    code, reason = code_pb2.FAILED_PRECONDITION, "READING_REFUSED"


class AttemptsSpent(Fault):
    """What a job ends with: every attempt has failed, the last one as the message says."""

    code, reason = code_pb2.UNAVAILABLE, "ATTEMPTS_SPENT"


class DeliveryRefused(Fault):
    """Nothing was sent, or it was not taken; the message is the receiver's or the network's."""

    code, reason = code_pb2.UNAVAILABLE, "DELIVERY_REFUSED"
