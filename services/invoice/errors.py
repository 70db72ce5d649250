"""Every failure of invoice that a caller can act on."""

from google.rpc import code_pb2

from libs.rpc import Fault, InvalidArgument


class InvoiceNotFound(Fault):
    """Not an invoice of the caller."""

    code, reason = code_pb2.NOT_FOUND, "INVOICE_NOT_FOUND"


class DocumentNotFound(Fault):
    """The invoice was made by hand."""

    code, reason = code_pb2.NOT_FOUND, "DOCUMENT_NOT_FOUND"


class EtagMismatch(Fault):
    """Somebody else changed it first."""

    code, reason = code_pb2.ABORTED, "ETAG_MISMATCH"


class InvoiceNotInReview(Fault):
    """Only an invoice in review can be changed, approved or rejected."""

    code, reason = code_pb2.FAILED_PRECONDITION, "INVOICE_NOT_IN_REVIEW"


class InvoiceIncomplete(Fault):
    """Fields are missing that the books need."""

    code, reason = code_pb2.FAILED_PRECONDITION, "INVOICE_INCOMPLETE"


class InvoiceUnbalanced(Fault):
    """The amounts contradict each other."""

    code, reason = code_pb2.FAILED_PRECONDITION, "INVOICE_UNBALANCED"


class InvoiceDuplicate(Fault):
    """The same supplier and number stand approved."""

    code, reason = code_pb2.FAILED_PRECONDITION, "INVOICE_DUPLICATE"


class SecondPersonNeeded(Fault):
    """Another person than the last editor has to approve."""

    code, reason = code_pb2.FAILED_PRECONDITION, "SECOND_PERSON_NEEDED"


class InvoiceNotReopenable(Fault):
    """Neither rejected nor approved without payments."""

    code, reason = code_pb2.FAILED_PRECONDITION, "INVOICE_NOT_REOPENABLE"


class DocumentLimitReached(Fault):
    """The plan's documents of this month are used up."""

    code, reason = code_pb2.RESOURCE_EXHAUSTED, "DOCUMENT_LIMIT_REACHED"


class DocumentEmpty(InvalidArgument):
    """There are no bytes."""

    reason = "DOCUMENT_EMPTY"


class DocumentTooLarge(InvalidArgument):
    """There are more bytes than we take."""

    reason = "DOCUMENT_TOO_LARGE"


class DocumentTypeUnsupported(InvalidArgument):
    """The bytes are none of the types that we read."""

    reason = "DOCUMENT_TYPE_UNSUPPORTED"


class DocumentEncrypted(InvalidArgument):
    """It cannot be opened without a password."""

    reason = "DOCUMENT_ENCRYPTED"


class DocumentBroken(InvalidArgument):
    """It is not whole, or not what its first bytes say."""

    reason = "DOCUMENT_BROKEN"


class DocumentForbidden(InvalidArgument):
    """It is well-formed and made to do harm, or would take too much to look at."""

    reason = "DOCUMENT_FORBIDDEN"
