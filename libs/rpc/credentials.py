"""Credentials of servers and channels: mutual TLS 1.3 from files that may change, or plain text."""

import ipaddress
from pathlib import Path

import grpc
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from libs.rpc import ciphers
from libs.rpc.settings import RpcSettings, TlsFiles

TLS_VERSION = b"TLSv1.3"


class UnsafeTransport(ValueError):  # noqa: N818  # says what is wrong
    """The settings would let calls travel less safely than they must."""


def server_credentials(settings: RpcSettings, address: str) -> grpc.ServerCredentials | None:
    """Return credentials that demand the client's certificate; None: plain text.

    Changed files are read at the next handshake. Raises UnsafeTransport for plain text beyond
    loopback, for a certificate that is not ECDSA P-256, and where grpc was imported before
    libs.rpc.ciphers without the variable that it sets; OSError for unreadable files.
    """
    tls = settings.tls
    if tls is None:
        _check_plain_text(settings, address)
        return None
    seen = version(tls)

    def changed() -> grpc.ServerCertificateConfiguration | None:
        # An error here makes grpc keep what it has, and ask again at the next handshake.
        nonlocal seen
        now = version(tls)
        if now == seen:
            return None
        found = _configuration(tls)
        seen = now
        return found

    return grpc.dynamic_ssl_server_credentials(
        _configuration(tls),
        changed,  # type: ignore[arg-type]  # None is allowed: nothing has changed
        require_client_authentication=True,
    )


def channel_credentials(settings: RpcSettings, address: str) -> grpc.ChannelCredentials | None:
    """Return credentials from the files as they are now; None: plain text. Raises as above."""
    if settings.tls is None:
        _check_plain_text(settings, address)
        return None
    certificate, key, authorities = _read(settings.tls)
    return grpc.ssl_channel_credentials(authorities, key, certificate)


def version(tls: TlsFiles) -> tuple[int, ...]:
    """Return what differs once any of the files was replaced."""
    return tuple(
        Path(path).stat().st_mtime_ns for path in (tls.certificate, tls.key, tls.authorities)
    )


def _configuration(tls: TlsFiles) -> grpc.ServerCertificateConfiguration:
    certificate, key, authorities = _read(tls)
    return grpc.ssl_server_certificate_configuration([(key, certificate)], authorities)


def _read(tls: TlsFiles) -> tuple[bytes, bytes, bytes]:
    if not ciphers.IN_TIME:
        raise UnsafeTransport(f"TLS 1.2 would do: start with {ciphers.VARIABLE}={ciphers.SUITES}")
    certificate = Path(tls.certificate).read_bytes()
    key = Path(tls.key).read_bytes()
    public = x509.load_pem_x509_certificate(certificate).public_key()
    if not isinstance(public, ec.EllipticCurvePublicKey) or public.curve.name != "secp256r1":
        raise UnsafeTransport(f"{tls.certificate} is not an ECDSA P-256 certificate")
    if load_pem_private_key(key, None).public_key() != public:
        raise UnsafeTransport(f"{tls.key} is not the key of {tls.certificate}")  # half replaced
    return certificate, key, Path(tls.authorities).read_bytes()


def _check_plain_text(settings: RpcSettings, address: str) -> None:
    if not settings.plain_text_anywhere and not _is_loopback(address):
        raise UnsafeTransport(f"plain text to {address}: set RPC_TLS_CERT, RPC_TLS_KEY, RPC_TLS_CA")


def _is_loopback(address: str) -> bool:
    if address.startswith("unix:"):
        return True
    host = address.removeprefix("dns:///").rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
