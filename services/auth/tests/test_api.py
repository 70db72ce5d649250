"""Every RPC of AuthService, over real gRPC."""

import asyncio
import base64
import contextlib
import io
import json

import grpc
import pytest
from argon2 import PasswordHasher, extract_parameters
from auditron.auth.v1 import auth_events_pb2, auth_pb2, auth_pb2_grpc
from auditron.event.v1 import event_pb2, event_pb2_grpc
from google.protobuf import any_pb2
from google.protobuf.message import Message
from PIL import Image

from libs.pg import uuid7
from libs.rpc import reason_of
from libs.rpc.sessions import REVOKED
from libs.testkit import Client, eventually
from services.auth import rules, store
from services.auth.api import signing_keys

PASSWORD = "correct horse battery"
LogIn, Refresh = auth_pb2.LogInRequest, auth_pb2.RefreshTokensRequest


async def refused(call) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return reason_of(caught.value)


async def test_sign_up_gives_an_organization_and_a_session(people):
    person = await people.sign_up(region_code="DE")
    assert person.tokens.role == auth_pb2.ROLE_OWNER
    assert person.tokens.organization.base_currency_code == "EUR"
    user = await person.client.GetCurrentUser(auth_pb2.GetCurrentUserRequest())
    assert user == person.tokens.user
    claims = json.loads(_payload(person.tokens.access_token))
    assert claims["org"] == person.tokens.organization.organization_id
    assert claims["scope"] == "*"
    assert claims["exp"] - claims["iat"] == 600


async def test_an_address_is_taken_once(people):
    person = await people.sign_up()
    assert await refused(people.sign_up(email=person.email.upper())) == "EMAIL_TAKEN"


async def test_a_wrong_sign_up_names_its_fields(people):
    assert await refused(people.sign_up(password="short")) == "INVALID_ARGUMENT"


async def test_unknown_address_and_wrong_password_are_the_same(people):
    person = await people.sign_up()
    answers = []
    for email in (person.email, "nobody@example.com"):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await people.anonymous.LogIn(LogIn(email=email, password="wrong password"))
        answers.append((caught.value.code(), caught.value.details(), reason_of(caught.value)))
    assert answers[0] == answers[1]
    assert answers[0][2] == "WRONG_CREDENTIALS"


async def test_an_unknown_address_costs_the_same_hash_as_a_wrong_password(people, monkeypatch):
    person, verify, worked_with = await people.sign_up(), PasswordHasher.verify, []

    def noted(hasher, encoded, password):
        worked_with.append((extract_parameters(encoded), password))
        return verify(hasher, encoded, password)

    monkeypatch.setattr(PasswordHasher, "verify", noted)
    for email in (person.email, f"{uuid7()}@example.com"):
        await refused(people.anonymous.LogIn(LogIn(email=email, password="wrong")))
    known, unknown = worked_with
    assert known == unknown


async def test_a_dated_hash_is_renewed_by_a_login_and_the_etag_stays(auth, people):
    person = await people.sign_up()
    user_id = person.tokens.user.user_id
    dated = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    async with auth.runtime.db.tenant(user_id) as tx:
        await store.update_password(tx, user_id, dated)
    await people.anonymous.LogIn(LogIn(email=person.email, password=PASSWORD))
    async with auth.runtime.db.tenant(user_id) as tx:
        renewed = await store.get_password_hash(tx, user_id)
    assert extract_parameters(renewed).memory_cost == 19_456
    again = await people.anonymous.LogIn(LogIn(email=person.email, password=PASSWORD))
    assert again.user.etag == person.tokens.user.etag


async def test_tokens_are_signed_without_a_second_connection(auth, people, monkeypatch):
    monkeypatch.setattr(signing_keys, "RELOAD_S", 0.0)  # each token finds the keys old
    person = await people.sign_up()
    organization_id = person.tokens.organization.organization_id
    switch = auth_pb2.SwitchOrganizationRequest(organization_id=organization_id)
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(auth.runtime.settings.database.pool_size - 1):
            await stack.enter_async_context(auth.runtime.db.unscoped())
        assert (await person.client.SwitchOrganization(switch)).access_token


async def _wait(auth, key: bytes) -> None:
    """Have many failures stand under a key."""
    async with auth.runtime.db.unscoped() as tx:
        await tx.execute(
            "insert into login_attempts values ($1, 50, now() + interval '1 hour')", key
        )


async def test_a_stranger_keeps_nobody_out_from_another_network(auth, people):
    person = await people.sign_up()
    await _wait(auth, rules.attempt_keys(person.email, "192.0.2.1").here)
    login = LogIn(email=person.email, password=PASSWORD)

    def from_ip(address: str):
        return people.anonymous.LogIn(login, metadata=[("x-client-ip", address)])

    assert await refused(from_ip("192.0.2.77")) == "TOO_MANY_ATTEMPTS"
    assert (await from_ip("198.51.100.1")).access_token


