"""Mutual TLS 1.3 over loopback with certificates made here; test_credentials.py runs this."""

import asyncio
import datetime as dt
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from libs.rpc import Channels, RpcSettings, Server, TlsFiles, channel, serve
from libs.rpc.credentials import UnsafeTransport, channel_credentials, server_credentials
from libs.rpc.tests.probe import CONTRACT, Auth, Probe, Probes, ProbeServiceStub, failure

NOW = dt.datetime.now(dt.UTC)
DAY = dt.timedelta(days=1)


class Authority:
    """A certificate authority and the files it writes."""

    def __init__(self, name: str) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = self._sign(name, self.key.public_key(), self.name(name), ends=DAY)

    @staticmethod
    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    def _sign(
        self, subject: str, public: Any, issuer: x509.Name, ends: dt.timedelta
    ) -> x509.Certificate:
        is_authority = issuer == self.name(subject)
        builder = (
            x509.CertificateBuilder()
            .subject_name(self.name(subject))
            .issuer_name(issuer)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - 2 * DAY)
            .not_valid_after(NOW + ends)
            .add_extension(x509.BasicConstraints(is_authority, None), critical=True)
        )
        if not is_authority:
            names = [
                x509.DNSName("localhost"),
                x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
                x509.UniformResourceIdentifier(f"spiffe://auditron/{subject}"),
            ]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self.key, hashes.SHA256())

    def issue(
        self, folder: Path, subject: str, *, key: Any = None, ends: dt.timedelta = DAY
    ) -> TlsFiles:
        """Write a leaf, its key and our root as NAME.crt, NAME.key and NAME.ca."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        leaf = self._sign(subject, key.public_key(), self.certificate.subject, ends)
        files = TlsFiles(*(str(folder / f"{subject}.{kind}") for kind in ("crt", "key", "ca")))
        Path(files.certificate).write_bytes(leaf.public_bytes(serialization.Encoding.PEM))
        Path(files.key).write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        Path(files.authorities).write_bytes(
            self.certificate.public_bytes(serialization.Encoding.PEM)
        )
        return files


@dataclass
class Secured:
    server: Server
    probes: Probes
    authority: Authority
    files: TlsFiles
    folder: Path

    @property
    def address(self) -> str:
        return f"localhost:{self.server.port}"

    def channels(self, tls: TlsFiles | None) -> Channels:
        return Channels(RpcSettings("tester", addresses={"probe": self.address}, tls=tls))


@pytest.fixture
async def secured(tmp_path: Path, auth: Auth) -> AsyncIterator[Secured]:
    authority = Authority("test root")
    files = authority.issue(tmp_path, "probe")
    probes = Probes()
    server = await serve(
        "probe",
        "127.0.0.1:0",
        [(CONTRACT, probes)],
        verifier=auth.verifier(),
        settings=RpcSettings("probe", tls=files),
    )
    yield Secured(server, probes, authority, files, tmp_path)
    await server.drain(0)


def contents(*paths: str) -> list[bytes]:
    return [Path(path).read_bytes() for path in paths]


def exchange(one: str, other: str) -> None:
    first, second = contents(one, other)
    Path(one).write_bytes(second)
    Path(other).write_bytes(first)


async def opened(secured: Secured, tls: TlsFiles | None) -> Any:
    """Call once over a channel of its own and return the answer, or raise how it failed."""
    channels = secured.channels(tls)
    try:
        return await channels.stub(ProbeServiceStub).Open(Probe(), timeout=2)
    finally:
        await channels.close()


async def test_both_sides_know_each_other_over_tls_1_3_with_a_post_quantum_exchange(
    secured: Secured,
) -> None:
    found: list[Any] = []

    async def do(_: Any, context: Any) -> Any:
        found.append(context.auth_context())
        return Probe(text="safe")

    secured.probes.on["Open"] = do
    answer = await opened(secured, secured.authority.issue(secured.folder, "agent"))
    assert answer.text == "safe"
    [peer] = found
    assert peer["ssl_tls_version"] == [b"TLSv1.3"]
    assert peer["ssl_negotiated_key_exchange_group"] == [b"X25519MLKEM768"]
    assert peer["peer_spiffe_id"] == [b"spiffe://auditron/agent"]


async def test_a_client_without_certificate_is_refused(secured: Secured) -> None:
    [root] = contents(secured.files.authorities)
    async with grpc.aio.secure_channel(
        secured.address, grpc.ssl_channel_credentials(root)
    ) as channel:
        error = await failure(ProbeServiceStub(channel).Open(Probe(), timeout=2))
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    async with grpc.aio.insecure_channel(secured.address) as channel:
        assert await failure(ProbeServiceStub(channel).Open(Probe(), timeout=2))
    assert secured.probes.seen == []


async def test_a_client_of_another_authority_or_out_of_date_is_refused(secured: Secured) -> None:
    stranger = Authority("other root").issue(secured.folder, "stranger")
    stranger = TlsFiles(stranger.certificate, stranger.key, secured.files.authorities)
    late = secured.authority.issue(secured.folder, "late", ends=-DAY)
    for files in (stranger, late):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await opened(secured, files)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert secured.probes.seen == []


async def test_a_server_of_another_authority_is_not_believed(secured: Secured) -> None:
    mine = secured.authority.issue(secured.folder, "agent")
    other = Authority("other root").issue(secured.folder, "other")
    with pytest.raises(grpc.aio.AioRpcError):
        await opened(secured, TlsFiles(mine.certificate, mine.key, other.authorities))
    assert secured.probes.seen == []


def context_for(files: TlsFiles, purpose: ssl.Purpose, version: ssl.TLSVersion) -> ssl.SSLContext:
    context = ssl.create_default_context(purpose, cafile=files.authorities)
    context.load_cert_chain(files.certificate, files.key)
    context.minimum_version = context.maximum_version = version
    context.set_alpn_protocols(["h2"])
    return context


@pytest.mark.parametrize(
    ("version", "accepted"), [(ssl.TLSVersion.TLSv1_3, True), (ssl.TLSVersion.TLSv1_2, False)]
)
async def test_our_server_speaks_tls_1_3_alone(
    secured: Secured, version: ssl.TLSVersion, accepted: bool
) -> None:
    files = secured.authority.issue(secured.folder, "agent")
    context = context_for(files, ssl.Purpose.SERVER_AUTH, version)
    connecting = asyncio.open_connection("localhost", secured.server.port, ssl=context)
    if accepted:
        reader, writer = await connecting
        assert (await asyncio.wait_for(reader.read(9), 2))[3] == 4  # an HTTP/2 SETTINGS frame
        writer.close()
    else:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await connecting


@pytest.mark.parametrize(
    ("version", "accepted"), [(ssl.TLSVersion.TLSv1_3, True), (ssl.TLSVersion.TLSv1_2, False)]
)
async def test_our_client_speaks_tls_1_3_alone(
    tmp_path: Path, version: ssl.TLSVersion, accepted: bool
) -> None:
    files = Authority("root").issue(tmp_path, "probe")
    context = context_for(files, ssl.Purpose.CLIENT_AUTH, version)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(3)
        reached = asyncio.create_task(asyncio.to_thread(first_bytes, listener, context))
        address = f"localhost:{listener.getsockname()[1]}"
        channels = Channels(RpcSettings("t", addresses={"probe": address}, tls=files))
        await failure(channels.stub(ProbeServiceStub).Open(Probe(), timeout=1))
        assert (await reached).startswith(b"PRI * HTTP/2") is accepted
        await channels.close()


def first_bytes(listener: socket.socket, context: ssl.SSLContext) -> bytes:
    """Take one connection and return what it says first, b"" if the handshake fails."""
    connection, _ = listener.accept()
    try:
        with context.wrap_socket(connection, server_side=True) as secured:
            return secured.recv(24)
    except (ssl.SSLError, ConnectionError):
        return b""


async def test_replaced_certificates_are_taken_up_by_both_sides_without_a_lost_call(
    secured: Secured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel, "LOOK_S", 0.0)
    mine = secured.authority.issue(secured.folder, "agent")
    channels = secured.channels(mine)
    stub = channels.stub(ProbeServiceStub)
    await stub.Open(Probe())
    first = channels._peers["probe"]._channel.open()
    renewed = Authority("second root")
    renewed.issue(secured.folder, "probe")
    renewed.issue(secured.folder, "agent")
    for _ in range(5):
        await stub.Open(Probe())
    assert channels._peers["probe"]._channel.open() is not first
    old = secured.authority.issue(secured.folder, "old")
    with pytest.raises(grpc.aio.AioRpcError):
        await opened(secured, old)
    await channels.close()


async def test_half_replaced_files_leave_the_old_certificate_at_work(
    secured: Secured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel, "LOOK_S", 0.0)
    mine = secured.authority.issue(secured.folder, "agent")
    channels = secured.channels(mine)
    stub = channels.stub(ProbeServiceStub)
    await stub.Open(Probe())
    exchange(mine.key, secured.files.key)
    await stub.Open(Probe())
    assert await opened(secured, secured.authority.issue(secured.folder, "new"))
    await channels.close()


def test_a_certificate_that_is_not_ecdsa_p256_is_refused_at_the_start(tmp_path: Path) -> None:
    authority = Authority("root")
    for key in (
        rsa.generate_private_key(public_exponent=65537, key_size=2048),
        ec.generate_private_key(ec.SECP384R1()),
    ):
        settings = RpcSettings("probe", tls=authority.issue(tmp_path, "probe", key=key))
        with pytest.raises(UnsafeTransport, match="P-256"):
            server_credentials(settings, "127.0.0.1:0")
        with pytest.raises(UnsafeTransport, match="P-256"):
            channel_credentials(settings, "127.0.0.1:1")
