"""Pictures of pages however they lie, several documents in a file, and folders of files."""

import io
import json
import os
import signal
from dataclasses import replace
from functools import cache
from pathlib import Path

import cv2
import fpdf
import numpy as np
import pypdfium2
import pytest
from PIL import Image

from services.agent.reading import folder, misread, ocr, read_document, scans, split
from services.agent.reading.folder import Options, planned, read_files
from services.agent.reading.words import open_pdf, pdf_pages

SELLER = ("Harbour Supplies Ltd", "1 Quay Street", "Porttown PT1 2AB", "VAT no: GB 980 7806 84")

EXAMPLES = Path(__file__).parents[3] / "examples"


def _sheet(pdf, number, date, total, *, counter=""):
    net = round(total / 1.2, 2)
    rows = [*SELLER, "", "INVOICE", f"Invoice number: {number}", f"Invoice date: {date}", ""]
    rows += ["Bill to", "Northern Bakeries Ltd", "4 Mill Lane, Leeds", ""]
    pdf.add_page()
    pdf.set_font("helvetica", size=12)
    for row in rows:
        pdf.cell(0, 7, row, new_x="LMARGIN", new_y="NEXT")
    for cells in (("Description", "Qty", "Price", "Amount"), ("Rope 10 mm", "1", net, net)):
        for width, cell in zip((90, 20, 30, 30), cells, strict=True):
            pdf.cell(width, 7, f"{cell:.2f}" if isinstance(cell, float) else cell)
        pdf.ln()
    for label, value in (("Net total", net), ("VAT 20%", total - net), ("Total GBP", total)):
        pdf.cell(140, 7, label)
        pdf.cell(30, 7, f"{value:.2f}", new_x="LMARGIN", new_y="NEXT")
    if counter:
        pdf.set_y(-20)
        pdf.cell(0, 7, counter)


def _terms(pdf, counter=""):
    pdf.add_page()
    pdf.set_font("helvetica", size=9)
    text = "These terms apply to each invoice. Goods stay ours until they are paid in full. " * 12
    pdf.multi_cell(0, 5, "General terms of sale\n" + text)
    if counter:
        pdf.set_y(-20)
        pdf.cell(0, 7, counter)


def _pdf(*sheets):
    pdf = fpdf.FPDF()
    pdf.set_auto_page_break(auto=False)
    for make, *args in sheets:
        make(pdf, *args)
    return bytes(pdf.output())


@cache
def _page():
    pdf = pypdfium2.PdfDocument(_pdf((_sheet, "HS-2041", "14/03/2025", 360.0)))
    return np.ascontiguousarray(pdf[0].render(scale=150 / 72).to_numpy()[:, :, :3])


def _turned(pixels, degrees):
    height, width = pixels.shape[:2]
    side = int(np.hypot(height, width))
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
    matrix[:, 2] += (side - width) / 2, (side - height) / 2
    return cv2.warpAffine(pixels, matrix, (side, side), borderValue=(255, 255, 255))


def _photographed(pixels):
    height, width = pixels.shape[:2]
    table = np.full((height + 400, width + 500, 3), (60, 80, 110), np.uint8)
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    seen = corners + np.array([[290, 170], [170, 240], [260, 150], [180, 200]], np.float32)
    size = (table.shape[1], table.shape[0])
    matrix = cv2.getPerspectiveTransform(corners, seen)
    cv2.warpPerspective(
        pixels, matrix, size, dst=table, borderMode=cv2.BORDER_TRANSPARENT, flags=cv2.INTER_AREA
    )
    shade = np.linspace(1.0, 0.5, size[0])[None, :, None]
    return (table * shade).astype(np.uint8)


def _file(picture, kind="PNG", **how):
    out = io.BytesIO()
    picture.save(out, kind, **how)
    return out.getvalue()


def _read(pixels):
    return read_document(_file(Image.fromarray(np.ascontiguousarray(pixels))))


def _is_right(answer):
    fields = answer["fields"]
    return (
        fields["invoice_number"]["value"] == "HS-2041"
        and fields["issue_date"]["value"] == "2025-03-14"
        and fields["gross"]["value"] == "360.00"
        and [line["amount"] for line in answer["lines"]] == ["300.00"]
    )


@pytest.mark.parametrize("degrees", [0, 12, 93, 178, 270])
def test_a_scan_is_read_whichever_way_it_lies(degrees):
    assert _is_right(_read(_turned(_page(), degrees)))