async def test_strangers_in_many_networks_keep_out_only_whom_nobody_knows_there(auth, people):
    person = await people.sign_up()
    login = LogIn(email=person.email, password=PASSWORD)

    def from_ip(address: str):
        return people.anonymous.LogIn(login, metadata=[("x-client-ip", address)])

    assert (await from_ip("192.0.2.1")).access_token
    await _wait(auth, rules.attempt_keys(person.email, "").anywhere)
    assert await refused(from_ip("198.51.100.1")) == "TOO_MANY_ATTEMPTS"
    assert (await from_ip("192.0.2.2")).access_token
    assert (await from_ip("198.51.100.1")).access_token  # the right password forgave


async def test_failures_from_many_networks_count_together(auth, people, monkeypatch):
    monkeypatch.setattr(rules, "FREE_ATTEMPTS_ANYWHERE", 2)
    email = f"{uuid7()}@example.com"
    for number in range(3):
        call = people.anonymous.LogIn(
            LogIn(email=email, password="wrong"), metadata=[("x-client-ip", f"192.0.{number}.1")]
        )
        assert await refused(call) == "WRONG_CREDENTIALS"
    async with auth.runtime.db.unscoped() as tx:
        assert await store.get_attempt_wait(tx, rules.attempt_keys(email, "").anywhere) > 0


async def test_passwords_are_guessed_nowhere_else_either(auth, people):
    owner, person = await people.sign_up(), await people.sign_up()
    invite = await owner.client.CreateInvite(
        auth_pb2.CreateInviteRequest(email=person.email, role=auth_pb2.ROLE_CLERK)
    )

    def accept(password):
        request = auth_pb2.AcceptInviteRequest(token=invite.token, password=password)
        return people.anonymous.AcceptInvite(request)

    def change(password):
        return person.client.ChangePassword(
            auth_pb2.ChangePasswordRequest(current_password=password, new_password="long enough 12")
        )

    assert await refused(accept("wrong")) == "WRONG_CREDENTIALS"
    assert await refused(change("wrong")) == "WRONG_CREDENTIALS"
    assert (await _audit(people, person.email)).count("session.refused") == 2
    key = rules.attempt_keys(person.email, "").here
    async with auth.runtime.db.unscoped() as tx:
        await tx.execute("delete from login_attempts where attempt_key = $1", key)
    await _wait(auth, key)
    assert await refused(accept(PASSWORD)) == "TOO_MANY_ATTEMPTS"
    assert await refused(change(PASSWORD)) == "TOO_MANY_ATTEMPTS"


async def test_of_many_logins_at_once_only_the_free_ones_are_looked_at(people):
    person = await people.sign_up()
    tries = [
        refused(people.anonymous.LogIn(LogIn(email=person.email, password=f"wrong {number}")))
        for number in range(40)
    ]
    reasons = await asyncio.gather(*tries)
    assert reasons.count("WRONG_CREDENTIALS") == 6
    assert reasons.count("TOO_MANY_ATTEMPTS") == 34
    right = people.anonymous.LogIn(LogIn(email=person.email, password=PASSWORD))
    assert await refused(right) == "TOO_MANY_ATTEMPTS"
    await asyncio.sleep(1.1)
    assert await people.anonymous.LogIn(LogIn(email=person.email, password=PASSWORD))


async def test_a_refresh_token_is_good_once(people):
    person = await people.sign_up()
    first = person.tokens.refresh_token
    second = await people.anonymous.RefreshTokens(Refresh(refresh_token=first))
    third = await people.anonymous.RefreshTokens(Refresh(refresh_token=second.refresh_token))
    assert len({first, second.refresh_token, third.refresh_token}) == 3
    stolen = people.anonymous.RefreshTokens(Refresh(refresh_token=first))
    assert await refused(stolen) == "REFRESH_TOKEN_REUSED"
    own = people.anonymous.RefreshTokens(Refresh(refresh_token=third.refresh_token))
    assert await refused(own) == "REFRESH_TOKEN_INVALID"
    entries = await _audit(people, person.email)
    assert "session.refresh_token_reused" in entries


async def test_fifty_refreshes_at_once_have_one_successor(people):
    person = await people.sign_up()
    request = Refresh(refresh_token=person.tokens.refresh_token)
    answers = await asyncio.gather(*(people.anonymous.RefreshTokens(request) for _ in range(50)))
    assert len({answer.refresh_token for answer in answers}) == 1


