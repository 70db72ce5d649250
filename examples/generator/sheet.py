"""A4 pages with a text layer to write on; everything in millimetres from the top left."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import font_source_sans_pro
from fpdf import FPDF

MADE = datetime(2026, 1, 1, tzinfo=UTC)
CORE = ("helvetica", "times", "courier")
SOURCE_STYLES = {"": "Regular", "B": "Semibold"}
LIGHT_STYLES = {"": "Light", "B": "Bold"}
MM_PER_POINT = 0.3528


@cache
def font_file(style: str) -> Path:
    """A font of the package font-source-sans-pro."""
    folder = Path(str(font_source_sans_pro.__file__)).parent / "files"
    return folder / f"SourceSansPro-{style}.ttf"


class Sheet:
    """Pages being written; left and right are the margins of what stands in the middle."""

    def __init__(
        self, font: str, size: float, paper: tuple[float, float] = (210, 297), margin: float = 20
    ) -> None:
        self.pdf = FPDF(format=paper)
        self.pdf.set_creation_date(MADE)
        self.pdf.set_auto_page_break(False)
        self.pdf.core_fonts_encoding = "cp1252"
        self.font, self.size = font, size
        if font not in CORE:
            styles = LIGHT_STYLES if font == "light" else SOURCE_STYLES
            for style, name in styles.items():
                self.pdf.add_font(font, style, font_file(name))
        self.left, self.right = margin, paper[0] - margin
        self.y = margin
        self.pdf.add_page()

    @property
    def step(self) -> float:
        """From one line of text to the next."""
        return self.size * MM_PER_POINT * 1.3

    def put(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: float = 0,
        bold: bool = False,
        anchor: str = "left",
        grey: int = 0,
    ) -> float:
        """Write a text on the baseline y and return its width; anchor is left, right or centre."""
        self.pdf.set_font(self.font, "B" if bold else "", size or self.size)
        self.pdf.set_text_color(grey)
        width = self.pdf.get_string_width(text)
        start = {"left": x, "right": x - width, "centre": x - width / 2}[anchor]
        self.pdf.text(start, y, text)
        return width

    def stack(
        self,
        x: float,
        y: float,
        texts: Sequence[str],
        *,
        size: float = 0,
        bold_first: bool = False,
        anchor: str = "left",
        grey: int = 0,
    ) -> float:
        """Write texts one below the other; the baseline after the last."""
        for index, text in enumerate(texts):
            is_bold = bold_first and index == 0
            self.put(x, y, text, size=size, bold=is_bold, anchor=anchor, grey=grey)
            y += (size or self.size) * MM_PER_POINT * 1.3
        return y

    def wrapped(self, text: str, width: float, size: float = 0) -> list[str]:
        """A text in lines that are no wider."""
        self.pdf.set_font(self.font, "", size or self.size)
        lines, line = [], ""
        for word in text.split():
            longer = f"{line} {word}".strip()
            if line and self.pdf.get_string_width(longer) > width:
                lines.append(line)
                longer = word
            line = longer
        return [*lines, line]

    def rule(self, x0: float, y: float, x1: float, thickness: float = 0.2) -> None:
        """A horizontal line."""
        self.pdf.set_line_width(thickness)
        self.pdf.line(x0, y, x1, y)

    def box(self, x: float, y: float, width: float, height: float, fill: int | None = None) -> None:
        """A frame, or an area of a shade of grey."""
        self.pdf.set_line_width(0.2)
        if fill is not None:
            self.pdf.set_fill_color(fill)
        self.pdf.rect(x, y, width, height, style="D" if fill is None else "F")
