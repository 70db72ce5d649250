"""Roles, passwords, refresh chains and key times."""

from datetime import UTC, datetime, timedelta

import pytest
from auditron.auth.v1 import auth_pb2
from google.protobuf.field_mask_pb2 import FieldMask
from hypothesis import given
from hypothesis import strategies as st

from libs.rpc import InvalidArgument
from services.auth import errors, rules
from services.auth.settings import Settings

NOW = datetime(2026, 5, 1, tzinfo=UTC)
SETTINGS = Settings(key_encryption_key=b"k" * 32, service_secrets={})


@pytest.mark.parametrize(
    ("held", "wanted", "covered"),
    [
        (["*"], ["*", "anything.at_all"], True),
        (["invoices.*"], ["invoices.read", "invoices.*"], True),
        (["invoices.*"], ["*"], False),
        (["invoices.read"], ["invoices.*"], False),
        (["invoices.read"], ["invoices.read", "bank.read"], False),
        ([], [], True),
    ],
)
def test_what_is_held_covers_what_is_wanted(held, wanted, covered):
    assert rules.covers(held, wanted) is covered


def test_no_role_but_owner_covers_the_owner():
    for role, held in rules.PERMISSIONS.items():
        if role == auth_pb2.ROLE_OWNER:
            continue
        with pytest.raises(errors.RoleAboveOwn):
            rules.check_role_within(auth_pb2.ROLE_OWNER, held.split())


def test_every_role_has_permissions():
    assert set(rules.PERMISSIONS) == set(auth_pb2.Role.values()) - {auth_pb2.ROLE_UNSPECIFIED}


@given(st.binary(min_size=32, max_size=32), st.integers(1, 40))
def test_an_ancestor_of_the_current_secret_is_told_from_junk(first, rotations):
    chain = [first]
    for _ in range(rotations):
        chain.append(rules.successor(b"pepper", chain[-1]))
    current = rules.hashed(chain[-1])
    late = timedelta(minutes=1)

    def judge(secret, since=late):
        return rules.judge_reuse(b"pepper", secret, current, rotations, since)

    assert judge(chain[-2], timedelta(seconds=1)) is rules.Reuse.RETRY
    assert judge(chain[-2]) is rules.Reuse.STOLEN
    assert judge(chain[0]) is (rules.Reuse.STOLEN)
    assert judge(rules.hashed(first)) is rules.Reuse.UNKNOWN


@pytest.mark.parametrize(
    ("field", "value"),
    [("password", "short"), ("display_name", "a\x00b"), ("display_name", "x" * 201)],
)
def test_a_newcomer_names_what_is_wrong(field, value):
    fields = {"password": "long enough password"}
    assert not rules.newcomer_violations(auth_pb2.AcceptInviteRequest(**fields))
    request = auth_pb2.AcceptInviteRequest(**(fields | {field: value}))
    assert [name for name, _ in rules.newcomer_violations(request)] == [field]


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        ("192.0.2.1", "192.0.2.254", True), ("192.0.2.1", "192.0.3.1", False),
        ("192.0.2.1", "::ffff:192.0.2.9", True), ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False), ("", "no address", True),
        ("", "192.0.2.1", False),
    ],
)  # fmt: skip
def test_clients_of_one_network_are_counted_together(one, other, together):
    keys = [rules.attempt_keys("A@example.com", one), rules.attempt_keys("a@EXAMPLE.com", other)]
    assert (keys[0].here == keys[1].here) is together
    assert keys[0].anywhere == keys[1].anywhere
    assert keys[0].here != keys[0].anywhere


def test_a_mask_says_what_changes_and_without_one_what_is_sent():
    known = auth_pb2.Organization(display_name="Acme", region_code="DE", tax_ids=["DE1", "DE2"])
    sent = auth_pb2.Organization(organization_id="x", etag="1", tax_ids=["FR1"])
    rules.merge(sent, known, FieldMask())
    assert known == auth_pb2.Organization(display_name="Acme", region_code="DE", tax_ids=["FR1"])
    rules.merge(sent, known, FieldMask(paths=["region_code", "etag"]))
    assert known == auth_pb2.Organization(display_name="Acme", tax_ids=["FR1"])


def test_a_mask_of_what_cannot_be_changed_is_refused():
    mask = FieldMask(paths=["base_currency_code", "create_time", "nonsense", "display_name"])
    with pytest.raises(InvalidArgument) as caught:
        rules.merge(auth_pb2.Organization(), auth_pb2.Organization(), mask)
    assert [path for path, _ in caught.value.violations] == mask.paths[:3]


def test_keys_follow_each_other_without_a_gap():
    keys, now = [], NOW
    while now < NOW + timedelta(days=100):
        times = rules.next_key_times(keys, SETTINGS, now)
        if times:
            keys.append(rules.SigningKey(str(len(keys)), b"", *times))
            assert len(keys) == 1 or times[0] >= now + SETTINGS.key_publish
        assert rules.active_key(keys, now)
        now += timedelta(minutes=1)
    assert 4 <= len(keys) <= 5


def test_a_first_key_is_active_at_once():
    assert rules.next_key_times([], SETTINGS, NOW) == (NOW, NOW + SETTINGS.key_life)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("email", "nobody"), ("email", "a@b"), ("email", "a b@c.de"), ("password", "short"),
        ("password", "x" * 201), ("organization_name", " "), ("organization_name", "a\x00b"),
        ("base_currency_code", "EURO"), ("base_currency_code", ""), ("region_code", "Germany"),
    ],
)  # fmt: skip
def test_a_sign_up_names_what_is_wrong(field, value):
    fields = {
        "email": "a@example.com", "password": "long enough password",
        "organization_name": "Acme", "base_currency_code": "EUR",
    }  # fmt: skip
    assert not rules.sign_up_violations(auth_pb2.SignUpRequest(**fields))
    request = auth_pb2.SignUpRequest(**(fields | {field: value}))
    assert [name for name, _ in rules.sign_up_violations(request)] == [field]