@pytest.mark.parametrize("token", ["", "x", f"{uuid7()}.{'0' * 64}", f"{uuid7()}.zz", "a.b.c"])
async def test_junk_is_no_refresh_token(people, token):
    call = people.anonymous.RefreshTokens(Refresh(refresh_token=token))
    assert await refused(call) == "REFRESH_TOKEN_INVALID"


async def test_a_guessed_refresh_token_ends_nobodys_session(people):
    person = await people.sign_up()
    session_id = person.tokens.refresh_token.partition(".")[0]
    guess = people.anonymous.RefreshTokens(Refresh(refresh_token=f"{session_id}.{'0' * 64}"))
    assert await refused(guess) == "REFRESH_TOKEN_INVALID"
    own = Refresh(refresh_token=person.tokens.refresh_token)
    assert await people.anonymous.RefreshTokens(own)


async def test_after_logout_the_tokens_end(people):
    person = await people.sign_up()
    await person.client.LogOut(auth_pb2.LogOutRequest())

    async def reason() -> str:
        try:
            await person.client.GetCurrentUser(auth_pb2.GetCurrentUserRequest())
        except grpc.aio.AioRpcError as error:
            return reason_of(error)
        return ""

    await eventually(reason, lambda found: found == "TOKEN_REVOKED", within_s=5)
    token = Refresh(refresh_token=person.tokens.refresh_token)
    assert await refused(people.anonymous.RefreshTokens(token)) == "REFRESH_TOKEN_INVALID"


async def test_sessions_are_listed_and_ended_by_their_owner_alone(people):
    person, other = await people.sign_up(), await people.sign_up()
    again = await people.anonymous.LogIn(
        LogIn(email=person.email, password=PASSWORD),
        metadata=[("x-user-agent", "Browser"), ("x-client-ip", "192.0.2.7")],
    )
    sessions = (await person.client.ListSessions(auth_pb2.ListSessionsRequest())).sessions
    assert [one.device_name for one in sessions] == ["Browser", ""]
    assert [one.is_current for one in sessions] == [False, True]
    request = auth_pb2.RevokeSessionRequest(session_id=sessions[0].session_id)
    assert await refused(other.client.RevokeSession(request)) == "SESSION_NOT_FOUND"
    await person.client.RevokeSession(request)
    assert await refused(person.client.RevokeSession(request)) == "SESSION_NOT_FOUND"
    gone = people.anonymous.RefreshTokens(Refresh(refresh_token=again.refresh_token))
    assert await refused(gone) == "REFRESH_TOKEN_INVALID"


async def test_a_new_password_ends_the_other_sessions(people):
    person = await people.sign_up()
    other = await people.anonymous.LogIn(LogIn(email=person.email, password=PASSWORD))
    change = auth_pb2.ChangePasswordRequest(
        current_password=PASSWORD, new_password="another long password"
    )
    wrong = auth_pb2.ChangePasswordRequest(current_password="no", new_password="long enough 12")
    assert await refused(person.client.ChangePassword(wrong)) == "WRONG_CREDENTIALS"
    await person.client.ChangePassword(change)
    gone = people.anonymous.RefreshTokens(Refresh(refresh_token=other.refresh_token))
    assert await refused(gone) == "REFRESH_TOKEN_INVALID"
    await people.anonymous.LogIn(LogIn(email=person.email, password="another long password"))
    await person.client.GetCurrentUser(auth_pb2.GetCurrentUserRequest())


async def test_a_profile_changes_where_its_etag_is_right(people):
    person = await people.sign_up()
    request = auth_pb2.UpdateCurrentUserRequest(
        user=auth_pb2.User(display_name="New", time_zone="Europe/Berlin", etag="1")
    )
    user = await person.client.UpdateCurrentUser(request)
    assert (user.display_name, user.time_zone, user.locale) == ("New", "Europe/Berlin", "en")
    assert await refused(person.client.UpdateCurrentUser(request)) == "ETAG_MISMATCH"
    wrong = auth_pb2.UpdateCurrentUserRequest(user=auth_pb2.User(email="x@example.com"))
    assert await refused(person.client.UpdateCurrentUser(wrong)) == "INVALID_ARGUMENT"
    members = await person.client.ListMembers(auth_pb2.ListMembersRequest())
    assert members.members[0].display_name == "New"


async def test_a_new_name_is_told_to_every_organization(auth, people):
    person = await people.sign_up()
    wanted = auth_pb2.Organization(display_name="Second", base_currency_code="CHF")
    request = auth_pb2.CreateOrganizationRequest(organization=wanted)
    second = await person.client.CreateOrganization(request)
    for changes in ({"display_name": "New"}, {"display_name": "New", "locale": "de"}):
        user = auth_pb2.User(**changes)
        await person.client.UpdateCurrentUser(auth_pb2.UpdateCurrentUserRequest(user=user))
    for organization in (person.tokens.organization, second):
        facts = await _member_facts(auth, organization.organization_id)
        assert [fact.member.display_name for _, fact in facts] == [
            person.tokens.user.display_name, "New",
        ]  # fmt: skip
        assert facts[0][0] < facts[1][0]
    assert (await _audit(people, person.email)).count("member.renamed") == 1


