"""What somebody tries who should not get through: each a clear 4xx, never a 5xx, nothing stored."""

import asyncio
import base64
import io
import json
import zlib

import pytest

from tests.journeys.conftest import EXAMPLES

XXE = b"""<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>
<Invoice xmlns="urn:oasis:names:specification:ubl:schema:xsd:Invoice-2"><ID>&x;</ID></Invoice>"""
LAUGHS = b"""<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;">
<!ENTITY c "&b;&b;&b;&b;&b;&b;">]><a>&c;</a>"""


def png_of(side: int) -> bytes:
    """A small file of a huge picture."""
    header = side.to_bytes(4) * 2 + bytes([1, 0, 0, 0, 0])

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = zlib.crc32(kind + data).to_bytes(4)
        return len(data).to_bytes(4) + kind + data + check

    rows = zlib.compress(bytes((side // 8 + 1) * 100))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows)


HOSTILE = {
    "empty": b"",
    "text": b"just some words",
    "cut": (EXAMPLES / "01-paper-text.pdf").read_bytes()[:300],
    "zip": b"PK\x03\x04" + bytes(500),
    "xxe": XXE,
    "laughs": LAUGHS,
    "huge picture": png_of(60_000),
    "program": b"\x7fELF" + bytes(200),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_file_is_refused_and_not_kept(sign_up, name):
    person = await sign_up()
    answer = await person.call(
        "POST", "/v1/invoices:upload", params={"filename": "invoice.pdf"},
        content=HOSTILE[name], headers={"Content-Type": "application/pdf"},
    )  # fmt: skip
    assert 400 <= answer.status_code < 500, answer.text
    problem = answer.json()
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert problem["reason"].startswith("DOCUMENT_")
    assert "Traceback" not in answer.text
    assert not (await person.get("/v1/invoices")).get("invoices")


async def test_a_sound_file_that_is_no_invoice_ends_as_a_job_that_says_why(sign_up):
    person = await sign_up()
    note = io.BytesIO(b"<?xml version='1.0'?><note>no invoice</note>").getvalue()
    answer = await person.call(
        "POST", "/v1/invoices:upload", params={"filename": "note.xml"}, content=note,
        headers={"Content-Type": "application/xml"},
    )  # fmt: skip
    assert answer.status_code == 200, answer.text
    job = await person.until(
        f"/v1/jobs/{answer.json()['job_id']}", lambda job: job["state"] == "JOB_STATE_FAILED"
    )
    assert job["failure"]["message"]
    invoice = await person.until(
        f"/v1/invoices/{answer.json()['invoice_id']}", lambda found: "reading_failure" in found
    )
    assert invoice["state"] == "INVOICE_STATE_IN_REVIEW"


async def test_another_organizations_ids_are_as_unknown_as_random_ones(sign_up):
    owner, stranger = await sign_up(), await sign_up()
    answer = await owner.send("/v1/invoices:upload", EXAMPLES / "03-power-ubl.xml")
    invoice = answer.json()
    account = await owner.post(
        "/v1/bank_accounts", {"display_name": "Main", "currency_code": "EUR"}
    )
    paths = {
        f"/v1/invoices/{invoice['invoice_id']}": "INVOICE_NOT_FOUND",
        f"/v1/invoices/{invoice['invoice_id']}/document": "INVOICE_NOT_FOUND",
        f"/v1/bank_accounts/{account['bank_account_id']}": "BANK_ACCOUNT_NOT_FOUND",
        f"/v1/jobs/{invoice['job_id']}": "JOB_NOT_FOUND",
    }
    for path, reason in paths.items():
        refused = await stranger.call("GET", path)
        assert (refused.status_code, refused.json()["reason"]) == (404, reason), path
    assert not (await stranger.get("/v1/invoices")).get("invoices")


async def test_a_token_that_is_not_ours_is_refused(sign_up):
    person = await sign_up()
    head, body, signature = person.token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    claims["org"] = "00000000-0000-7000-8000-000000000000"
    forged = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    none = base64.urlsafe_b64encode(b'{"alg":"none","typ":"at+jwt"}').rstrip(b"=").decode()
    tokens = ["x", f"{head}.{forged}.{signature}", f"{none}.{body}.", f"{head}.{body}.AAAA"]
    for token in tokens:
        refused = await person.http.get(
            "/v1/invoices", headers={"Authorization": f"Bearer {token}"}
        )
        assert refused.status_code == 401, token
        assert refused.json()["reason"].startswith("TOKEN_")


async def test_after_logout_a_token_ends(sign_up):
    person = await sign_up()
    await person.post("/v1/logout")
    for _ in range(60):
        answer = await person.call("GET", "/v1/users/me")
        if answer.status_code == 401:
            return
        await asyncio.sleep(0.1)
    raise AssertionError("the token still works")


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"{", "application/json"),
        (b'{"no_such_field": 1}', "application/json"),
        (b'{"invoice_number": 7}', "application/json"),
        (b'{"gross": {"amount": "1e5", "currency_code": "EUR"}}', "application/json"),
        (b'{"gross": {"amount": "10", "currency_code": "EURO"}}', "application/json"),
        (b"[" * 5_000, "application/json"),
        (b'{"issue_date": {"year": 2026, "month": 13, "day": 1}}', "application/json"),
        (b"\xff\xfe", "application/json"),
        (b"a=b", "application/x-www-form-urlencoded"),
    ],
)
async def test_a_body_that_is_wrong_says_what_is_wrong(sign_up, body, kind):
    person = await sign_up()
    answer = await person.call("POST", "/v1/invoices", content=body, headers={"Content-Type": kind})
    assert answer.status_code in (400, 415), answer.text
    assert answer.json()["detail"]
    assert not (await person.get("/v1/invoices")).get("invoices")


async def test_the_same_request_twice_is_one(sign_up):
    person = await sign_up()
    headers = {"Idempotency-Key": "order-7-of-September"}
    body = {"invoice_number": "A-1", "supplier": {"display_name": "Paper Ltd"}}
    first = await person.post("/v1/invoices", body, headers=headers)
    assert await person.post("/v1/invoices", body, headers=headers) == first
    other = await person.call("POST", "/v1/invoices", json={"invoice_number": "B"}, headers=headers)
    assert (other.status_code, other.json()["reason"]) == (400, "REQUEST_ID_REUSED")


async def test_the_plans_documents_run_out(sign_up):
    person = await sign_up()
    await person.until("/v1/subscription", lambda found: found["plan_code"] == "free")
    ubl = (EXAMPLES / "04-power-ubl.xml").read_bytes()

    async def upload(number: int):
        content = ubl.replace(b"552020391", f"X{number}".encode())
        return await person.call(
            "POST", "/v1/invoices:upload", params={"filename": f"{number}.xml"}, content=content,
            headers={"Content-Type": "application/xml"},
        )  # fmt: skip

    statuses = [(await upload(number)).status_code for number in range(50)]
    assert statuses == [200] * 50
    refused = await upload(50)
    assert (refused.status_code, refused.json()["reason"]) == (429, "DOCUMENT_LIMIT_REACHED")
    usage = await person.until("/v1/usage", lambda found: found.get("document_count") == 50)
    assert usage["document_limit"] == 50
