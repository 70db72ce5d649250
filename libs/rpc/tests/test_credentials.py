"""Who gets credentials and who does not; the cases of TLS itself are in tls_cases.py."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from libs.rpc import RpcSettings, TlsFiles, ciphers
from libs.rpc.credentials import UnsafeTransport, channel_credentials, server_credentials

CASES = Path(__file__).with_name("tls_cases.py")
ROOT = Path(__file__).parents[3]
FILES = TlsFiles("/c", "/k", "/a")


def test_mutual_tls_holds_in_a_process_that_begins_with_the_right_environment() -> None:
    environment = os.environ | {ciphers.VARIABLE: ciphers.SUITES, "PYTHONPATH": str(ROOT)}
    options = ["-o", "addopts=--import-mode=importlib", "-p", "no:cacheprovider", str(CASES)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "skipped" not in done.stdout


@pytest.mark.parametrize(
    ("code", "in_time"),
    [
        ("import libs.rpc", True),
        ("import libs.rpc.errors", True),
        ("import grpc, libs.rpc", False),
    ],
)
def test_whether_the_suites_came_in_time_is_known(code: str, in_time: bool) -> None:
    environment = {k: v for k, v in os.environ.items() if k != ciphers.VARIABLE}
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; from libs.rpc import ciphers; print(ciphers.IN_TIME)"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.strip() == str(in_time)


def test_no_credentials_are_given_where_tls_1_2_would_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ciphers, "IN_TIME", False)
    with pytest.raises(UnsafeTransport, match=r"TLS 1\.2"):
        channel_credentials(RpcSettings("probe", tls=FILES), "invoice:1")


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("127.0.0.1:1", True),
        ("localhost:1", True),
        ("[::1]:1", True),
        ("dns:///localhost:1", True),
        ("unix:/run/x.sock", True),
        ("0.0.0.0:1", False),
        ("[::]:1", False),
        ("10.0.0.1:1", False),
        ("invoice:50051", False),
        ("dns:///invoice.auditron:50051", False),
        ("localhost.evil.example:1", False),
        ("", False),
    ],
)
def test_plain_text_stays_on_loopback(address: str, allowed: bool) -> None:
    for make in (server_credentials, channel_credentials):
        if allowed:
            assert make(RpcSettings("probe"), address) is None
        else:
            with pytest.raises(UnsafeTransport, match="plain text"):
                make(RpcSettings("probe"), address)
            assert make(RpcSettings("probe", plain_text_anywhere=True), address) is None


def test_settings_come_from_the_environment() -> None:
    found = RpcSettings.from_env(
        "agent",
        {
            "AGENT_SERVICE_SECRET": "hush",
            "INVOICE_ADDRESS": "dns:///invoice:50051",
            "RECON_ADDRESS": "",
            "RPC_TLS_CERT": "/c",
            "RPC_TLS_KEY": "/k",
            "RPC_TLS_CA": "/a",
        },
    )
    assert found == RpcSettings(
        "agent", "hush", {"invoice": "dns:///invoice:50051"}, TlsFiles("/c", "/k", "/a")
    )
    assert "hush" not in repr(found)
    assert RpcSettings.from_env("agent", {}) == RpcSettings("agent")
    assert RpcSettings.from_env("a", {"RPC_PLAIN_TEXT": "anywhere"}).plain_text_anywhere
    with pytest.raises(ValueError, match="belong together"):
        RpcSettings.from_env("agent", {"RPC_TLS_CERT": "/c"})
