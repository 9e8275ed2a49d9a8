"""Pictures decoded: PNG, JPEG and WebP."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageOps, JpegImagePlugin, PngImagePlugin, WebPImagePlugin  # noqa: F401

from scldm.data.media.limits import MOST_PIXELS, Refused

Image.MAX_IMAGE_PIXELS = None  # `decode_image` checks the size itself


def decode_image(path: str) -> Image.Image:
    """The picture upright and in RGB; what is transparent becomes white."""
    kind = _format(path)
    with Image.open(path, formats=[kind]) as image:
        pixels, frames = image.width * image.height, getattr(image, "n_frames", 1)
        if pixels > MOST_PIXELS:
            most = f"at most {MOST_PIXELS / 1e6:.0f} are read"
            raise Refused(f"has {pixels / 1e6:.1f} megapixels; {most}")
        if frames > 1 and kind != "JPEG":  # telephones append previews to a JPEG
            raise Refused(f"is an animation of {frames} frames; give one picture")
        upright = ImageOps.exif_transpose(image)
    return _rgb(upright)


def _format(path: str) -> str:
    with open(path, "rb") as file:
        start = file.read(12)
    if start.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if start.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if start.startswith(b"RIFF") and start[8:] == b"WEBP":
        return "WEBP"
    raise Refused("is not a PNG, JPEG or WebP picture")


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits of grey
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if not image.has_transparency_data:
        return image.convert("RGB")
    image = image.convert("RGBA")
    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=image.getchannel("A"))
    return white
