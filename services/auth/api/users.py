"""The caller's own profile, password and picture."""

from collections.abc import AsyncIterator

from auditron.auth.v1 import auth_events_pb2, auth_pb2
from google.api.httpbody_pb2 import HttpBody
from google.protobuf.empty_pb2 import Empty

from libs.blobs import BlobNotFound, Blobs
from libs.pg import Database, Tx, use_organization, uuid7
from libs.rpc import caller, check, uuid_or
from libs.sandbox import Sandbox, SandboxError, SandboxKilled

from .. import errors, rules, store
from .credentials import Credentials
from .membership import publish
from .requests import Context, note
from .revocation import Revocation
from .sessions import person

PICTURE_BYTES_MAX = 2_000_000


class UsersApi:
    """What a person may see and change of itself."""

    def __init__(
        self,
        db: Database,
        credentials: Credentials,
        revocation: Revocation,
        blobs: Blobs,
        pictures: Sandbox,
    ) -> None:
        self._db = db
        self._credentials = credentials
        self._revocation = revocation
        self._blobs = blobs
        self._pictures = pictures

    async def GetCurrentUser(
        self, request: auth_pb2.GetCurrentUserRequest, context: Context
    ) -> auth_pb2.User:
        async with self._db.tenant(person()) as tx:
            return await store.get_user(tx, person())

    async def UpdateCurrentUser(
        self, request: auth_pb2.UpdateCurrentUserRequest, context: Context
    ) -> auth_pb2.User:
        async with self._db.tenant(person()) as tx:
            wanted = await store.lock_user(tx, person())
            name_before = wanted.display_name
            wanted.etag = request.user.etag
            rules.merge(request.user, wanted, request.update_mask)
            check(rules.user_violations(wanted))
            user = await store.update_user(tx, wanted)
            if user.display_name != name_before:
                await self._rename_member(tx, user, context)
        return user

    async def ChangePassword(
        self, request: auth_pb2.ChangePasswordRequest, context: Context
    ) -> Empty:
        check(rules.password_violations("new_password", request.new_password))
        async with self._db.tenant(person()) as tx:
            user = await store.get_user(tx, person())
        await self._credentials.prove(user.email, request.current_password, context)
        encoded = await self._credentials.hash(request.new_password)
        async with self._db.tenant(person()) as tx:
            await store.update_password(tx, person(), encoded)
            ended = await self._end_other_sessions(tx, context)
        await self._revocation.tell(ended)
        return Empty()

    async def UploadPicture(
        self, requests: AsyncIterator[auth_pb2.UploadPictureRequest], context: Context
    ) -> auth_pb2.User:
        data = b""
        async for part in requests:
            data += part.chunk
            if len(data) > PICTURE_BYTES_MAX:
                raise errors.PictureInvalid("The picture has more than 2 MB.")
        try:
            small = await self._pictures.run("services.auth.pictures:shrink", data)
        except (SandboxError, SandboxKilled):
            raise errors.PictureInvalid("That is no PNG or JPEG that can be shown.") from None
        key = f"pictures/{person()}/{uuid7()}.png"
        await self._blobs.put_bytes(key, small["png"], "image/png")
        async with self._db.tenant(person()) as tx:
            return await store.update_picture(tx, person(), key)

    async def DownloadPicture(
        self, request: auth_pb2.DownloadPictureRequest, context: Context
    ) -> AsyncIterator[HttpBody]:
        user_id = person() if request.user_id == "me" else request.user_id
        fault = errors.PictureNotFound("There is no such picture.")
        user_id = uuid_or(fault, user_id)
        async with self._db.tenant(caller().organization_id) as tx:
            if await store.get_member(tx, user_id) is None:
                raise fault
            await use_organization(tx, user_id)
            key = await store.get_picture_key(tx, user_id)
        try:
            async for chunk in self._blobs.get_stream(key):
                yield HttpBody(content_type="image/png", data=chunk)
        except BlobNotFound:
            raise fault from None

    async def _rename_member(self, tx: Tx, user: auth_pb2.User, context: Context) -> None:
        """Let every organization of the person know the new name."""
        changed = auth_events_pb2.MemberChanged
        for organization_id in await store.list_organization_ids(tx, user.user_id):
            await use_organization(tx, organization_id)
            row = await store.update_member(tx, user.user_id, display_name=user.display_name)
            await publish(tx, organization_id, row, changed, caller().actor)
            await note(
                tx, context, organization_id, "member.renamed", caller().actor, caller().actor
            )

    async def _end_other_sessions(self, tx: Tx, context: Context) -> list[str]:
        ended = []
        for organization_id in await store.list_organization_ids(tx, person()):
            await use_organization(tx, organization_id)
            ended += await store.revoke_sessions(tx, person(), keep_id=caller().session_id)
            await note(
                tx, context, organization_id, "password.changed", caller().actor, caller().actor
            )
        return ended
