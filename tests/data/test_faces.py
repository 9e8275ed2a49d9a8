"""Laws of alignment: landmarks land on the template, wherever they were."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from scldm.core.errors import InputError
from scldm.data import faces
from scldm.data.faces import TEMPLATE, align, find_landmarks, similarity, to_pixels, to_unit
from scldm.data.population import draw_face, landmarks, person

COLOURS = ((255, 0, 0), (0, 255, 0), (255, 255, 0), (0, 0, 255))


def five(points: np.ndarray) -> np.ndarray:
    """(4, 2) eyes and mouth corners -> (5, 2) with a nose that is anywhere."""
    return np.insert(points, 2, (1e3, -1e3), axis=0)


def dotted(
    degrees: float, width: float, centre: complex, side: int
) -> tuple[Image.Image, np.ndarray]:
    """A grey picture whose landmarks are coloured discs, and their places."""
    goal = TEMPLATE @ (1, 1j) - (0.5 + 0.5j)
    places = goal * width * np.exp(1j * np.radians(degrees)) + centre
    image = Image.new("RGB", (side, side), (90, 90, 90))
    radius = 0.03 * width
    grid = np.arange(side) + 0.5
    pixels = np.asarray(image).copy()
    for place, colour in zip(places, COLOURS, strict=True):
        disc = np.abs(grid[None, :] + 1j * grid[:, None] - place) <= radius
        pixels[disc] = colour
    return Image.fromarray(pixels), np.stack((places.real, places.imag), 1)


def centres(picture: np.ndarray) -> list[np.ndarray]:
    """Centre of mass (x, y) of each colour of COLOURS; pixel centres lie at + 1/2."""
    palette = np.array((*COLOURS, (90, 90, 90)))
    nearest = np.abs(picture[:, :, None].astype(int) - palette).sum(-1).argmin(-1)
    return [np.argwhere(nearest == k).mean(0)[::-1] + 0.5 for k in range(len(COLOURS))]


@pytest.mark.parametrize(
    ("degrees", "width", "centre", "size"),
    [
        (0, 256, 200 + 200j, 256),
        (25, 100, 150 + 170j, 128),  # enlarged
        (-40, 300, 220 + 190j, 64),  # reduced
        (180, 120, 200 + 200j, 96),
        (7, 333, 180 + 222j, 224),
    ],
)
def test_landmarks_land_on_the_template(
    degrees: float, width: float, centre: complex, size: int
) -> None:
    image, points = dotted(degrees, width, centre, 400)
    picture = align(image, five(points), size)
    assert picture.shape == (size, size, 3) and picture.dtype == np.uint8
    assert np.abs(centres(picture) - TEMPLATE * size).max() < 0.5


def test_an_aligned_picture_stays_as_it_is() -> None:
    somebody = person(0, 3)
    once = align(Image.fromarray(draw_face(somebody, 0, 96)), landmarks(somebody, 0, 96), 96)
    again = align(Image.fromarray(once), five(TEMPLATE * 96), 96)
    assert np.abs(again.astype(int) - once).max() <= 1


def test_the_transform_is_the_best_similarity() -> None:
    rng = np.random.default_rng(0)
    points = TEMPLATE * 100 + rng.normal(0, 4, (4, 2))
    a, b = similarity(five(points))
    goal, seen = TEMPLATE @ (1, 1j), points @ (1, 1j)

    def error(a: complex, b: complex) -> float:
        return float(np.square(np.abs(a * goal + b - seen)).sum())

    for shift in (1e-3, -1e-3, 1e-3j, -1e-3j):
        assert error(a, b) < error(a + shift, b) and error(a, b) < error(a, b + shift)


def test_the_nose_does_not_count() -> None:
    points = five(TEMPLATE * 50)
    moved = points.copy()
    moved[2] += 30
    assert similarity(points) == similarity(moved)


def test_outside_of_the_picture_the_border_goes_on() -> None:
    image = Image.new("RGB", (40, 40), (10, 200, 30))
    picture = align(image, five(TEMPLATE * 100 - 30), 64)
    assert (picture == (10, 200, 30)).all()


def test_alignment_brings_two_photos_of_one_head_together() -> None:
    somebody = person(0, 5)
    photos = [
        align(Image.fromarray(draw_face(somebody, k, 128)), landmarks(somebody, k, 128), 64)
        for k in (0, 1)
    ]
    aligned = np.abs(photos[0].astype(float) - photos[1])[12:52, 12:52].mean()
    pictures = [Image.fromarray(draw_face(somebody, k, 128)) for k in (0, 1)]
    raw = [np.asarray(picture.resize((64, 64))) for picture in pictures]
    assert aligned < np.abs(raw[0].astype(float) - raw[1])[12:52, 12:52].mean()


def test_no_face_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    class Blind:
        def detect(self, image: Image.Image, landmarks: bool) -> tuple[None, None, None]:
            return None, None, None

    monkeypatch.setattr(faces, "detector", Blind)
    with pytest.raises(InputError, match="^wall.png: no face found"):
        find_landmarks(Image.new("RGB", (50, 60)), "wall.png")


@pytest.mark.parametrize("size", [(300, 200), (40, 30)])
def test_found_landmarks_are_in_pixels_of_the_picture(
    monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    """The detector sees a bordered, perhaps enlarged picture; its answer is brought back."""
    wanted = np.array((0.4, 0.4, 0.6, 0.4, 0.5, 0.5, 0.42, 0.7, 0.58, 0.7)).reshape(5, 2) * size

    class Marks:
        def detect(self, image: Image.Image, landmarks: bool) -> tuple[list[int], None, np.ndarray]:
            pixels = np.asarray(image).astype(int)
            white = pixels.min(-1) > 128
            y, x = np.nonzero(white)
            return [0], None, np.array([[(x.mean() + 0.5, y.mean() + 0.5)] * 5])

    picture = Image.new("RGB", size)
    x, y = wanted[2]
    half = size[1] / 10
    ImageDraw.Draw(picture).rectangle((x - half, y - half, x + half - 1, y + half - 1), "white")
    monkeypatch.setattr(faces, "detector", Marks)
    assert np.abs(find_landmarks(picture)[2] - wanted[2]).max() < 0.5


def test_pixels_and_units_are_inverse() -> None:
    pixels = torch.arange(256, dtype=torch.uint8)
    unit = to_unit(pixels)
    assert unit.dtype == torch.float32
    assert (unit[0], unit[255]) == (-1, 1)
    assert torch.equal(to_pixels(unit), pixels)
    assert torch.equal(to_pixels(torch.tensor([-3.0, 3.0])), torch.tensor([0, 255]).byte())
    assert torch.equal(to_pixels(unit.half()), pixels)


@pytest.mark.parametrize(
    "change",
    [lambda p: p + 500, lambda p: p * 40 - 2000, lambda p: p * 0.01 + 50, lambda p: p * np.nan,
     lambda p: p * 0 + p.mean()],
    ids=["beside the picture", "too large", "too small", "no numbers", "one point"],
)  # fmt: skip
def test_landmarks_that_show_no_face_are_one_line(change: Any) -> None:
    picture = Image.new("RGB", (100, 100))
    points = five(TEMPLATE * 100)
    assert align(picture, points, 32).shape == (32, 32, 3)
    with pytest.raises(InputError, match=r"a\.jpg: its five landmarks show no face"):
        align(picture, change(points), 32, "a.jpg")