def test_a_photograph_is_read_and_its_boxes_stand_on_the_photograph():
    picture = _photographed(_page())
    answer = _read(picture)
    assert _is_right(answer)
    height, width = picture.shape[:2]
    x0, y0, x1, y1 = answer["fields"]["gross"]["box"]
    cut = picture[int(y0 * height) : int(y1 * height), int(x0 * width) : int(x1 * width)]
    assert "360.00" in "".join(p.text for p in scans.read(np.ascontiguousarray(cut)).pieces)


def test_faint_print_is_read():
    assert _is_right(_read((_page() * 0.2 + 160).astype(np.uint8)))


def test_pictures_of_other_kinds_are_read():
    plain = Image.fromarray(_page())
    deep = Image.fromarray(np.asarray(plain.convert("L"), np.uint16) * 257)
    turned = Image.Exif()
    turned[0x0112] = 6
    clear = plain.convert("RGBA")
    clear.putalpha(plain.convert("L").point(lambda grey: 255 - grey))
    files = [
        _file(plain.convert("CMYK"), "JPEG"),
        _file(deep),
        _file(plain.rotate(90, expand=True), "JPEG", exif=turned),
        _file(clear),
    ]
    assert [_is_right(read_document(file)) for file in files] == [True] * 4


def test_a_tiff_of_two_pages_is_one_document_or_two_as_the_pages_say():
    pdf = pypdfium2.PdfDocument(
        _pdf((_sheet, "HS-1", "01/02/2025", 120.0), (_sheet, "HS-2", "03/02/2025", 240.0))
    )
    first, second = (page.render(scale=150 / 72).to_pil().convert("L") for page in pdf)
    answer = read_document(_file(first, "TIFF", save_all=True, append_images=[second]))
    found = [document["fields"]["gross"]["value"] for document in answer["documents"]]
    assert found == ["120.00", "240.00"]
    assert answer["documents"][1]["fields"]["gross"]["page"] == 2


def test_a_long_strip_is_looked_at_in_parts_that_lose_and_repeat_nothing():
    pixels = np.full((4300, 540, 3), 255, np.uint8)
    for row in range(80):
        cv2.putText(pixels, f"ROW{row:03}", (40, 60 + 53 * row), 0, 1.2, (0, 0, 0), 3)
    texts = sorted(p.text for p in ocr.read(ocr.detect(pixels)))
    assert texts == [f"ROW{row:03}" for row in range(80)]


def test_an_amount_that_wide_letters_broke_is_one_word():
    corners = ((0.0, 0.0), (10.0, 0.0), (10.0, 20.0), (0.0, 20.0))
    whole = ocr.Piece("5", 0.9, 5, 10, 10, 20, 0.0, corners)
    moved = tuple((x + 14, y) for x, y in corners)
    cents = tuple((x + 32, y) for x, y in corners)
    line = [
        whole,
        replace(whole, text="3.", corners=moved),
        replace(whole, text="60", corners=cents),
    ]
    assert [p.text for p in ocr._amounts_whole(line)] == ["53.60"]
    apart = replace(whole, text="12", corners=tuple((x + 60, y) for x, y in corners))
    assert len(ocr._amounts_whole([whole, apart])) == 2


def _parts(data):
    return split.parts(list(pdf_pages(open_pdf(data))))


def test_documents_in_one_file_are_parted_and_each_is_read():
    data = _pdf(
        (_sheet, "HS-1", "01/02/2025", 120.0),
        (_terms,),
        (_sheet, "HS-2", "03/02/2025", 240.0),
        (_sheet, "HS-3", "04/02/2025", 60.0),
    )
    answer = read_document(data)
    assert answer["page_count"] == 4
    assert answer["warnings"] == ["MULTIPLE_DOCUMENTS:1-2,3-3,4-4"]
    spans = [(d["first_page"], d["last_page"]) for d in answer["documents"]]
    assert spans == [(1, 2), (3, 3), (4, 4)]
    numbers = [d["fields"]["invoice_number"]["value"] for d in answer["documents"]]
    assert numbers == ["HS-1", "HS-2", "HS-3"]
    assert answer["fields"]["gross"]["value"] == "120.00"


def test_a_heading_on_each_page_and_terms_part_nothing():
    data = _pdf(
        (_sheet, "HS-1", "01/02/2025", 120.0),
        (_sheet, "HS-1", "01/02/2025", 360.0),
        (_terms,),
    )
    assert _parts(data).warnings == []
    assert "documents" not in read_document(data)


