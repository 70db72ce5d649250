"""A report as an Excel workbook of one sheet, with numbers as numbers."""

import io
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any

from auditron.reporting.v1.reporting_pb2 import ReportTable
from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.styles import Alignment, Border, Font, PatternFill, Side
from openpyxl.utils import get_column_letter

from .wording import amounts_in, period, printable

A4 = 9  # as the file format counts paper
HEAD_LINES = 6  # organization, title, days, currency, an empty one, the column names
TITLE_LINE, TITLE_HEIGHT, TITLE_SIZE = 2, 27, 18  # height and size in points
LABEL_WIDTH, AMOUNT_WIDTH, CODE_WIDTH = (24, 70), (14, 40), 11

_DARK, _BAND, _LINE = "1F3864", "EEF2F8", "8EA0BF"
_PLAIN, _BOLD = Font(name="Calibri", size=11), Font(name="Calibri", size=11, bold=True)
_HEADED = Font(name="Calibri", size=11, bold=True, color="FFFFFF")
_FILLED = PatternFill("solid", fgColor=_DARK)
_BANDED = PatternFill("solid", fgColor=_BAND)
_RULED = Border(top=Side("thin", color=_LINE), bottom=Side("thin", color=_LINE))
_RIGHT = Alignment(horizontal="right", vertical="center", wrap_text=True)
_LEFT = Alignment(horizontal="left", vertical="center")


def write(table: ReportTable) -> bytes:
    """Return the file."""
    book = Workbook(write_only=True)
    book.properties.title, book.properties.creator = printable(table.title), "AUDITRON"
    sheet = book.create_sheet(table.title[:31] or "Report")
    with_codes = any(row.account_code for row in table.rows)
    first = 2 if with_codes else 1
    widths = _widths(table, with_codes=with_codes)
    for number, width in enumerate(widths, 1):
        sheet.column_dimensions[get_column_letter(number)].width = width
    sheet.freeze_panes = f"{get_column_letter(first + 1)}{HEAD_LINES + 1}"
    sheet.row_dimensions[TITLE_LINE].height = TITLE_HEIGHT  # no program finds it when it opens one
    sheet.print_title_rows = f"{HEAD_LINES}:{HEAD_LINES}"
    sheet.page_setup.orientation = "landscape" if len(table.columns) > 4 else "portrait"
    sheet.page_setup.paperSize = A4
    sheet.page_setup.fitToHeight = 0
    sheet.sheet_properties.pageSetUpPr.fitToPage = True
    sheet.oddFooter.right.text = "Page &P of &N"
    sheet.sheet_view.showGridLines = False
    for line in _lines(sheet, table, with_codes=with_codes):
        sheet.append(line)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def _lines(sheet: Any, table: ReportTable, *, with_codes: bool) -> Iterator[list[Any]]:
    yield [_text(sheet, table.organization_name, _PLAIN)]
    yield [_text(sheet, table.title, Font(name="Calibri", size=TITLE_SIZE, bold=True, color=_DARK))]
    yield [_text(sheet, period(table), _PLAIN)]
    yield [_text(sheet, amounts_in(table), Font(name="Calibri", size=9, color="6B7280"))]
    yield []
    heads = ["Account", "Name"] if with_codes else ["Name"]
    yield [
        *_styled([_text(sheet, head, _HEADED) for head in heads], _LEFT, _FILLED),
        *_styled([_text(sheet, head, _HEADED) for head in table.columns], _RIGHT, _FILLED),
    ]
    number_format = _number_format(table)
    for row in table.rows:
        is_detail = row.kind == ReportTable.Row.KIND_DETAIL
        font = _PLAIN if is_detail else _BOLD
        cells = [_text(sheet, row.account_code, font)] if with_codes else []
        cells.append(_text(sheet, row.label, font))
        for amount in row.amounts or [""] * len(table.columns):
            number: Any = Decimal(amount) if amount else None
            cell = WriteOnlyCell(sheet, value=number)
            cell.font, cell.number_format = font, number_format
            cells.append(cell)
        if row.kind == ReportTable.Row.KIND_HEADING:
            _styled(cells, _LEFT, _BANDED)
        if row.kind == ReportTable.Row.KIND_TOTAL:
            for cell in cells:
                cell.border = _RULED
        yield cells


def _text(sheet: Any, text: str, font: Font) -> Any:
    """Return a cell of text: also what begins as a formula is text, now and when it is edited."""
    cell = WriteOnlyCell(sheet, value="")
    cell.value = printable(text)
    cell.data_type = "s"
    cell.quotePrefix = True
    cell.font = font
    return cell


def _styled(cells: Iterable[Any], alignment: Alignment, fill: PatternFill) -> list[Any]:
    made = list(cells)
    for cell in made:
        cell.alignment, cell.fill = alignment, fill
    return made


def _number_format(table: ReportTable) -> str:
    digits = max((len(a.partition(".")[2]) for r in table.rows for a in r.amounts), default=2)
    plain = "#,##0" + (f".{'0' * digits}" if digits else "")
    return f"{plain};[Red]-{plain}"


def _widths(table: ReportTable, *, with_codes: bool) -> list[float]:
    """Return the columns' widths in characters."""
    labels = [len(row.label) + 2 for row in table.rows]
    made: list[float] = [CODE_WIDTH] if with_codes else []
    made.append(_within(LABEL_WIDTH, labels))
    for number, column in enumerate(table.columns):
        amounts = [len(row.amounts[number]) * 4 / 3 + 2 for row in table.rows if row.amounts]
        made.append(_within(AMOUNT_WIDTH, [*amounts, min(len(column) + 2, 20)]))
    return made


def _within(limits: tuple[float, float], wanted: Iterable[float]) -> float:
    return min(max([limits[0], *wanted]), limits[1])
