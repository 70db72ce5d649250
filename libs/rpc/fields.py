"""What callers may do with the fields of a resource, read from the contract's own options."""

from collections.abc import Collection, Iterable
from typing import Any

from google.api import field_behavior_pb2

from libs.rpc.checks import check

Descriptor = Any  # the stubs have two types for it that do not fit each other


def behaviors(field: Descriptor) -> Collection[int]:
    """Return how a field behaves (AIP-203): values of google.api.FieldBehavior."""
    found: Collection[int] = field.GetOptions().Extensions[field_behavior_pb2.field_behavior]
    return found


def settable(resource: Descriptor) -> tuple[str, ...]:
    """Return the fields that a caller may set; an etag is sent to be compared."""
    return tuple(
        field.name
        for field in resource.fields
        if field.name != "etag" and field_behavior_pb2.OUTPUT_ONLY not in behaviors(field)
    )


def changeable(resource: Descriptor) -> tuple[str, ...]:
    """Return those of the settable fields that may be set anew once the resource is there."""
    fixed = field_behavior_pb2.IMMUTABLE
    fields = resource.fields_by_name
    return tuple(name for name in settable(resource) if fixed not in behaviors(fields[name]))


def check_changeable(resource: Descriptor, paths: Iterable[str]) -> None:
    """Raise InvalidArgument for a path of an update mask (AIP-134) that is no changeable field."""
    known = changeable(resource)
    check((path, "is no field that can be changed") for path in paths if path not in known)
