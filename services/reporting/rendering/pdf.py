"""A report as PDF: A4, a head on every page, figures in columns of equal digits."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import font_source_sans_pro  # type: ignore[import-untyped]
from auditron.reporting.v1.reporting_pb2 import ReportTable
from fpdf import FPDF
from fpdf.enums import XPos, YPos

from .wording import amounts_in, period, printable

_FONTS = Path(font_source_sans_pro.__file__).parent / "files"
_FONT = "Source Sans"
_MARGIN, _FOOT = 16.0, 18.0  # mm
_LINE, _MORE = 5.6, 4.2  # mm: a row of one line, and each further line
_PAD, _GAP = 1.6, 4.0  # mm: around headings and totals, between columns
_SIZE, _SIZE_MIN = 9.0, 6.0  # pt
_LABEL_MIN = 45.0  # mm
_DARK, _TEXT, _MUTED = (31, 56, 100), (33, 37, 41), (120, 126, 136)
_BAND, _RULE, _HAIR, _NEGATIVE = (238, 242, 248), (112, 130, 165), (222, 226, 232), (176, 20, 40)
_UNKNOWN = "\N{LOZENGE}"
_DETAIL, _HEADING, _TOTAL = (
    ReportTable.Row.KIND_DETAIL,
    ReportTable.Row.KIND_HEADING,
    ReportTable.Row.KIND_TOTAL,
)


def write(table: ReportTable) -> bytes:
    """Return the file."""
    sheet = Sheet(table)
    sheet.add_page()
    for number, row in enumerate(table.rows):
        sheet.add_row(row, kept_with(table.rows[number + 1 : number + 3], row))
    return bytes(sheet.output())


class Sheet(FPDF):
    """The pages of one table."""

    def __init__(self, table: ReportTable) -> None:
        """Choose orientation, size of type and widths so that every figure has its place."""
        super().__init__("landscape" if len(table.columns) > 4 else "portrait", "mm", "A4")
        self.made = table
        for style, name in (("", "Regular"), ("B", "Semibold")):
            self.add_font(_FONT, style, _FONTS / f"SourceSansPro-{name}.ttf")
        self.set_margins(_MARGIN, _MARGIN)
        self.set_auto_page_break(auto=False)
        self.set_title(printable(table.title))
        self.set_author(printable(table.organization_name))
        self.set_creator("AUDITRON")
        self.set_lang("en")
        self.set_creation_date(datetime.now(UTC))
        self._known = frozenset(self.fonts[_FONT.lower()].cmap)  # type: ignore[union-attr]
        self._codes = max((row.account_code for row in table.rows), key=len, default="")
        self._size = _SIZE
        self._fit()

    def header(self) -> None:
        """Draw the head: whole on the first page, in one line on the others, and column names."""
        table, wide = self.made, self.epw
        self._style("B", 10, _DARK)
        self._line(self._shown(table.organization_name), wide, 5)
        if self.page_no() == 1:
            self._style("B", 20, _DARK)
            self._line(table.title, wide, 10)
            self._style("", 11, _TEXT)
            self._line(period(table), wide, 6)
            self._style("", 8.5, _MUTED)
            self._line(amounts_in(table), wide, 5)
        else:
            self._style("", 9, _MUTED)
            self._line(f"{self._running_title()}, in {table.currency_code}", wide, 5)
        self.ln(3)
        self._column_names()

    def footer(self) -> None:
        """Draw the page's number."""
        self.set_y(-_FOOT + 4)
        self._style("", 8, _MUTED)
        self.cell(self.epw - 19, 5, self._running_title())
        # Left-aligned: the number of pages is filled in later and has another width than its sign.
        self.cell(19, 5, f"Page {self.page_no()} of {{nb}}")

    def add_row(self, row: ReportTable.Row, kept: float) -> None:
        """Draw a row, on a new page if it and so many mm below it do not fit."""
        style = "" if row.kind == _DETAIL else "B"
        self._style(style, self._size, _TEXT)
        labels = self._wrapped(self._shown(row.label), self._label_width(row))
        height = _LINE + _MORE * (len(labels) - 1) + (_PAD if row.kind != _DETAIL else 0)
        if self.get_y() + height + kept > self.h - _FOOT:
            self.add_page()
            self._style(style, self._size, _TEXT)
        top = self.get_y() + (_PAD if row.kind == _HEADING else 0)
        self.set_y(top)
        self._background(row, top, height)
        pad = _PAD / 2 if row.kind != _DETAIL else 0
        self._names(row, labels, top + pad)
        for number, amount in enumerate(row.amounts):
            self._amount(amount, number, top + pad)
        self.set_xy(self.l_margin, top + height)

    def _names(self, row: ReportTable.Row, labels: Sequence[str], top: float) -> None:
        self.set_xy(self.l_margin, top)
        if row.kind == _DETAIL and self._codes:
            self._style("", self._size, _MUTED)
            self.cell(self._code_width, _LINE, self._shown(row.account_code))
            self._style("", self._size, _TEXT)
        left = self.get_x()
        for label in labels:
            self.set_x(left)
            self.cell(self._label_width(row), _LINE, label)
            self.set_y(self.get_y() + _MORE)

    def _amount(self, amount: str, number: int, top: float) -> None:
        if not amount:
            return
        is_zero = not amount.strip("-0.")
        color = _NEGATIVE if amount.startswith("-") else _MUTED if is_zero else _TEXT
        self.set_text_color(*color)
        left = self.w - self.r_margin - sum(self._widths[number:])
        self.set_xy(left, top)
        self.cell(self._widths[number], _LINE, figure(amount), align="R")

    def _background(self, row: ReportTable.Row, top: float, height: float) -> None:
        right = self.w - self.r_margin
        self.set_draw_color(*(_HAIR if row.kind == _DETAIL else _RULE))
        if row.kind == _HEADING:
            self.set_fill_color(*_BAND)
            self.rect(self.l_margin, top, self.epw, height, style="F")
        elif row.kind == _DETAIL:
            self.set_line_width(0.1)
            self.line(self.l_margin, top + height, right, top + height)
        else:
            self.set_line_width(0.3)
            self.line(self.l_margin, top, right, top)

    def _column_names(self) -> None:
        """Draw the names of the columns on a dark band, each in as many lines as it needs."""
        self._style("B", self._size, (255, 255, 255))
        names = [
            self._wrapped(self._shown(name), width - _GAP / 2)
            for name, width in zip(self.made.columns, self._widths, strict=True)
        ]
        lines = max((len(name) for name in names), default=1)
        top, height = self.get_y(), lines * 4.4 + 2
        self.set_fill_color(*_DARK)
        self.rect(self.l_margin, top, self.epw, height, style="F")
        left = self.w - self.r_margin - sum(self._widths)
        for name, width in zip(names, self._widths, strict=True):
            for number, line in enumerate(name):
                self.set_xy(left, top + 1 + (lines - len(name) + number) * 4.4)
                self.cell(width, 4.4, line, align="R")
            left += width
        self.set_xy(self.l_margin, top + 1 + (lines - 1) * 4.4)
        if self._codes:
            self.cell(self._code_width, 4.4, "Account")
        self.cell(_LABEL_MIN, 4.4, "Name")
        self.set_xy(self.l_margin, top + height + 1)

    def _fit(self) -> None:
        """Take smaller type until the widest figures leave room for names."""
        while True:
            self._style("B", self._size, _TEXT)
            self.c_margin = 0.8
            self._code_width = self.get_string_width(self._codes) + _GAP if self._codes else 0.0
            if self._codes:
                self._code_width = max(self._code_width, self.get_string_width("Account") + _GAP)
            self._widths = [self._width(number) for number in range(len(self.made.columns))]
            self._names_width = self.epw - sum(self._widths) - self._code_width
            if self._names_width >= _LABEL_MIN or self._size <= _SIZE_MIN:
                return
            self._size -= 0.5

    def _width(self, column: int) -> float:
        """Return the width that a column's longest figure and the words of its name need."""
        figures = [figure(row.amounts[column]) for row in self.made.rows if row.amounts]
        words = self.made.columns[column].split()
        longest = [max(figures, key=len, default=""), max(words, key=len, default="")]
        return max(24.0, *(self.get_string_width(text) + _GAP for text in longest))

    def _label_width(self, row: ReportTable.Row) -> float:
        if row.kind == _DETAIL:
            return float(self._names_width)
        return float(self._names_width + self._code_width)

    def _wrapped(self, text: str, width: float) -> list[str]:
        """Break text at blanks, and words that are too long anywhere."""
        room = width - 2 * self.c_margin
        if self.get_string_width(text) <= room:
            return [text]
        lines, left = [], text.split()
        while left:
            line = left.pop(0)
            while left and self.get_string_width(f"{line} {left[0]}") <= room:
                line = f"{line} {left.pop(0)}"
            fits = line
            while self.get_string_width(fits) > room and len(fits) > 1:
                fits = fits[:-1]
            if fits != line:
                left.insert(0, line.removeprefix(fits))
            lines.append(fits)
        return lines

    def _shown(self, text: str) -> str:
        """Return the text with a sign in place of what the fonts cannot show."""
        return "".join(c if ord(c) in self._known else _UNKNOWN for c in printable(text))

    def _running_title(self) -> str:
        days = period(self.made)
        return f"{self.made.title}, {days[0].lower()}{days[1:]}"

    def _line(self, text: str, width: float, height: float) -> None:
        self.cell(width, height, text, new_x=XPos.LMARGIN, new_y=YPos.NEXT)

    def _style(self, style: str, size: float, color: tuple[int, int, int]) -> None:
        self.set_font(_FONT, style, size)
        self.set_text_color(*color)


def kept_with(following: Sequence[ReportTable.Row], row: ReportTable.Row) -> float:
    """Return the mm below a row that belong on its page: a heading's first row, a total above."""
    if row.kind == _HEADING:
        return 2 * _LINE
    kept = 0.0
    for after in following:
        if after.kind != _TOTAL:
            break
        kept += _LINE + _PAD
    return kept


def figure(amount: str) -> str:
    """Return an amount as people read it: "1234.50" becomes "1,234.50"; "" stays."""
    if not amount:
        return ""
    whole, point, fraction = amount.lstrip("-").partition(".")
    sign = "\N{MINUS SIGN}" if amount.startswith("-") else ""
    return f"{sign}{int(whole):,}{point}{fraction}"
