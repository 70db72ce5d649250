"""Makes pictures of pages, as scanners and telephones do: askew, noisy, blurred, in shadow."""

import io
import random

import cv2
import numpy as np
import pypdfium2
from numpy.typing import NDArray
from PIL import Image

Picture = NDArray[np.uint8]


def rendered(pdf: bytes, dpi: int) -> list[Picture]:
    """Every page in shades of grey."""
    document = pypdfium2.PdfDocument(pdf)
    pages = [page.render(scale=dpi / 72, grayscale=True).to_numpy() for page in document]
    return [np.ascontiguousarray(page.reshape(page.shape[:2])) for page in pages]


def askew(picture: Picture, degrees: float, fill: int) -> Picture:
    """Turned by some degrees in its own frame."""
    height, width = picture.shape
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
    flags = cv2.INTER_CUBIC
    return cv2.warpAffine(picture, turn, (width, height), flags=flags, borderValue=fill)


def worn(picture: Picture, chance: random.Random, strength: float) -> Picture:
    """With blur, noise, less contrast and a shadow from one side; strength 1 is a good scanner."""
    height, width = picture.shape
    made = cv2.GaussianBlur(picture, (0, 0), chance.uniform(0.3, 0.7) * strength)
    shade = np.linspace(1, 1 - chance.uniform(0, 0.12) * strength, width, dtype=np.float32)
    if chance.random() < 0.5:
        shade = shade[::-1]
    ink = chance.uniform(10, 50) * strength
    noise = np.random.default_rng(chance.randint(0, 2**31)).normal(
        0, chance.uniform(2, 7) * strength, (height, width)
    )
    paper = chance.uniform(235, 255)
    levels = (ink + made.astype(np.float32) * (paper - ink) / 255) * shade + noise
    return np.clip(levels, 0, 255).astype(np.uint8)


def scanned(pdf: bytes, chance: random.Random) -> tuple[str, bytes]:
    """A document as a scanner gives it: the ending of its file, and its bytes."""
    dpi = chance.choice((150, 200, 200, 300))
    turn = chance.choice((0, 0, 0, 0, 0, 1, 2, 3))
    pages = []
    for page in rendered(pdf, dpi):
        straight = worn(askew(page, chance.uniform(-2, 2), 255), chance, 1)
        pages.append(Image.fromarray(np.rot90(straight, turn)))
    first, rest = pages[0], pages[1:]
    ending = chance.choice((".pdf", ".pdf", ".jpg", ".png")) if not rest else ".pdf"
    out = io.BytesIO()
    if ending == ".pdf":
        first.save(out, "PDF", save_all=True, append_images=rest, resolution=dpi, quality=80)
    elif ending == ".jpg":
        first.save(out, "JPEG", quality=chance.randint(60, 90), dpi=(dpi, dpi))
    else:
        first.save(out, "PNG", dpi=(dpi, dpi))
    return ending, out.getvalue()


def photographed(pdf: bytes, chance: random.Random) -> tuple[str, bytes]:
    """A strip of paper on a table, from a telephone held by hand: ending and bytes."""
    paper = rendered(pdf, chance.choice((150, 180, 220)))[0]
    height, width = paper.shape
    rim = width // 8
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    lean = width * 0.025
    shifts = [[chance.uniform(-lean, lean) for _ in "xy"] for _ in corners]
    moved = corners + rim + np.array(shifts, np.float32)
    turn = cv2.getPerspectiveTransform(corners, moved)
    size = (width + 2 * rim, height + 2 * rim)
    table = chance.randint(60, 160)
    laid = cv2.warpPerspective(paper, turn, size, flags=cv2.INTER_CUBIC, borderValue=table)
    laid = askew(laid, chance.uniform(-1.5, 1.5), table)
    out = io.BytesIO()
    image = Image.fromarray(worn(laid, chance, chance.uniform(1, 1.7)))
    image.save(out, "JPEG", quality=chance.randint(55, 85))
    return ".jpg", out.getvalue()


def rescanned(pdf: bytes, chance: random.Random) -> bytes:
    """A PDF of pictures of a PDF's pages: 200 dpi, up to 1.5 degrees askew, noisy."""
    pages = [
        Image.fromarray(worn(askew(page, chance.uniform(-1.5, 1.5), 255), chance, 1))
        for page in rendered(pdf, 200)
    ]
    out = io.BytesIO()
    pages[0].save(out, "PDF", save_all=True, append_images=pages[1:], resolution=200, quality=80)
    return out.getvalue()
