"""Laws of pictures: any colours and any side up become upright RGB, or are refused."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scldm.data.media import read_image
from tests import media


@pytest.mark.parametrize(("suffix", "tolerance"), [("png", 0), ("jpg", 12), ("webp", 12)])
def test_pictures_are_rgb(tmp_path: Path, suffix: str, tolerance: int) -> None:
    ramp = np.zeros((48, 64, 3), np.uint8)
    ramp[..., 0], ramp[..., 1] = np.arange(64) * 3, np.arange(48)[:, None] * 5
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(ramp).save(path, quality=95)
    image = read_image(path)
    assert image.mode == "RGB" and image.size == (64, 48)
    assert np.abs(np.asarray(image).astype(int) - ramp).max() <= tolerance


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_pictures_are_turned_upright(tmp_path: Path, suffix: str) -> None:
    picture = Image.new("RGB", (60, 40), "black")
    picture.paste("white", (0, 0, 30, 40))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise: the left side comes to the top
    picture.save(tmp_path / f"a.{suffix}", exif=exif)
    image = read_image(tmp_path / f"a.{suffix}")
    assert image.size == (40, 60)
    assert min(image.getpixel((20, 10))) > 240 and max(image.getpixel((20, 50))) < 15


def test_other_colours_become_rgb(tmp_path: Path) -> None:
    deep = Image.fromarray(np.full((8, 8), 0x8000, np.uint16))
    clear = Image.new("RGBA", (8, 8), (200, 0, 0, 0))
    half = Image.new("LA", (8, 8), (0, 128))
    palette = Image.new("RGB", (8, 8), (10, 200, 30)).quantize(4)
    seen = {"deep": (deep, 128), "clear": (clear, 255), "half": (half, 127)}
    for name, (picture, value) in seen.items():
        picture.save(tmp_path / f"{name}.png")
        assert read_image(tmp_path / f"{name}.png").getpixel((3, 3)) == (value,) * 3
    palette.save(tmp_path / "palette.png")
    assert read_image(tmp_path / "palette.png").getpixel((3, 3)) == (10, 200, 30)
    Image.new("CMYK", (8, 8), (0, 0, 0, 0)).save(tmp_path / "print.jpg")
    assert read_image(tmp_path / "print.jpg").getpixel((3, 3)) == (255, 255, 255)


def test_a_jpeg_with_a_preview_behind_it_is_one_picture(tmp_path: Path) -> None:
    main, preview = (Image.new("RGB", size, "white") for size in ((64, 48), (16, 12)))
    path = tmp_path / "a.jpg"
    main.save(path, format="MPO", save_all=True, append_images=[preview])
    assert read_image(path).size == (64, 48)


def _gif(path: Path) -> None:
    Image.new("RGB", (8, 8)).save(path, format="GIF")


def _half_jpeg(path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    media.cut_short(path, path)


BAD_PICTURES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing.png": (lambda path: None, "no such file"),
    "folder.png": (lambda path: path.mkdir(), "is a directory, not a file"),
    "empty.png": (lambda path: path.touch(), "is an empty file"),
    "text.jpg": (lambda path: path.write_text("hello"), "is not a PNG, JPEG or WebP picture"),
    "gif.png": (_gif, "is not a PNG, JPEG or WebP picture"),
    "half.jpg": (_half_jpeg, "cannot be decoded"),
    "moving.webp": (media.animation, "is an animation of 2 frames; give one picture"),
    "moving.png": (media.animation, "is an animation of 2 frames; give one picture"),
}


@pytest.mark.parametrize("name", BAD_PICTURES)
def test_bad_pictures_are_refused(tmp_path: Path, name: str) -> None:
    maker, reason = BAD_PICTURES[name]
    maker(tmp_path / name)
    assert media.refusal(read_image, tmp_path / name).startswith(reason)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_picture_that_needs_gigabytes_is_refused(tmp_path: Path) -> None:
    path = media.endless_webp(tmp_path / "a.webp")
    assert media.refusal(read_image, path) == "decoding it takes too much memory"
    assert media.peak_memory() < 1600