def test_page_numbers_decide_where_they_are_printed():
    def numbered(pdf, number, counter):
        _sheet(pdf, number, "01/02/2025", 120.0, counter=counter)

    together = _pdf((numbered, "HS-1", "Page 1 of 2"), (numbered, "HS-7", "Page 2 of 2"))
    assert len(_parts(together).documents) == 1
    apart = _pdf((numbered, "HS-1", "Page 1 of 1"), (numbered, "HS-2", "Page 1 of 1"))
    assert len(_parts(apart).documents) == 2


def test_blank_and_repeated_pages_are_told_and_passed_over():
    data = _pdf(
        (_sheet, "HS-1", "01/02/2025", 120.0),
        (lambda pdf: pdf.add_page(),),
        (_sheet, "HS-1", "01/02/2025", 120.0),
    )
    answer = read_document(data)
    assert answer["warnings"] == ["BLANK_PAGE:2", "REPEATED_PAGE:3"]
    assert len(answer["lines"]) == 1


def test_a_folder_is_read_and_drawn_and_a_bad_file_stops_nothing(tmp_path):
    (tmp_path / "a.pdf").write_bytes(_pdf((_sheet, "HS-1", "01/02/2025", 120.0)))
    (tmp_path / "b.pdf").write_bytes(b"no document")
    out = tmp_path / "out"
    out.mkdir()
    files = sorted(tmp_path.glob("*.pdf"))
    told = dict(read_files(planned(files, page_only=False), Options(out, annotate=True)))
    assert told == {"a.pdf": "", "b.pdf": "UNSUPPORTED_TYPE"}
    answer = json.loads((out / "a.json").read_text())
    assert answer["gross"] == "120.00"
    assert answer["reading"]["fields"]["gross"]["box"]
    drawn = Image.open(out / "a.1.png").convert("RGB")
    assert (20, 80, 190) in {colour for _, colour in drawn.getcolors(1 << 24)}


def test_a_file_that_kills_its_process_stops_no_other(tmp_path):
    file = tmp_path / "a.pdf"
    file.write_bytes(_pdf((_sheet, "HS-1", "01/02/2025", 120.0)))
    worker = folder._Worker()
    options = Options(tmp_path)
    assert worker.read(folder.Read(file, "a"), options) == ("a.pdf", "")
    for pid in worker._pool._processes:
        os.kill(pid, signal.SIGKILL)
    assert worker.read(folder.Read(file, "a"), options) == ("a.pdf", "KILLED")
    assert json.loads((tmp_path / "a.json").read_text())["error"]["reason"] == "KILLED"
    assert worker.read(folder.Read(file, "a"), options) == ("a.pdf", "")
    worker.close()


def test_an_account_number_whose_zeros_ran_together_is_made_whole_by_its_check_digits():
    assert misread.whole_iban("DE021203000000202051") == "DE02120300000000202051"
    assert misread.whole_iban("DE02120300001000202051") is None


def test_an_e_invoice_beside_a_page_is_read_with_it_and_no_answer_takes_anothers_name(
    tmp_path: Path,
) -> None:
    page, data = EXAMPLES / "01-paper-text.pdf", EXAMPLES / "03-power-ubl.xml"
    for source, name in ((page, "a.pdf"), (data, "a.xml"), (page, "b.pdf")):
        (tmp_path / name).write_bytes(source.read_bytes())
    (tmp_path / "b.xml").write_text("<statement/>")
    files = list(tmp_path.glob("?.*"))
    out = tmp_path / "out"
    out.mkdir()
    told = dict(read_files(planned(files, page_only=False), Options(out)))
    assert told == {"a.pdf": "", "b.pdf": "", "b.xml": "NOT_AN_INVOICE"}
    read = {file.name: json.loads(file.read_text()) for file in out.iterdir()}
    assert set(read) == {"a.json", "b.json", "b.xml.json"}
    assert read["a.json"]["gross"] == "753.91"
    assert "PAGE_DISAGREES:gross" in read["a.json"]["reading"]["warnings"]
    names = {each.name for each in planned(files, page_only=True)}
    assert names == {"a", "a.xml", "b", "b.xml"}


def test_what_is_concluded_from_a_picture_is_of_its_source() -> None:
    answer = read_document((EXAMPLES / "07-cleaning-scan.pdf").read_bytes())
    assert {found["source"] for found in answer["fields"].values()} == {"OCR"}
    slip = read_document((EXAMPLES / "08-receipt.jpg").read_bytes())
    assert {found["source"] for found in slip["fields"].values()} == {"OCR"}
