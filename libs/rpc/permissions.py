"""What each method of a contract asks of its caller, read from the contract's own options."""

from typing import Any

from auditron.options.v1 import options_pb2
from google.protobuf import descriptor, descriptor_pool

from libs.rpc.errors import PermissionDenied
from libs.rpc.identity import Caller

PUBLIC = "public"
MEMBER = "member"
SERVICE = "service"


def permission_of(method: descriptor.MethodDescriptor) -> str:
    """Return the method's permission option. Raises ValueError for a method without one."""
    found = _option(method)
    if not found:
        raise ValueError(f"{method.full_name} states no permission")
    return found


def is_public(path: str) -> bool:
    """Whether "/package.Service/Method" asks for no token, as far as its contract is loaded."""
    service, _, name = path.lstrip("/").partition("/")
    try:
        found = descriptor_pool.Default().FindServiceByName(service).FindMethodByName(name)
    except KeyError:
        return False
    return _option(found) == PUBLIC


def check(who: Caller, permission: str) -> None:
    """Raise PermissionDenied unless the caller may."""
    if permission == SERVICE:
        allowed = bool(who.service)
    elif permission == MEMBER:
        allowed = not who.service
    else:
        allowed = who.may(permission)
    if not allowed:
        raise PermissionDenied("The caller may not do this.", permission=permission)


def _option(method: descriptor.MethodDescriptor) -> str:
    extensions: Any = method.GetOptions().Extensions
    return str(extensions[options_pb2.permission])