async def test_a_picture_is_made_small_and_seen_by_members(people):
    owner = await people.sign_up()
    clerk = await people.invite(owner, auth_pb2.ROLE_CLERK)
    stranger = await people.sign_up()
    file = io.BytesIO()
    Image.new("RGB", (1200, 800), "teal").save(file, "PNG")
    user = await owner.client.UploadPicture(_parts(file.getvalue()))
    assert user.has_picture
    request = auth_pb2.DownloadPictureRequest(user_id=owner.tokens.user.user_id)
    data = b"".join([part.data async for part in clerk.client.DownloadPicture(request)])
    assert Image.open(io.BytesIO(data)).size == (512, 341)

    async def all_of(client: Client) -> None:
        async for _ in client.DownloadPicture(request):
            pass

    assert await refused(all_of(stranger.client)) == "PICTURE_NOT_FOUND"


@pytest.mark.parametrize(
    "data", [b"", b"no picture", b"\x89PNG\r\n\x1a\n" + b"\0" * 99, b"x" * 2_100_000]
)
async def test_what_is_no_picture_is_refused(people, data):
    person = await people.sign_up()
    assert await refused(person.client.UploadPicture(_parts(data))) == "PICTURE_INVALID"


async def test_a_person_can_have_several_organizations(people):
    person = await people.sign_up()
    wanted = auth_pb2.Organization(display_name="Second", base_currency_code="CHF")
    request = auth_pb2.CreateOrganizationRequest(organization=wanted, request_id=uuid7())
    second = await person.client.CreateOrganization(request)
    assert await person.client.CreateOrganization(request) == second
    listed = await person.client.ListOrganizations(auth_pb2.ListOrganizationsRequest())
    assert [one.display_name for one in listed.organizations] == ["Acme", "Second"]
    switch = auth_pb2.SwitchOrganizationRequest(organization_id=second.organization_id)
    tokens = await person.client.SwitchOrganization(switch)
    there = people.with_token(tokens.access_token)
    current = await there.GetCurrentOrganization(auth_pb2.GetCurrentOrganizationRequest())
    assert current == second
    other = await people.sign_up()
    assert await refused(other.client.SwitchOrganization(switch)) == "ORGANIZATION_NOT_FOUND"
    login = LogIn(email=other.email, password=PASSWORD, organization_id=second.organization_id)
    assert await refused(people.anonymous.LogIn(login)) == "ORGANIZATION_NOT_FOUND"


async def test_a_person_has_no_end_of_organizations(people, monkeypatch):
    person, other = await people.sign_up(), await people.sign_up()
    invite = await other.client.CreateInvite(
        auth_pb2.CreateInviteRequest(email=person.email, role=auth_pb2.ROLE_CLERK)
    )
    monkeypatch.setattr(rules, "ORGANIZATIONS_MAX", 3)
    wanted = auth_pb2.Organization(display_name="More", base_currency_code="EUR")
    request = auth_pb2.CreateOrganizationRequest(organization=wanted)
    at_once = [person.client.CreateOrganization(request) for _ in range(5)]
    answers = await asyncio.gather(*at_once, return_exceptions=True)
    refusals = [reason_of(one) for one in answers if isinstance(one, grpc.aio.AioRpcError)]
    assert refusals == ["TOO_MANY_ORGANIZATIONS"] * 3
    accept = auth_pb2.AcceptInviteRequest(token=invite.token, password=PASSWORD)
    assert await refused(people.anonymous.AcceptInvite(accept)) == "TOO_MANY_ORGANIZATIONS"


async def test_an_organization_changes_but_not_its_currency(people):
    person = await people.sign_up()
    wanted = auth_pb2.Organization(tax_ids=["DE123456789"], etag="1")
    request = auth_pb2.UpdateCurrentOrganizationRequest(organization=wanted)
    changed = await person.client.UpdateCurrentOrganization(request)
    assert (list(changed.tax_ids), changed.display_name) == (["DE123456789"], "Acme")
    assert await refused(person.client.UpdateCurrentOrganization(request)) == "ETAG_MISMATCH"
    wanted = auth_pb2.Organization(base_currency_code="USD")
    request = auth_pb2.UpdateCurrentOrganizationRequest(organization=wanted)
    assert await refused(person.client.UpdateCurrentOrganization(request)) == "INVALID_ARGUMENT"


