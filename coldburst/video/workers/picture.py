"""What is accepted as a portrait: Pillow looks at the header, before anything is decoded."""

from __future__ import annotations

from io import BytesIO

from PIL import Image

MOST_PIXELS = 4096 * 4096
FORMATS = ("PNG", "JPEG", "WEBP")


class PictureError(ValueError):
    """A portrait cannot be used; the message is one sentence."""


def check_picture(content: bytes) -> None:
    """PictureError for bytes that are not a picture, or one with too many pixels."""
    try:
        with Image.open(BytesIO(content), formats=FORMATS) as picture:
            width, height = picture.size
    except Image.DecompressionBombError:
        raise PictureError(_too_large("more than 100 million")) from None
    except (OSError, ValueError, SyntaxError):
        raise PictureError("portrait is not a picture: send a PNG, JPEG or WebP file") from None
    if width * height > MOST_PIXELS:
        raise PictureError(_too_large(f"{width} × {height}"))


def _too_large(pixels: str) -> str:
    return f"portrait has {pixels} pixels, and at most {MOST_PIXELS:,} are accepted: send a smaller picture"
