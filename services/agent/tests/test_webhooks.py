"""Where webhooks may lead, and what is sent to them."""

import asyncio
import hashlib
import hmac
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from libs.testkit import eventually
from services.agent import errors, webhooks
from services.agent.tests.peers import Answer, HttpPeer

SECRET = webhooks.secret_of(b"key", "w1")


@pytest.fixture
async def client():
    async with webhooks.client() as client:
        yield client


def target(receiver, path: str = "/hook", host: str = "hooks.example.com") -> webhooks.Target:
    return webhooks.Target(f"http://{host}:{receiver.port}{path}", "127.0.0.1")


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("127.0.0.1", False),
        ("10.0.0.1", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("192.0.2.1", False),
        ("198.18.0.1", False),
        ("::", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fc00::1", False),
        ("ff02::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:8.8.8.8", True),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b:1::1", False),
        ("2002:7f00:1::", False),
        ("2001:0:1::1", False),
        ("2001:db8::1", False),
        ("192.0.0.8", False),
        ("192.0.0.255", False),
        ("192.88.99.1", False),
        ("3fff::1", False),
        ("3fff:fff:ffff::", False),
        ("4000::1", False),
        ("5f00::1", False),
        ("fec0::1", False),
        ("feff::1", False),
        ("100:0:0:1::1", False),
        ("::10.0.0.1", False),
    ],
)
def test_only_addresses_of_the_internet_are_public(address, public):
    assert webhooks.is_public(address) is public


async def test_a_name_that_leads_inside_is_refused_and_an_unknown_one_leads_nowhere():
    with pytest.raises(errors.WebhookUrlForbidden):
        await webhooks.resolve("https://localhost/", private_allowed=False)
    assert await webhooks.resolve("https://nobody.invalid/", private_allowed=False) is None
    found = await webhooks.resolve("http://localhost:81/x", private_allowed=True)
    assert found is not None
    assert found.address in ("127.0.0.1", "::1")


async def test_a_silent_name_server_holds_up_no_other_work_and_no_literal_address(silence):
    async def found(url: str) -> webhooks.Target | None:
        return await webhooks.resolve(url, private_allowed=False, within_s=30)

    begun = [
        asyncio.create_task(found(f"https://{number}.example/"))
        for number in range(webhooks.RESOLVING_MAX)
    ]
    await eventually(
        lambda: asyncio.sleep(0, len(silence.asked)), lambda count: count == webhooks.RESOLVERS
    )
    async with asyncio.timeout(15):
        await asyncio.to_thread(len, "")
        assert await found("https://surplus.example/") is None
        literal = await found("https://[2606:4700::1111]:8443/hook")
        with pytest.raises(errors.WebhookUrlForbidden):
            await found("https://2130706433/")
    assert literal == webhooks.Target("https://[2606:4700::1111]:8443/hook", "2606:4700::1111")
    for task in begun:
        task.cancel()
    await asyncio.gather(*begun, return_exceptions=True)
    assert len(silence.asked) == webhooks.RESOLVERS


async def test_a_name_that_is_not_known_in_time_leads_nowhere(silence):
    for _ in range(2 * webhooks.RESOLVING_MAX):
        url = "https://slow.example/"
        assert await webhooks.resolve(url, private_allowed=False, within_s=0.001) is None
    silence.told.set()  # those that waited are forgotten, so that there is room
    assert await webhooks.resolve("http://localhost/", private_allowed=True) is not None


async def test_the_receiver_can_check_who_sent_it_and_when(receiver, client):
    receiver.answers(Answer(200, b"thank you"))
    body = b'{"job_id":"1"}'
    outcome = await webhooks.send(target(receiver, "/hook?a=b"), SECRET, "d1", body, client)
    assert outcome == "HTTP 200 thank you"
    [call] = receiver.calls
    assert (call.method, call.path, call.body) == ("POST", "/hook?a=b", body)
    assert call.headers["host"] == f"hooks.example.com:{receiver.port}"
    assert call.headers["auditron-delivery"] == "d1"
    seconds, signed = (part[2:] for part in call.headers["auditron-signature"].split(","))
    signed = signed.removeprefix("=")
    expected = hmac.new(SECRET.encode(), f"{seconds}.".encode() + body, hashlib.sha256)
    assert hmac.compare_digest(expected.hexdigest(), signed)


def test_every_webhook_has_a_secret_of_its_own_that_needs_the_key():
    secrets = {webhooks.secret_of(key, name) for key in (b"a", b"b") for name in ("1", "2")}
    assert len(secrets) == 4


async def test_a_redirect_is_an_answer_and_not_followed(receiver, client):
    receiver.answers(Answer(302, headers={"Location": f"{receiver.url}/elsewhere"}))
    with pytest.raises(errors.DeliveryRefused, match="HTTP 302"):
        await webhooks.send(target(receiver), SECRET, "d", b"{}", client)
    assert len(receiver.calls) == 1


async def test_an_answer_is_read_no_further_than_its_beginning(receiver, client):
    receiver.answers(Answer(500, b"\x00\xff" + b"x" * 5_000_000))
    with pytest.raises(errors.DeliveryRefused) as caught:
        await webhooks.send(target(receiver), SECRET, "d", b"{}", client)
    assert len(str(caught.value)) < 300
    assert str(caught.value).isprintable()


async def test_a_receiver_that_is_late_silent_or_gone_is_a_failure(receiver, client, monkeypatch):
    monkeypatch.setattr(webhooks, "CALL_S", 0.2)
    receiver.answers(Answer(late_s=0.5), Answer(body=b"x" * 100, cut_at=10))
    for _ in range(2):
        with pytest.raises(errors.DeliveryRefused, match="no answer"):
            await webhooks.send(target(receiver), SECRET, "d", b"{}", client)
    gone = webhooks.Target("http://hooks.example.com:1/", "127.0.0.1")
    with pytest.raises(errors.DeliveryRefused, match="no answer"):
        await webhooks.send(gone, SECRET, "d", b"{}", client)


def certificate(folder: Path, host: str) -> ssl.SSLContext:
    """A server's context with a certificate of its own making, left in folder/host.pem."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    (folder / f"{host}.pem").write_bytes(made.public_bytes(pem))
    (folder / "both.pem").write_bytes(made.public_bytes(pem) + private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "both.pem")
    return context


@pytest.mark.parametrize("host", ["hooks.example.com", "other.example.com"])
async def test_tls_is_checked_against_the_name_although_the_address_is_called(tmp_path, host):
    peer = await HttpPeer().start(certificate(tmp_path, host))
    trusting = ssl.create_default_context(cafile=str(tmp_path / f"{host}.pem"))
    wanted = webhooks.Target(f"https://hooks.example.com:{peer.port}/", "127.0.0.1")
    async with httpx.AsyncClient(verify=trusting, trust_env=False) as client:
        sending = webhooks.send(wanted, SECRET, "d", b"{}", client)
        if host == "hooks.example.com":
            assert await sending == "HTTP 200"
        else:
            with pytest.raises(errors.DeliveryRefused, match="no answer"):
                await sending
    await peer.stop()