async def test_sessions_keys_and_invites_come_in_pages_newest_first(people):
    owner = await people.sign_up()
    for n in range(2):
        await people.anonymous.LogIn(auth_pb2.LogInRequest(email=owner.email, password=PASSWORD))
        key = auth_pb2.ApiKey(display_name=f"{n}", permissions=["invoices.read"])
        await owner.client.CreateApiKey(auth_pb2.CreateApiKeyRequest(api_key=key))
        invite = auth_pb2.CreateInviteRequest(email=f"{n}@x.example", role=auth_pb2.ROLE_VIEWER)
        await owner.client.CreateInvite(invite)
    for method, asked, field in (
        (owner.client.ListSessions, auth_pb2.ListSessionsRequest, "session"),
        (owner.client.ListApiKeys, auth_pb2.ListApiKeysRequest, "api_key"),
        (owner.client.ListInvites, auth_pb2.ListInvitesRequest, "invite"),
    ):
        whole = getattr(await method(asked()), f"{field}s")
        found, token = [], ""
        while token or not found:
            page = await method(asked(page_size=1, page_token=token))
            [one] = getattr(page, f"{field}s")
            found, token = [*found, one], page.next_page_token
        assert found == list(whole)
        ids = [getattr(one, f"{field}_id") for one in found]
        assert ids == sorted(ids, reverse=True)
        assert len(ids) == (3 if field == "session" else 2)


async def test_the_sessions_of_all_organizations_are_one_list_in_pages(people):
    person = await people.sign_up()
    wanted = auth_pb2.Organization(display_name="Second", base_currency_code="EUR")
    second = await person.client.CreateOrganization(
        auth_pb2.CreateOrganizationRequest(organization=wanted)
    )
    first_id = person.tokens.organization.organization_id
    opened = [person.tokens]
    for organization_id in (second.organization_id, first_id, second.organization_id):
        switch = auth_pb2.SwitchOrganizationRequest(organization_id=organization_id)
        opened.append(await person.client.SwitchOrganization(switch))
    request, pages = auth_pb2.ListSessionsRequest(page_size=3), []
    for _ in range(2):
        page = await person.client.ListSessions(request)
        pages.append([one.session_id for one in page.sessions])
        request.page_token = page.next_page_token
    newest_first = [tokens.refresh_token.partition(".")[0] for tokens in reversed(opened)]
    assert pages == [newest_first[:3], newest_first[3:]]
    assert request.page_token == ""


async def test_members_may_what_their_role_may(people):
    owner = await people.sign_up()
    viewer = await people.invite(owner, auth_pb2.ROLE_VIEWER)
    admin = await people.invite(owner, auth_pb2.ROLE_ADMIN)
    listing = auth_pb2.ListMembersRequest(page_size=2)
    assert await refused(viewer.client.ListMembers(listing)) == "PERMISSION_DENIED"
    page = await admin.client.ListMembers(listing)
    listing.page_token = page.next_page_token
    rest = await admin.client.ListMembers(listing)
    roles = [one.role for one in [*page.members, *rest.members]]
    assert roles == [auth_pb2.ROLE_OWNER, auth_pb2.ROLE_VIEWER, auth_pb2.ROLE_ADMIN]
    assert rest.next_page_token == ""

    def change(person, role) -> auth_pb2.UpdateMemberRequest:
        member = auth_pb2.Member(user_id=person.tokens.user.user_id, role=role)
        return auth_pb2.UpdateMemberRequest(member=member)

    up = admin.client.UpdateMember(change(viewer, auth_pb2.ROLE_OWNER))
    assert await refused(up) == "ROLE_ABOVE_OWN"
    down = admin.client.UpdateMember(change(owner, auth_pb2.ROLE_VIEWER))
    assert await refused(down) == "ROLE_ABOVE_OWN"
    changed = await admin.client.UpdateMember(change(viewer, auth_pb2.ROLE_CLERK))
    assert changed.role == auth_pb2.ROLE_CLERK
    last = owner.client.UpdateMember(change(owner, auth_pb2.ROLE_ADMIN))
    assert await refused(last) == "LAST_OWNER"
    stranger = await people.sign_up()
    foreign = owner.client.UpdateMember(change(stranger, auth_pb2.ROLE_CLERK))
    assert await refused(foreign) == "MEMBER_NOT_FOUND"


async def test_a_removed_member_is_out(people):
    owner = await people.sign_up()
    clerk = await people.invite(owner, auth_pb2.ROLE_CLERK)
    request = auth_pb2.RemoveMemberRequest(user_id=clerk.tokens.user.user_id)
    await owner.client.RemoveMember(request)
    assert await refused(owner.client.RemoveMember(request)) == "MEMBER_NOT_FOUND"
    token = Refresh(refresh_token=clerk.tokens.refresh_token)
    assert await refused(people.anonymous.RefreshTokens(token)) == "REFRESH_TOKEN_INVALID"
    login = people.anonymous.LogIn(LogIn(email=clerk.email, password=PASSWORD))
    assert await refused(login) == "ORGANIZATION_NOT_FOUND"
    me = auth_pb2.RemoveMemberRequest(user_id=owner.tokens.user.user_id)
    assert await refused(owner.client.RemoveMember(me)) == "LAST_OWNER"


