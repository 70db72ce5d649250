"""Secrets of every kind are taken out, and nothing else."""

import json
import time
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from libs.telemetry import redact, redact_text
from libs.telemetry.redaction import REDACTED, TEXT_LIMIT

SECRETS = {
    "jwt": "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ1c2VyIn0.c2lnbmF0dXJlLWNhbmFyeQ",
    "iban": "DE89370400440532013000",
    "iban in groups": "GB29 NWBK 6016 1331 9268 19",
    "iban in lower case": "fr1420041010050500013m02606",
    "card": "4111111111111111",
    "card in groups": "5500 0055 5555 5559",
    "card with dashes": "3782-822463-10005",
    "api key": "aud_live_0199a_Zq8canarycanary",
    "stripe key": "sk_live_canary0canary0canary",
    "openai key": "sk-proj-canary0canary0canary",
    "webhook secret": "whsec_canary0canary0canary",
    "aws key": "AKIAIOSFODNN7EXAMPLE",
    "bearer": "Bearer canary0canary0canary0",
    "e-mail": "canary.person@example.org",
    "private key": "-----BEGIN EC PRIVATE KEY-----\nMHcCcanary\n-----END EC PRIVATE KEY-----",
}
PAIRS = [
    ("password=hunter2", "hunter2"),
    ("login with Password: hunter2 failed", "hunter2"),
    ('{"password": "two words, and more"}', "words"),
    ('{"password": "a\\"quote-canary"}', "quote-canary"),
    ("{'client_secret': 'hun ter2'}", "ter2"),
    ('"{\\"refresh_token\\": \\"hun ter2\\"}"', "ter2"),
    ("Authorization: Bearer hunter2", "hunter2"),
    ("authorization = Basic dXNlcjpodW50ZXIy", "dXNlcjpodW50ZXIy"),
    ("X-Api-Key: hunter2", "hunter2"),
    ("https://host/reset?token=hunter2&x=1", "hunter2"),
    ("Settings(stripe_api_key='hunter2', port=1)", "hunter2"),
    ("postgresql://invoice_app:hunter2@127.0.0.1:5432/auditron", "hunter2"),
    ("redis://:hunter2@127.0.0.1:6379/0", "hunter2"),
    ("Set-Cookie: session=hunter2", "hunter2"),
]


@pytest.mark.parametrize("kind", SECRETS)
@pytest.mark.parametrize("frame", ["{}", "before {} after", "({})", "x={},", "a\n{}\nb", "«{}» é"])
def test_a_secret_is_taken_out_by_its_shape(kind, frame) -> None:
    redacted = redact_text(frame.format(SECRETS[kind]))
    assert SECRETS[kind] not in redacted
    assert "canary" not in redacted
    assert REDACTED in redacted


@pytest.mark.parametrize(("text", "secret"), PAIRS)
def test_a_secret_is_taken_out_by_the_name_before_it(text, secret) -> None:
    assert secret not in redact_text(text)


@pytest.mark.parametrize(
    "text",
    [
        "invoice approved",
        "0199a5c4-7b1e-7c3e-9b6e-9e0d6a8f1a2b",
        "de89a5c4-7b1e-7c3e-9b6e-9e0d6a8f1a2b",
        "listening on http://127.0.0.1:8080/docs",
        "1764028800000",  # an instant in milliseconds
        "4111111111111112",  # Luhn does not hold
        "DE88370400440532013000",  # mod 97 does not hold
        "2026-11-24T23:22:01.123456Z",
        "token expired",
        "api_key:0199a5c4-7b1e-7c3e-9b6e-9e0d6a8f1a2b",
        "basic validation failed",
        "INV-2026-000123 over 1.234.567,89 EUR",
        "select invoice_id, total from invoices where organization_id = $1",
    ],
)
def test_what_is_no_secret_stays(text) -> None:
    assert redact_text(text) == text


def test_text_around_a_secret_stays() -> None:
    text = "pay DE89 3704 0044 0532 0130 00 EUR 5 then GB29NWBK60161331926819."
    assert redact_text(text) == f"pay {REDACTED} EUR 5 then {REDACTED}."


def test_long_text_is_cut_and_no_half_secret_shows_at_the_cut() -> None:
    for shift in range(0, 60, 3):
        text = "x" * (TEXT_LIMIT - 30 + shift) + f" {SECRETS['jwt']} " + "y" * 2_000
        redacted = redact_text(text)
        assert len(redacted) <= TEXT_LIMIT + 1
        assert "eyJhbGci" not in redacted


def test_broken_unicode_becomes_valid() -> None:
    assert json.dumps(redact_text("a\ud800b").encode().decode()) == '"a\\\\ud800b"'


@pytest.mark.parametrize(
    "key",
    ["password", "newPassword", "Authorization", "x-api-key", "access_token", "client_secret"],
)
def test_whatever_stands_under_a_secret_key_is_taken_out(key) -> None:
    for value in ("short", 1234, ["a"], {"b": "c"}, b"bytes"):
        assert redact(key, value) == REDACTED


@pytest.mark.parametrize(
    ("key", "value"),
    [("api_key_id", "a"), ("input_tokens", 812), ("token_type", "at+jwt"), ("secret", None)],
)
def test_harmless_values_under_such_keys_stay(key, value) -> None:
    assert redact(key, value) == value


def test_values_become_json_able_and_bounded() -> None:
    value = {
        "a": (1, Decimal("1.50")),
        "b": b"123",
        3: {"password": "x"},
        "t": datetime(2026, 1, 1, tzinfo=UTC),
    }
    assert redact("value", value) == {
        "a": [1, "1.50"],
        "b": "<3 bytes>",
        "3": {"password": REDACTED},
        "t": datetime(2026, 1, 1, tzinfo=UTC),
    }
    nested: list[object] = []
    nested.append(nested)
    assert "…" in str(redact("endless", nested))
    assert len(redact("many", list(range(1_000)))) == 100
    assert redact("card", 4111111111111111) == REDACTED
    assert redact("big", 2**80) == str(2**80)


@pytest.mark.parametrize(
    "text",
    ["password" * 1_000, '"' * 8_000, "\\" * 8_000, "token=" + '"\\' * 4_000, "4 " * 4_000,
     "DE89 " * 1_600, "a@" * 4_000, "ey" * 4_000, "-----BEGIN PRIVATE KEY-----" * 300, "a." * 4_000,
     "a+" * 4_000, "x://" * 2_000, "secret_" * 1_100, "iban " * 1_600],
)  # fmt: skip
def test_hostile_text_takes_no_long_time(text) -> None:
    begin = time.perf_counter()
    redact_text(text)
    assert time.perf_counter() - begin < 0.5
