"""The first pages of a document become pictures that a model can read, whatever they came as."""

import io

import numpy as np
import pytest
from fpdf import FPDF
from PIL import Image

from services.agent.reading import Unreadable
from services.agent.reading.pictures import PAGES_MAX, SIDE, pictures


def sheets(count: int, format_: str = "A4") -> bytes:
    pdf = FPDF(format=format_)
    for number in range(count):
        pdf.add_page()
        pdf.set_font("Helvetica", size=20)
        pdf.text(20, 30, f"Page {number + 1}")
    return bytes(pdf.output())


def saved(image: Image.Image, format_: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, format_, **options)
    return out.getvalue()


def opened(data: bytes) -> list[Image.Image]:
    found = [Image.open(io.BytesIO(each), formats=("PNG",)) for each in pictures(data)]
    assert all(max(each.size) <= SIDE and each.mode == "L" for each in found)
    return found


def test_at_most_the_first_pages_of_a_pdf_are_painted() -> None:
    assert len(pictures(sheets(1))) == 1
    found = opened(sheets(5))
    assert [max(each.size) for each in found] == [SIDE] * PAGES_MAX
    assert all(np.asarray(each).min() == 0 and np.asarray(each).max() == 255 for each in found)


def test_a_page_without_an_end_is_passed_over() -> None:
    endless = b"/MediaBox [0 0 %s.0 9]" % (b"9" * 60)
    assert len(opened(sheets(2).replace(b"/Parent", endless + b" /Parent", 1))) == 1


def test_a_photograph_is_set_upright_and_made_smaller() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    photograph = Image.new("RGB", (4000, 3000), "white")
    [found] = opened(saved(photograph, "JPEG", exif=exif))
    assert found.size == (1200, 1600)
    [small] = opened(saved(Image.new("RGBA", (300, 200)), "PNG"))
    assert small.size == (300, 200)


def test_a_picture_without_ground_is_set_on_white() -> None:
    [found] = opened(saved(Image.new("RGBA", (300, 200), (0, 0, 0, 0)), "PNG"))
    assert np.asarray(found).min() == 255


def test_the_pages_of_a_tiff_are_its_first_ones() -> None:
    first, *rest = (Image.new("L", (400, 600), grey) for grey in (0, 100, 200))
    found = opened(saved(first, "TIFF", save_all=True, append_images=rest))
    assert len(found) == PAGES_MAX


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"%PDF-1.7 nothing", "BROKEN"),
        (b"no picture", "BROKEN"),
        (saved(Image.new("L", (600, 600)), "PNG")[:90], "BROKEN"),
        (saved(Image.new("1", (9_000, 5_000)), "PNG"), "TOO_MANY_PIXELS"),
    ],
)
def test_what_cannot_be_painted_has_a_reason(data: bytes, reason: str) -> None:
    with pytest.raises(Unreadable) as caught:
        pictures(data)
    assert str(caught.value).startswith(reason)
