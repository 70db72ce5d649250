import io

import pytest

from libs.sandbox import Sandbox, SandboxKilled
from services.invoice.app import CHECKING, CHECKING_LIMITS
from services.invoice.checking import inspect
from services.invoice.tests import samples

WHOLE = {
    "application/pdf": [samples.pdf(), samples.pdf(pages=200), samples.raw_pdf(b"q Q")],
    "image/png": [samples.image("PNG"), samples.image("PNG", (8_000, 5_000), mode="1")],
    "image/jpeg": [samples.image("JPEG"), samples.image("JPEG", (8_000, 5_000))],
    "image/tiff": [samples.image("TIFF"), samples.image("TIFF", frames=3)],
    "application/xml": [
        samples.UBL,
        b"\xef\xbb\xbf\n<a/>",
        '<?xml version="1.0" encoding="UTF-16"?><a>ü</a>'.encode("utf-16"),
        b'<?xml version="1.0" encoding="windows-1252"?><a>\xfc</a>',
        b"<a>" * 200 + b"</a>" * 200,
    ],
}
WRONG = {
    "TYPE_UNSUPPORTED": {
        "text": b"just text",
        "zip": b"PK\3\4" + bytes(100),
        "gif": b"GIF89a" + bytes(100),
        "blank": b"   \n",
        "web page": b"<!DOCTYPE html><html><body/></html>",
        "xhtml": b"<?xml version='1.0'?><html xmlns='http://www.w3.org/1999/xhtml'/>",
    },
    "ENCRYPTED": {"pdf": samples.pdf(password="secret")},
    "BROKEN": {
        "pdf cut": samples.pdf()[:400],
        "pdf in name": b"%PDF-1.7\n" + bytes(1_000),
        "png cut": samples.image("PNG", (600, 400))[:-40],
        "png head": samples.image("PNG")[:20],
        "jpeg cut": samples.image("JPEG", (600, 400))[:-300],
        "jpeg head": b"\xff\xd8\xff\xe0",
        "tiff cut": samples.image("TIFF", (600, 400))[:200],
        "tiff loop": b"II*\0\x08\0\0\0\0\0\x08\0\0\0",
        "xml open": b"<a><b></b>",
        "xml mixed": b"<a></b>",
        "xml prefix": b"<x:a/>",
        "xml encoding": b'<?xml version="1.0" encoding="nonsense"?><a/>',
        "xml bytes": b"<a>\xff</a>",
    },
    "FORBIDDEN": {
        "201 pages": samples.pdf(pages=201),
        "201 frames": samples.image("TIFF", (8, 8), frames=201),
        "100 megapixels": samples.huge_png(),
        "external entity": samples.XXE,
        "billion laughs": samples.LAUGHS,
        "deep": samples.DEEP,
        "external doctype": b'<!DOCTYPE a SYSTEM "http://192.0.2.1/a.dtd"><a/>',
    },
}


@pytest.mark.parametrize(
    ("content_type", "data"), [(name, data) for name, all_ in WHOLE.items() for data in all_]
)
def test_the_bytes_say_what_a_document_is(content_type: str, data: bytes) -> None:
    assert inspect(io.BytesIO(data)) == {"content_type": content_type}


@pytest.mark.parametrize(
    ("refusal", "name"), [(refusal, name) for refusal, all_ in WRONG.items() for name in all_]
)
def test_what_must_not_be_kept_is_refused_with_its_reason(refusal: str, name: str) -> None:
    found = inspect(io.BytesIO(WRONG[refusal][name]))
    assert found["refusal"] == refusal
    assert (
        found["explanation"].endswith((".", "required", "token")) or "XML" in found["explanation"]
    )


def test_any_cut_and_any_flipped_byte_is_answered() -> None:
    for kind in (samples.pdf(), samples.image("PNG"), samples.image("TIFF"), samples.UBL):
        for place in range(1, len(kind), max(1, len(kind) // 40)):
            flipped = kind[:place] + bytes([kind[place] ^ 0xFF]) + kind[place + 1 :]
            for data in (kind[:place], flipped):
                assert {"content_type", "refusal"} & inspect(io.BytesIO(data)).keys()


@pytest.fixture(scope="module")
async def sandbox() -> Sandbox:
    sandbox = Sandbox(CHECKING_LIMITS, preload=[CHECKING])
    await sandbox.start()
    yield sandbox
    await sandbox.close()


@pytest.mark.parametrize("bomb", [samples.flate_bomb, samples.operator_bomb])
async def test_a_bomb_goes_off_in_the_sandbox_alone(sandbox: Sandbox, bomb, tmp_path) -> None:
    path = tmp_path / "bomb"
    path.write_bytes(bomb())
    with pytest.raises(SandboxKilled) as killed:
        await sandbox.run(f"{CHECKING}:inspect", path)
    assert killed.value.reason in {"memory", "cpu"}
    path.write_bytes(samples.pdf())
    assert await sandbox.run(f"{CHECKING}:inspect", path) == {"content_type": "application/pdf"}
