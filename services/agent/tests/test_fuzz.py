"""Broken and mutated files: each is read or refused with a reason, and nothing hangs or dies."""

import asyncio
import io
import os
import random
from collections import Counter
from pathlib import Path

import fpdf
import pytest
from PIL import Image, ImageDraw, ImageFont

from libs.sandbox import MIB, Limits, Sandbox, SandboxError, SandboxKilled

READ = "services.agent.reading:read_document"
FILES = int(os.environ.get("FUZZ_FILES", "60"))
SEED = int(os.environ.get("FUZZ_SEED", "20"))
TEXT = (
    "Harbour Supplies Ltd", "1 Quay Street, Porttown", "INVOICE", "Invoice number: HS-2041",
    "Invoice date: 14/03/2025", "VAT number: GB123456789", "Description  Qty  Price  Amount",
    "Rope 10 mm  2  15.00  30.00", "Net total 30.00", "VAT 20% 6.00", "Total GBP 36.00",
)  # fmt: skip
UBL = """<?xml version="1.0"?>
<Invoice xmlns="urn:oasis:names:specification:ubl:schema:xsd:Invoice-2"
 xmlns:cac="urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2"
 xmlns:cbc="urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2">
 <cbc:ID>HS-2041</cbc:ID><cbc:IssueDate>2025-03-14</cbc:IssueDate>
 <cbc:DocumentCurrencyCode>EUR</cbc:DocumentCurrencyCode>
 <cac:LegalMonetaryTotal><cbc:TaxExclusiveAmount currencyID="EUR">30</cbc:TaxExclusiveAmount>
 <cbc:TaxInclusiveAmount currencyID="EUR">36</cbc:TaxInclusiveAmount>
 <cbc:PayableAmount currencyID="EUR">36</cbc:PayableAmount></cac:LegalMonetaryTotal></Invoice>"""


def _pdf(attachment: str = "") -> bytes:
    pdf = fpdf.FPDF()
    for _ in range(2):
        pdf.add_page()
        pdf.set_font("helvetica", size=11)
        for line in TEXT:
            pdf.cell(0, 8, line, new_x="LMARGIN", new_y="NEXT")
    if attachment:
        pdf.embed_file(basename="factur-x.xml", bytes=attachment.encode())
    return bytes(pdf.output())


def _picture(kind: str) -> bytes:
    picture = Image.new("RGB", (360, 250), "white")
    pen = ImageDraw.Draw(picture)
    for row, line in enumerate(TEXT):
        pen.text((12, 8 + 21 * row), line, fill="black", font=ImageFont.load_default(16))
    out = io.BytesIO()
    picture.save(out, kind, **({"compression": "tiff_lzw"} if kind == "TIFF" else {}))
    return out.getvalue()


def _mutated(data: bytes, chance: random.Random) -> bytes:
    """Return a file cut off, or with bytes changed, blanked, doubled, swapped or put in."""
    if chance.random() < 0.25:
        return data[: chance.randrange(len(data))]
    made = bytearray(data)
    for _ in range(chance.choice((1, 3, 20, 200))):
        at = chance.randrange(len(made))
        size = chance.randrange(1, 64)
        match chance.randrange(5):
            case 0:
                made[at] = chance.randrange(256)
            case 1:
                made[at : at + size] = bytes(len(made[at : at + size]))
            case 2:
                made[at:at] = made[at : at + size]
            case 3:
                made[at:at] = chance.choice((b"<" * 40, b"9" * 40, b"\xff" * 9, b" obj << >> "))
            case _:
                del made[at : at + size]
        if not made:
            break
    return bytes(made)


@pytest.fixture
async def readers():
    limits = Limits(memory_bytes=2048 * MIB, cpu_s=60, wall_s=120)
    sandbox = Sandbox(limits, workers=2, preload=["services.agent.reading.ocr_loaded"])
    yield sandbox
    await sandbox.close()


async def _outcome(sandbox: Sandbox, path: Path, data: bytes) -> str:
    path.write_bytes(data)
    try:
        answer = await sandbox.run(READ, path, "", {})
    except SandboxKilled as killed:
        return f"killed: {killed.reason}"
    except SandboxError as error:
        return error.kind if error.kind == "Unreadable" else f"{error.kind}: {error.message}"
    finally:
        path.unlink()
    return "read" if answer["fields"] else "nothing"


async def test_mutated_files_are_read_or_refused_and_the_parent_lives_on(readers, tmp_path):
    pictures = [_picture(kind) for kind in ("PNG", "JPEG", "TIFF")]
    texts = [_pdf(), _pdf(UBL), UBL.encode()]
    seeds = [*texts, *texts, *pictures]
    chance = random.Random(SEED)
    cases = [_mutated(seeds[n % len(seeds)], chance) for n in range(FILES)]
    seen: Counter[str] = Counter()
    for start in range(0, len(cases), 50):
        batch = cases[start : start + 50]
        seen.update(
            await asyncio.gather(
                *(_outcome(readers, tmp_path / f"{n}", data) for n, data in enumerate(batch))
            )
        )
    assert set(seen) <= {"read", "Unreadable"}, seen
    assert min(seen.values()) > FILES / 10  # the files are broken in part and not all
    assert await readers.run(READ, _write(tmp_path / "whole", seeds[0]), "", {})


def _write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path
