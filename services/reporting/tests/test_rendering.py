"""The files: what they show, and what they keep from harming."""

import csv
import io
from decimal import Decimal

import openpyxl
import pypdfium2
import pytest
from auditron.reporting.v1.reporting_pb2 import ReportTable
from google.protobuf import json_format

from libs.sandbox import MIB, Limits, Sandbox
from services.reporting.rendering import __main__ as command
from services.reporting.rendering import write
from services.reporting.rendering.pdf import figure

EVIL = ["=cmd|' /C calc'!A0", "+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1"]


def table(rows: int = 3, columns: int = 6, amount: str = "-1234567.80") -> ReportTable:
    made = ReportTable(
        kind=4, title="Payables ageing", organization_name="Zażółć Αθήνα AŞ", currency_code="EUR",
        end_date={"year": 2026, "month": 3, "day": 31},
        columns=[f"Column {number}" for number in range(columns)],
    )  # fmt: skip
    made.rows.add(kind=ReportTable.Row.KIND_HEADING, label="Suppliers")
    for number in range(rows):
        made.rows.add(
            kind=ReportTable.Row.KIND_DETAIL,
            account_code=str(1000 + number),
            label=f"Łódź {number}",
            amounts=[amount] * columns,
        )
    made.rows.add(kind=ReportTable.Row.KIND_TOTAL, label="Total", amounts=["0.00"] * columns)
    return made


def file(made: ReportTable, file_format: str) -> bytes:
    return write(file_format, made.SerializeToString())["file"]


def pages(data: bytes) -> list[str]:
    document = pypdfium2.PdfDocument(data)
    return [page.get_textpage().get_text_bounded() for page in document]


def test_a_pdf_has_a_head_and_a_number_on_every_page():
    found = pages(file(table(rows=80), "PDF"))
    assert len(found) > 2
    for number, text in enumerate(found, 1):
        assert "Zażółć Αθήνα AŞ" in text
        assert "Payables ageing" in text
        assert "31 March 2026" in text
        assert "Column 5" in text
        assert f"Page {number} of {len(found)}" in text
    assert "\N{MINUS SIGN}1,234,567.80" in found[0]
    assert "Łódź 0" in found[0]
    assert "Łódź 79" in found[-1]
    assert "Total" in found[-1]


def test_a_pdf_does_not_leave_a_total_alone_on_a_page():
    for rows in range(21, 44):
        last = pages(file(table(rows=rows), "PDF"))[-1]
        assert "Łódź" in last, rows


@pytest.mark.parametrize("columns", [1, 4, 6])
def test_a_pdf_has_room_for_large_figures(columns):
    [text] = pages(file(table(columns=columns, amount="-123456789012345.67"), "PDF"))
    assert text.count("\N{MINUS SIGN}123,456,789,012,345.67") == 3 * columns


def test_what_the_fonts_lack_is_shown_as_missing():
    made = table()
    made.rows[1].label = "株式会社 \u0000\u202e x"
    assert "◊◊◊◊" in pages(file(made, "PDF"))[0]


def test_long_names_are_broken_into_lines():
    made = table(columns=1)
    made.rows[1].label = " ".join(["Przedsiębiorstwo"] * 12)
    made.rows[2].label = "x" * 200
    [text] = pages(file(made, "PDF"))
    assert text.count("Przedsiębiorstwo") == 12
    assert text.count("x") == 200


@pytest.mark.parametrize(
    ("amount", "shown"),
    [("", ""), ("0.00", "0.00"), ("1234.5", "1,234.5"), ("-0.01", "\N{MINUS SIGN}0.01"),
     ("1000000", "1,000,000"), ("999", "999")],
)  # fmt: skip
def test_figures_are_grouped_by_thousands(amount, shown):
    assert figure(amount) == shown


def test_a_workbook_has_numbers_as_numbers():
    sheet = openpyxl.load_workbook(io.BytesIO(file(table(), "XLSX"))).active
    assert sheet.row_dimensions[2].height > sheet["A2"].font.size * 1.2  # else it covers row 1
    assert [sheet["A1"].value, sheet["A2"].value] == ["Zażółć Αθήνα AŞ", "Payables ageing"]
    assert sheet["A3"].value == "As of 31 March 2026"
    assert [cell.value for cell in sheet[6]][:3] == ["Account", "Name", "Column 0"]
    assert Decimal(str(sheet["C8"].value)) == Decimal("-1234567.8")
    assert sheet["C8"].data_type == "n"
    assert sheet["C8"].number_format == "#,##0.00;[Red]-#,##0.00"
    assert sheet.freeze_panes == "C7"
    assert sheet["B11"].font.bold
    assert sheet["B7"].fill.fgColor.rgb.endswith("EEF2F8")
    assert sheet.column_dimensions["C"].width >= 14
    assert sheet["A8"].value == "1000"


def test_a_workbook_runs_no_text():
    made = table()
    made.organization_name = EVIL[0]
    made.columns[0] = EVIL[1]
    for row, text in zip(made.rows, EVIL[2:], strict=False):
        row.label = text
    data = file(made, "XLSX")
    cells = [cell for row in openpyxl.load_workbook(io.BytesIO(data)).active for cell in row]
    assert not [cell for cell in cells if cell.data_type == "f"]
    texts = [cell for cell in cells if isinstance(cell.value, str)]
    assert EVIL[0] in [cell.value for cell in texts]
    assert all(cell.quotePrefix for cell in texts)


def test_a_csv_is_as_rfc_4180_says_and_runs_no_text():
    made = table()
    made.rows[1].label = 'He said "1,5"'
    data = file(made, "CSV")
    assert data.startswith(b"\xef\xbb\xbfRow,Account,Name,Column 0 (EUR)")
    assert data.count(b"\r\n") == data.count(b"\n") == 6
    rows = list(csv.reader(io.StringIO(data.decode("utf-8-sig"))))
    assert rows[2][:4] == ["detail", "1000", 'He said "1,5"', "-1234567.80"]
    assert rows[1] == ["heading", "", "Suppliers", *[""] * 6]
    for text in EVIL:
        made.rows[1].label = text
        row = list(csv.reader(io.StringIO(file(made, "CSV").decode("utf-8-sig"))))[2]
        assert row[2].startswith("'")


@pytest.mark.parametrize("file_format", ["PDF", "XLSX", "CSV"])
def test_a_table_without_rows_is_a_file(file_format):
    made = table()
    del made.rows[:]
    assert file(made, file_format)


def test_a_row_that_does_not_fit_its_table_is_refused():
    made = table()
    made.rows[1].amounts.append("1")
    with pytest.raises(ValueError, match="other columns"):
        file(made, "CSV")


def test_the_command_writes_a_file(tmp_path, monkeypatch):
    source, out = tmp_path / "table.json", tmp_path / "table.pdf"
    source.write_text(json_format.MessageToJson(table()), encoding="utf-8")
    monkeypatch.setattr("sys.argv", ["rendering", str(source), str(out)])
    command.main()
    assert out.read_bytes().startswith(b"%PDF")


async def test_files_are_written_within_the_sandbox():
    sandbox = Sandbox(Limits(memory_bytes=1024 * MIB, cpu_s=20, wall_s=20))
    await sandbox.start()
    try:
        for file_format in ("PDF", "XLSX", "CSV"):
            answer = await sandbox.run(
                "services.reporting.rendering:write", file_format, table(500).SerializeToString()
            )
            assert len(answer["file"]) > 1000
    finally:
        await sandbox.close()
