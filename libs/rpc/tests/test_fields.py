"""What the contracts let callers set and change."""

from auditron.auth.v1.auth_pb2 import Organization, User
from google.api import field_behavior_pb2

from libs.rpc import behaviors, changeable, settable


def test_what_only_the_server_sets_and_the_etag_are_not_for_callers() -> None:
    assert settable(User.DESCRIPTOR) == ("display_name", "locale", "time_zone")


def test_what_is_immutable_is_set_once() -> None:
    first = ("display_name", "base_currency_code", "region_code", "tax_ids")
    assert settable(Organization.DESCRIPTOR) == first
    assert changeable(Organization.DESCRIPTOR) == ("display_name", "region_code", "tax_ids")


def test_a_field_says_how_it_behaves() -> None:
    fields = Organization.DESCRIPTOR.fields_by_name
    assert list(behaviors(fields["display_name"])) == [field_behavior_pb2.REQUIRED]
    assert not behaviors(fields["region_code"])
