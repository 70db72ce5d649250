"""One bucket of any S3: boto3 in threads, imported on first use because it costs 0.3 s."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, Self, TypeVar

if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from mypy_boto3_s3 import S3Client

T = TypeVar("T")

CHUNK_BYTES = 256 * 1024
PART_BYTES = 8 * 1024 * 1024  # S3 takes parts from 5 MiB, and 10,000 of them
THREADS = 16


class BlobNotFound(LookupError):  # noqa: N818 - named as what is so
    """There is no object of this key."""


class BlobsUnavailable(Exception):  # noqa: N818
    """The store did not answer, not in time, or not to the end, though asked three times."""


class Listed(NamedTuple):
    """One object of a listing."""

    key: str
    size_bytes: int
    modify_time: datetime


@dataclass(frozen=True)
class BlobSettings:
    """Where the bucket is; no endpoint means AWS, no keys mean the machine's own role."""

    endpoint_url: str = ""
    bucket: str = "auditron"
    access_key: str = field(default="", repr=False)
    secret_key: str = field(default="", repr=False)
    region: str = "us-east-1"

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Self:
        """Read S3_ENDPOINT_URL, S3_BUCKET, S3_ACCESS_KEY, S3_SECRET_KEY and S3_REGION."""
        names = ("endpoint_url", "bucket", "access_key", "secret_key", "region")
        given = {name: environ.get(f"S3_{name.upper()}", "") for name in names}
        return cls(**{name: value for name, value in given.items() if value})


