"""Every failure of auth that a caller can act on."""

from google.rpc import code_pb2

from libs.rpc import Fault, InvalidArgument, PermissionDenied, Unauthenticated


class EmailTaken(Fault):
    """A user with this address exists."""

    code, reason = code_pb2.ALREADY_EXISTS, "EMAIL_TAKEN"


class WrongCredentials(Unauthenticated):
    """Address and password, or name and secret, do not belong together."""

    reason = "WRONG_CREDENTIALS"


class TooManyAttempts(Fault):
    """Too many passwords for this address were wrong."""

    code, reason = code_pb2.RESOURCE_EXHAUSTED, "TOO_MANY_ATTEMPTS"


class RefreshTokenInvalid(Unauthenticated):
    """Not a refresh token of a session that stands."""

    reason = "REFRESH_TOKEN_INVALID"


class RefreshTokenReused(Unauthenticated):
    """The token was used before: one of its two users has stolen it."""

    reason = "REFRESH_TOKEN_REUSED"


class ApiKeyInvalid(Unauthenticated):
    """Not a key that stands."""

    reason = "API_KEY_INVALID"


class InviteInvalid(Unauthenticated):
    """Not an invite that can be accepted."""

    reason = "INVITE_INVALID"


class EtagMismatch(Fault):
    """Somebody else changed it first."""

    code, reason = code_pb2.ABORTED, "ETAG_MISMATCH"


class PictureInvalid(InvalidArgument):
    """Not a PNG or JPEG of at most 2 MB that can be shown."""

    reason = "PICTURE_INVALID"


class PictureNotFound(Fault):
    """The member has no picture, or is no member."""

    code, reason = code_pb2.NOT_FOUND, "PICTURE_NOT_FOUND"


class SessionNotFound(Fault):
    """Not a session of the caller."""

    code, reason = code_pb2.NOT_FOUND, "SESSION_NOT_FOUND"


class OrganizationNotFound(Fault):
    """Not an organization of the caller."""

    code, reason = code_pb2.NOT_FOUND, "ORGANIZATION_NOT_FOUND"


class MemberNotFound(Fault):
    """Not a member of the organization."""

    code, reason = code_pb2.NOT_FOUND, "MEMBER_NOT_FOUND"


class AlreadyMember(Fault):
    """The person belongs to the organization already."""

    code, reason = code_pb2.ALREADY_EXISTS, "ALREADY_MEMBER"


class TooManyOrganizations(Fault):
    """The person belongs to as many organizations as one may."""

    code, reason = code_pb2.RESOURCE_EXHAUSTED, "TOO_MANY_ORGANIZATIONS"


class LastOwner(Fault):
    """The organization would have no owner left."""

    code, reason = code_pb2.FAILED_PRECONDITION, "LAST_OWNER"


class RoleAboveOwn(PermissionDenied):
    """The role may do what the caller may not."""

    reason = "ROLE_ABOVE_OWN"


class PermissionAboveOwn(PermissionDenied):
    """The key would do what the caller may not."""

    reason = "PERMISSION_ABOVE_OWN"


class ApiKeyNotFound(Fault):
    """Not a key of the organization."""

    code, reason = code_pb2.NOT_FOUND, "API_KEY_NOT_FOUND"
