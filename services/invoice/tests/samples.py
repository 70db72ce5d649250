"""Documents for tests: whole, broken and hostile ones of every kind."""

import io
import zlib

from fpdf import FPDF
from PIL import Image


def pdf(text: str = "Invoice", pages: int = 1, password: str = "") -> bytes:
    """A PDF as a program makes it."""
    made = FPDF()
    made.set_font("helvetica", size=12)
    if password:
        made.set_encryption(owner_password=password, user_password=password)
    for page in range(pages):
        made.add_page()
        made.cell(text=f"{text}, page {page + 1}")
    return bytes(made.output())


def raw_pdf(content: bytes, filters: str = "", extra: bytes = b"") -> bytes:
    """A PDF of one page with this content stream, and another stream that no page shows."""
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R >>",
        _stream(content, filters),
        _stream(extra, ""),
    ]
    out = io.BytesIO()
    out.write(b"%PDF-1.7\n")
    places = []
    for number, each in enumerate(objects, 1):
        places.append(out.tell())
        out.write(b"%d 0 obj\n%s\nendobj\n" % (number, each))
    start = out.tell()
    out.write(b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1))
    out.write(b"".join(b"%010d 00000 n \n" % place for place in places))
    out.write(b"trailer << /Size %d /Root 1 0 R >>\n" % (len(objects) + 1))
    out.write(b"startxref\n%d\n%%%%EOF\n" % start)
    return out.getvalue()


def deflated(chunk: bytes, times: int) -> bytes:
    """The chunk so many times, as Flate packs it, made without packing it so many times."""
    packer = zlib.compressobj(9, wbits=-15)
    block = packer.compress(chunk) + packer.flush(zlib.Z_FULL_FLUSH)
    checksum = 1
    for _ in range(times):
        checksum = zlib.adler32(chunk, checksum)
    return b"\x78\xda" + block * times + b"\x03\0" + checksum.to_bytes(4, "big")


def flate_bomb() -> bytes:
    """Some kB that become 1 GB: Flate within Flate."""
    return raw_pdf(
        zlib.compress(deflated(b"q Q " * 250_000, 1_000), 9), "[/FlateDecode /FlateDecode]"
    )


def operator_bomb() -> bytes:
    """A small page of a hundred million operators."""
    return raw_pdf(deflated(b"0 0 m 9 9 l S " * 70_000, 100), "/FlateDecode")


def image(kind: str, size: tuple[int, int] = (60, 40), frames: int = 1, mode: str = "RGB") -> bytes:
    """A picture of noise-free stripes."""
    picture = Image.new(mode, size, 1)
    more = [picture] * (frames - 1)
    out = io.BytesIO()
    if kind == "TIFF":
        picture.save(out, kind, save_all=True, append_images=more, compression="tiff_deflate")
    else:
        picture.save(out, kind)
    return out.getvalue()


def huge_png() -> bytes:
    """100 megapixels in some kB."""
    return image("PNG", (10_000, 10_000), mode="1")


UBL = b"""<?xml version="1.0" encoding="UTF-8"?>
<Invoice xmlns="urn:oasis:names:specification:ubl:schema:xsd:Invoice-2"><ID>7</ID></Invoice>"""
XXE = b"""<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>"""
LAUGHS = (
    b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a0 "ha">'
    + b"".join(
        b'<!ENTITY a%d "%s">' % (depth, b"&a%d;" % (depth - 1) * 10) for depth in range(1, 12)
    )
    + b"]><a>&a11;</a>"
)
DEEP = b"<a>" * 100_000 + b"</a>" * 100_000


def _stream(data: bytes, filters: str) -> bytes:
    named = f"/Filter {filters} " if filters else ""
    return b"<< %s/Length %d >>\nstream\n%s\nendstream" % (named.encode(), len(data), data)
