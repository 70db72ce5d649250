"""Puts and gets bytes in one S3 bucket, streaming, with presigned links for downloads."""

from .blobs import BlobNotFound, Blobs, BlobSettings, BlobsUnavailable, Listed

__all__ = ["BlobNotFound", "BlobSettings", "Blobs", "BlobsUnavailable", "Listed"]