async def test_an_invite_is_good_once_and_proves_who_accepts(people):
    owner, known = await people.sign_up(), await people.sign_up()
    create = auth_pb2.CreateInviteRequest(email=known.email, role=auth_pb2.ROLE_APPROVER)
    invite = await owner.client.CreateInvite(create)
    listed = await owner.client.ListInvites(auth_pb2.ListInvitesRequest())
    assert [one.email for one in listed.invites] == [known.email]
    assert not listed.invites[0].token
    wrong = auth_pb2.AcceptInviteRequest(token=invite.token, password="not the password")
    assert await refused(people.anonymous.AcceptInvite(wrong)) == "WRONG_CREDENTIALS"
    right = auth_pb2.AcceptInviteRequest(token=invite.token, password=PASSWORD)
    tokens = await people.anonymous.AcceptInvite(right)
    assert tokens.organization == owner.tokens.organization
    assert await refused(people.anonymous.AcceptInvite(right)) == "INVITE_INVALID"
    assert not (await owner.client.ListInvites(auth_pb2.ListInvitesRequest())).invites


async def test_a_member_cannot_be_invited_into_another_role(people):
    owner = await people.sign_up()
    create = auth_pb2.CreateInviteRequest(email=owner.email.upper(), role=auth_pb2.ROLE_VIEWER)
    assert await refused(owner.client.CreateInvite(create)) == "ALREADY_MEMBER"
    person = await people.sign_up()
    invites = [
        await owner.client.CreateInvite(auth_pb2.CreateInviteRequest(email=person.email, role=role))
        for role in (auth_pb2.ROLE_CLERK, auth_pb2.ROLE_ADMIN)
    ]
    first, second = (
        auth_pb2.AcceptInviteRequest(token=invite.token, password=PASSWORD) for invite in invites
    )
    await people.anonymous.AcceptInvite(first)
    assert await refused(people.anonymous.AcceptInvite(second)) == "ALREADY_MEMBER"
    members = (await owner.client.ListMembers(auth_pb2.ListMembersRequest())).members
    assert [one.role for one in members] == [auth_pb2.ROLE_OWNER, auth_pb2.ROLE_CLERK]


async def test_versions_rise_though_a_member_leaves_and_comes_back(auth, people):
    owner, person = await people.sign_up(), await people.sign_up()
    for _ in range(2):
        invite = await owner.client.CreateInvite(
            auth_pb2.CreateInviteRequest(email=person.email, role=auth_pb2.ROLE_CLERK)
        )
        accept = auth_pb2.AcceptInviteRequest(token=invite.token, password=PASSWORD)
        await people.anonymous.AcceptInvite(accept)
        remove = auth_pb2.RemoveMemberRequest(user_id=person.tokens.user.user_id)
        await owner.client.RemoveMember(remove)
    facts = await _member_facts(auth, owner.tokens.organization.organization_id)
    own = [(version, type(fact).__name__) for version, fact in facts][1:]
    assert [name for _, name in own] == ["MemberChanged", "MemberRemoved"] * 2
    assert own == sorted(own)


async def test_an_id_in_capitals_is_the_same_id(auth, people):
    owner = await people.sign_up()
    member = auth_pb2.Member(user_id=owner.tokens.user.user_id.upper(), role=auth_pb2.ROLE_ADMIN)
    change = owner.client.UpdateMember(auth_pb2.UpdateMemberRequest(member=member))
    assert await refused(change) == "LAST_OWNER"
    remove = auth_pb2.RemoveMemberRequest(user_id=member.user_id)
    assert await refused(owner.client.RemoveMember(remove)) == "LAST_OWNER"

    wanted = auth_pb2.ApiKey(display_name="CI", permissions=["invoices.read"])
    key = await owner.client.CreateApiKey(auth_pb2.CreateApiKeyRequest(api_key=wanted))
    revoke = auth_pb2.RevokeApiKeyRequest(api_key_id=key.api_key_id.upper())
    await owner.client.RevokeApiKey(revoke)
    assert await auth.runtime.redis.get(REVOKED + key.api_key_id)

    token = owner.tokens.refresh_token.upper()
    tokens = await people.anonymous.RefreshTokens(Refresh(refresh_token=token))
    session_id = owner.tokens.refresh_token.partition(".")[0]
    assert json.loads(_payload(tokens.access_token))["sid"] == session_id


