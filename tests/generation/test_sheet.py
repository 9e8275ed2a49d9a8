"""The contact sheet grows with what is on it, and never too far."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from scldm.generation import sheet
from scldm.generation.sheet import Entry, draw_sheet


def entry(portraits: int, name: str = "clip.wav", colour: str = "red") -> Entry:
    wave = np.sin(np.arange(32_000) / 9).astype(np.float32)
    return Entry(name, wave, [Image.new("RGB", (64, 64), colour)] * portraits)


def test_it_grows_by_rows_and_columns():
    prior = Image.new("RGB", (64, 64), "blue")
    sizes = {
        (rows, columns): draw_sheet([entry(columns)] * rows, prior, "words").size
        for rows in (1, 2) for columns in (1, 3)
    }
    assert sizes[1, 3][0] - sizes[1, 1][0] == pytest.approx(2 * 2 * 110, abs=2)
    assert sizes[2, 1][1] - sizes[1, 1][1] == pytest.approx(2.15 * 110, abs=2)
    assert sizes[1, 1][0] == sizes[2, 1][0] and sizes[1, 1][1] == sizes[1, 3][1]


def test_portraits_and_the_prior_are_on_it():
    def share(picture: Image.Image, colour: tuple[int, int, int]) -> float:
        return (np.abs(np.asarray(picture).astype(int) - colour).max(axis=2) < 9).mean()

    prior = Image.new("RGB", (64, 64), "blue")
    one, three = (draw_sheet([entry(n)], prior, "words") for n in (1, 3))
    red = share(three, (255, 0, 0)) * np.prod(three.size)
    assert red == pytest.approx(3 * share(one, (255, 0, 0)) * np.prod(one.size), rel=0.1)
    assert share(three, (0, 0, 255)) > 0.02


def test_the_notice_is_on_it():
    prior = Image.new("RGB", (64, 64), "blue")
    with_words, without = (np.asarray(draw_sheet([entry(1)], prior, x)) for x in ("words", ""))
    rows, _ = np.nonzero((with_words != without).any(axis=2))
    assert rows.min() > 0 and rows.max() < with_words.shape[0] / 2


def test_a_large_sheet_is_drawn_smaller(monkeypatch):
    monkeypatch.setattr(sheet, "MOST_PIXELS", 2e5)
    width, height = draw_sheet([entry(2)] * 3, Image.new("RGB", (8, 8)), "words").size
    assert 1.5e5 < width * height < 2.1e5


@pytest.mark.parametrize("name", ["$x^2$.wav", "声.wav", "a\\b\n.wav", "%s.wav"])
def test_any_name_is_drawn_as_it_is(name):
    assert draw_sheet([entry(1, name)], Image.new("RGB", (8, 8)), "words").size[0] > 100
