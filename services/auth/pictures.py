"""Makes a small PNG of a picture that somebody sent; runs in a sandbox."""

import io

from PIL import Image, ImageOps

SIDE_MAX = 512
PIXELS_MAX = 40_000_000


def shrink(data: bytes) -> dict[str, bytes]:
    """{"png": bytes}: upright, at most 512 pixels a side, without metadata.

    Raises ValueError for what is no PNG or JPEG, or has more than 40 million pixels.
    """
    Image.MAX_IMAGE_PIXELS = PIXELS_MAX
    try:
        picture: Image.Image = Image.open(io.BytesIO(data), formats=("PNG", "JPEG"))
        if picture.width * picture.height > PIXELS_MAX:
            raise ValueError("too many pixels")
        picture = ImageOps.exif_transpose(picture).convert("RGBA")
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError("not a picture") from error
    picture.thumbnail((SIDE_MAX, SIDE_MAX))
    out = io.BytesIO()
    picture.save(out, "PNG", optimize=True)
    return {"png": out.getvalue()}