async def test_a_repeated_create_has_one_effect_and_the_same_secret(people):
    owner = await people.sign_up()
    invite = auth_pb2.CreateInviteRequest(
        email=f"{uuid7()}@example.com", role=auth_pb2.ROLE_CLERK, request_id=uuid7()
    )
    wanted = auth_pb2.ApiKey(display_name="CI", permissions=["invoices.read"])
    key = auth_pb2.CreateApiKeyRequest(api_key=wanted, request_id=uuid7())
    first = [await owner.client.CreateInvite(invite), await owner.client.CreateApiKey(key)]
    assert first[0].token
    assert first[1].key
    accept = auth_pb2.AcceptInviteRequest(token=first[0].token, password=PASSWORD)
    await people.anonymous.AcceptInvite(accept)  # a repetition asks for no second invite
    assert first == [await owner.client.CreateInvite(invite), await owner.client.CreateApiKey(key)]
    listed = await owner.client.ListApiKeys(auth_pb2.ListApiKeysRequest())
    assert [one.api_key_id for one in listed.api_keys] == [first[1].api_key_id]
    key.api_key.display_name = "Other"
    assert await refused(owner.client.CreateApiKey(key)) == "REQUEST_ID_REUSED"


async def test_no_secret_is_kept_with_an_answer(auth, people):
    owner = await people.sign_up()
    wanted = auth_pb2.ApiKey(display_name="CI", permissions=["invoices.read"])
    made = await owner.client.CreateApiKey(
        auth_pb2.CreateApiKeyRequest(api_key=wanted, request_id=uuid7())
    )
    async with auth.runtime.db.tenant(owner.tokens.organization.organization_id) as tx:
        kept = auth_pb2.ApiKey.FromString(await tx.fetchval("select answer from requests"))
    assert (kept.api_key_id, kept.key) == (made.api_key_id, "")


@pytest.mark.parametrize("token", ["", "x", "x.y", f"{uuid7()}.{'0' * 64}", f"{uuid7()}.ü"])
async def test_junk_is_no_invite(people, token):
    request = auth_pb2.AcceptInviteRequest(token=token, password=PASSWORD)
    assert await refused(people.anonymous.AcceptInvite(request)) == "INVITE_INVALID"


async def test_roles_are_listed_with_their_permissions(people):
    person = await people.sign_up()
    roles = (await person.client.ListRoles(auth_pb2.ListRolesRequest())).roles
    assert {one.role for one in roles} == set(range(1, 8))
    assert all(one.permissions for one in roles)


async def test_an_api_key_gives_a_token_with_its_permissions(people):
    owner = await people.sign_up()
    wanted = auth_pb2.ApiKey(display_name="CI", permissions=["invoices.read", "members.read"])
    made = await owner.client.CreateApiKey(auth_pb2.CreateApiKeyRequest(api_key=wanted))
    assert made.key.startswith(made.prefix)
    exchange = auth_pb2.ExchangeApiKeyRequest(api_key=made.key)
    tokens = await people.anonymous.ExchangeApiKey(exchange)
    claims = json.loads(_payload(tokens.access_token))
    assert claims["scope"] == "invoices.read members.read"
    assert claims["key"] == made.api_key_id
    client = people.with_token(tokens.access_token)
    assert (await client.ListMembers(auth_pb2.ListMembersRequest())).members
    denied = client.ListApiKeys(auth_pb2.ListApiKeysRequest())
    assert await refused(denied) == "PERMISSION_DENIED"
    listed = await owner.client.ListApiKeys(auth_pb2.ListApiKeysRequest())
    assert [one.HasField("last_use_time") for one in listed.api_keys] == [True]
    assert not listed.api_keys[0].key
    revoke = auth_pb2.RevokeApiKeyRequest(api_key_id=made.api_key_id)
    await owner.client.RevokeApiKey(revoke)
    assert await refused(people.anonymous.ExchangeApiKey(exchange)) == "API_KEY_INVALID"
    assert await refused(owner.client.RevokeApiKey(revoke)) == "API_KEY_NOT_FOUND"


async def test_an_api_key_may_no_more_than_its_maker(people):
    owner = await people.sign_up()
    admin = await people.invite(owner, auth_pb2.ROLE_ADMIN)
    wanted = auth_pb2.ApiKey(display_name="All", permissions=["*"])
    request = auth_pb2.CreateApiKeyRequest(api_key=wanted)
    assert await refused(admin.client.CreateApiKey(request)) == "PERMISSION_ABOVE_OWN"


@pytest.mark.parametrize("key", ["", "aud_live_x", f"aud_live_{'0' * 32}_{'0' * 64}00000000"])
async def test_junk_is_no_api_key(people, key):
    call = people.anonymous.ExchangeApiKey(auth_pb2.ExchangeApiKeyRequest(api_key=key))
    assert await refused(call) == "API_KEY_INVALID"