class Blobs:
    """Objects by key. No key may be the folder of another (`a` beside `a/b`): file systems differ.

    Every method raises BlobsUnavailable if the store fails; a wrong setting (credentials, bucket)
    shows as botocore's ClientError.
    """

    def __init__(self, settings: BlobSettings) -> None:
        """Connect to nothing yet."""
        self._settings = settings
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="blobs")
        self._opening = threading.Lock()
        self._opened: S3Client | None = None

    async def close(self) -> None:
        """Let the connections go once the running calls have ended."""
        await asyncio.to_thread(self._threads.shutdown)
        if self._opened is not None:
            self._opened.close()

    async def ensure_bucket(self) -> None:
        """Make the bucket if it is absent."""
        await self._call(make_bucket, self._settings)

    async def put_file(self, key: str, source: Path | BinaryIO, content_type: str) -> None:
        """Store a file of any size, in parts of 8 MiB; an open one from where it stands."""
        await self._call(upload, self._settings.bucket, key, source, content_type)

    async def put_bytes(self, key: str, data: bytes, content_type: str) -> None:
        """Store bytes in one request."""
        await self._call(
            lambda s3: s3.put_object(
                Bucket=self._settings.bucket, Key=key, Body=data, ContentType=content_type
            )
        )

    async def get_stream(self, key: str, start: int | None = None) -> AsyncIterator[bytes]:
        """Yield chunks of at most 256 KiB, from byte `start` on; BlobNotFound before the first.

        Nothing if `start` is the end or behind it. Close it (`aclosing`) if you stop early.
        """
        body = await self._call(open_body, self._settings.bucket, key, start or 0)
        if body is None:
            return
        try:
            while chunk := await self._call(lambda _: body.read(CHUNK_BYTES)):
                yield chunk
        finally:
            body.close()

    async def delete(self, key: str) -> None:
        """Delete an object; nothing happens if there is none."""
        await self._call(lambda s3: s3.delete_object(Bucket=self._settings.bucket, Key=key))

    async def list(self, prefix: str = "", page_size: int = 1000) -> AsyncIterator[Listed]:
        """Yield (key, size_bytes, modify_time) of all keys that begin so, by key."""
        pages = await self._call(
            lambda s3: iter(
                s3.get_paginator("list_objects_v2").paginate(
                    Bucket=self._settings.bucket,
                    Prefix=prefix,
                    PaginationConfig={"PageSize": page_size},
                )
            )
        )
        while page := await self._call(lambda _: next(pages, None)):
            for found in page.get("Contents", []):
                yield Listed(found["Key"], found["Size"], found["LastModified"])

    async def _call(self, function: Callable[..., T], *arguments: object) -> T:
        """Run function(client, *arguments) in a thread and translate what it raises."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._translated, function, arguments)

    def _translated(self, function: Callable[..., T], arguments: tuple[object, ...]) -> T:
        from botocore import exceptions  # noqa: PLC0415

        try:
            return function(self._client(), *arguments)
        except exceptions.ClientError as error:
            if error.response["Error"]["Code"] in ("NoSuchKey", "404"):
                raise BlobNotFound(str(error)) from None
            if error.response["ResponseMetadata"]["HTTPStatusCode"] >= 500:
                raise BlobsUnavailable(str(error)) from error
            raise
        except (
            exceptions.HTTPClientError,
            exceptions.ConnectionError,
            exceptions.IncompleteReadError,
        ) as error:
            raise BlobsUnavailable(str(error)) from error

    def _client(self) -> "S3Client":
        with self._opening:
            if self._opened is None:
                self._opened = connect(self._settings)
            return self._opened


def connect(settings: BlobSettings) -> "S3Client":
    """Make a client; its calls take at most three tries of 2 s to connect and 10 s to answer."""
    import boto3  # noqa: PLC0415
    from botocore.config import Config  # noqa: PLC0415

    config = Config(
        signature_version="s3v4",
        s3={"addressing_style": "path" if settings.endpoint_url else "auto"},
        connect_timeout=2,
        read_timeout=10,
        retries={"mode": "standard", "total_max_attempts": 3},
        max_pool_connections=4 * THREADS,  # an open stream holds one, without a thread
        # The signature covers the body's SHA-256 already. The newer checksum headers are not
        # understood everywhere: rclone answers a range with the checksum of the whole.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    return boto3.session.Session().client(
        "s3",
        endpoint_url=settings.endpoint_url or None,
        aws_access_key_id=settings.access_key or None,
        aws_secret_access_key=settings.secret_key or None,
        region_name=settings.region,
        config=config,
    )


def make_bucket(s3: "S3Client", settings: BlobSettings) -> None:
    """Create the bucket unless it is there, whoever makes it first."""
    from botocore.exceptions import ClientError  # noqa: PLC0415

    try:
        s3.head_bucket(Bucket=settings.bucket)
    except ClientError as error:
        if error.response["Error"]["Code"] != "404":
            raise
        place: Any = {"LocationConstraint": settings.region}
        at_home = settings.region == "us-east-1"  # the one place that S3 refuses to be told
        others = {} if at_home else {"CreateBucketConfiguration": place}
        try:
            s3.create_bucket(Bucket=settings.bucket, **others)
        except (s3.exceptions.BucketAlreadyOwnedByYou, s3.exceptions.BucketAlreadyExists):
            s3.head_bucket(Bucket=settings.bucket)  # refused if it is somebody else's


def upload(
    s3: "S3Client", bucket: str, key: str, source: Path | BinaryIO, content_type: str
) -> None:
    """Upload part after part in this thread, so that memory holds one part at most."""
    from boto3.s3.transfer import TransferConfig  # noqa: PLC0415

    transfer = TransferConfig(
        multipart_threshold=PART_BYTES,
        multipart_chunksize=PART_BYTES,
        use_threads=False,
        preferred_transfer_client="classic",
    )
    extra = {"ContentType": content_type}
    if isinstance(source, Path):
        with source.open("rb") as file:
            s3.upload_fileobj(file, bucket, key, ExtraArgs=extra, Config=transfer)
    else:
        s3.upload_fileobj(source, bucket, key, ExtraArgs=extra, Config=transfer)


def open_body(s3: "S3Client", bucket: str, key: str, start: int) -> "StreamingBody | None":
    """Open an object from a byte on; None if it has none there."""
    from botocore.exceptions import ClientError  # noqa: PLC0415

    wanted: Any = {"Range": f"bytes={start}-"} if start else {}
    try:
        return s3.get_object(Bucket=bucket, Key=key, **wanted)["Body"]
    except ClientError as error:
        if error.response["Error"]["Code"] in ("InvalidRange", "416"):
            return None
        raise
