"""Every failure of billing that a caller can act on."""

from google.rpc import code_pb2

from libs.rpc import Fault, Unauthenticated, Unavailable


class SubscriptionNotFound(Fault):
    """The organization is so new that its subscription is still to come."""

    code, reason = code_pb2.NOT_FOUND, "SUBSCRIPTION_NOT_FOUND"


class PlanNotFound(Fault):
    """No plan has this code."""

    code, reason = code_pb2.NOT_FOUND, "PLAN_NOT_FOUND"


class SubscriptionFree(Fault):
    """There is nothing to cancel."""

    code, reason = code_pb2.FAILED_PRECONDITION, "SUBSCRIPTION_FREE"


class CheckoutClosed(Fault):
    """Another plan was asked for since, so that this checkout can be paid no more."""

    code, reason = code_pb2.FAILED_PRECONDITION, "CHECKOUT_CLOSED"


class PaymentUnavailable(Unavailable):
    """Stripe does not answer, or refuses."""

    reason = "PAYMENT_UNAVAILABLE"


class PaymentNotSetUp(Fault):
    """No Stripe key is set."""

    code, reason = code_pb2.FAILED_PRECONDITION, "PAYMENT_NOT_SET_UP"


class SignatureInvalid(Unauthenticated):
    """The webhook is not signed by Stripe, or is too old."""

    reason = "SIGNATURE_INVALID"