async def test_a_service_gets_a_token_for_its_secret(people):
    request = auth_pb2.IssueServiceTokenRequest(
        service="agent", secret="agent-secret", audience="invoice", organization_id=uuid7(),
        on_behalf_of=f"user:{uuid7()}",
    )  # fmt: skip
    token = await people.anonymous.IssueServiceToken(request)
    claims = json.loads(_payload(token.token))
    assert (claims["svc"], claims["aud"]) == ("agent", "invoice")
    assert claims["obo"] == request.on_behalf_of
    assert claims["scope"] == "invoices.read invoices.write"
    request.secret = "wrong"
    assert await refused(people.anonymous.IssueServiceToken(request)) == "WRONG_CREDENTIALS"
    request.service = "nobody"
    assert await refused(people.anonymous.IssueServiceToken(request)) == "WRONG_CREDENTIALS"


async def test_a_session_can_be_asked_about(people):
    person = await people.sign_up()
    session_id = person.tokens.refresh_token.partition(".")[0]

    async def active(of: str) -> bool:
        return (
            await people.anonymous.CheckSession(auth_pb2.CheckSessionRequest(session_id=of))
        ).active

    assert await active(session_id)
    assert not await active(uuid7())
    assert not await active("no id")
    await person.client.LogOut(auth_pb2.LogOutRequest())
    assert not await active(session_id)


async def test_the_log_tells_of_organizations_and_members(auth, people):
    person = await people.sign_up()
    organization = person.tokens.organization
    token = await people.anonymous.IssueServiceToken(
        auth_pb2.IssueServiceTokenRequest(service="agent", secret="agent-secret", audience="auth")
    )
    log = Client(event_pb2_grpc.EventLogServiceStub(auth.channel), token.token, "")

    async def facts() -> list[event_pb2.Event]:
        found = []
        for partition in range(16):
            request = event_pb2.ListEventsRequest(partition=partition, page_size=1000)
            found += (await log.ListEvents(request)).events
        return [one for one in found if one.organization_id == organization.organization_id]

    first, second = await eventually(facts, lambda found: len(found) == 2)
    created, joined = auth_events_pb2.OrganizationCreated(), auth_events_pb2.MemberChanged()
    assert first.payload.Unpack(created)
    assert created.organization == organization
    assert second.payload.Unpack(joined)
    assert joined.member.role == auth_pb2.ROLE_OWNER
    with_person = Client(
        event_pb2_grpc.EventLogServiceStub(auth.channel), person.tokens.access_token, ""
    )
    assert (
        await refused(with_person.ListEvents(event_pb2.ListEventsRequest())) == "PERMISSION_DENIED"
    )


async def test_what_needs_a_token_says_so(auth):
    stub = auth_pb2_grpc.AuthServiceStub(auth.channel)
    anonymous = Client(stub, "", "")
    call = anonymous.GetCurrentUser(auth_pb2.GetCurrentUserRequest())
    assert await refused(call) == "TOKEN_MISSING"
    junk = Client(stub, "a.b.c", "").GetCurrentUser(auth_pb2.GetCurrentUserRequest())
    assert await refused(junk) == "TOKEN_INVALID"


async def _member_facts(auth, organization_id: str) -> list[tuple[int, Message]]:
    """(version, payload) of every fact about the organization's members, in their order."""
    async with auth.runtime.db.tenant(organization_id) as tx:
        rows = await tx.fetch(
            """
            select aggregate_version, payload from events
            where aggregate_type = 'member' order by seq
            """
        )
    found = []
    for row in rows:
        packed = any_pb2.Any.FromString(row["payload"])
        payload = getattr(auth_events_pb2, packed.TypeName().rpartition(".")[2])()
        packed.Unpack(payload)
        found.append((row["aggregate_version"], payload))
    return found


async def _audit(people, email: str) -> list[str]:
    tokens = await people.anonymous.LogIn(LogIn(email=email, password=PASSWORD))
    client = people.with_token(tokens.access_token)
    request = auth_pb2.ListAuditEntriesRequest(page_size=2)
    actions = []
    while True:
        page = await client.ListAuditEntries(request)
        actions += [entry.action for entry in page.audit_entries]
        if not page.next_page_token:
            return actions
        request.page_token = page.next_page_token


async def _parts(data: bytes):
    header = auth_pb2.UploadPictureRequest.Header(content_type="image/png")
    yield auth_pb2.UploadPictureRequest(header=header)
    for start in range(0, len(data), 65_536):
        yield auth_pb2.UploadPictureRequest(chunk=data[start : start + 65_536])


def _payload(token: str) -> bytes:
    part = token.split(".")[1]
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
