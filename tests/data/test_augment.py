"""Laws of speech augmentation: how far it goes, and that the voice stays one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from scldm.core.seeding import numpy_generator
from scldm.data.augment import (
    noise_like,
    room,
    through_codec,
    vary_recording,
    vary_voice,
    without_bands,
    without_stretches,
)
from scldm.data.spectrogram import RATE, SAMPLES


class Fixed:
    """A generator that always says the same: `chance`s in turn, and one end of every range."""

    def __init__(self, chances: tuple[float, ...], high: bool, choice: int = 0) -> None:
        self.chances, self.high, self.choice = list(chances), high, choice

    def random(self) -> float:
        return self.chances.pop(0)

    def uniform(self, low: float, high: float) -> float:
        return high if self.high else low

    def integers(self, *_: Any) -> int:
        return self.choice


def tone(hertz: float, seconds: float = 2.0) -> np.ndarray:
    time = np.arange(int(seconds * RATE)) / RATE
    return (0.5 * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


def pitch(audio: np.ndarray) -> float:
    middle = audio[len(audio) // 4 : 3 * len(audio) // 4]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle)), 2**20))
    return float(spectrum.argmax() * RATE / 2**20)


@pytest.mark.parametrize("high", [False, True])
def test_pitch_moves_by_a_semitone_at_most(high: bool) -> None:
    audio = vary_voice(tone(440), Fixed((0.0, 0.9, 0.9), high))
    assert audio.dtype == np.float32
    assert abs(12 * np.log2(pitch(audio) / 440) - (1 if high else -1)) < 0.05


@pytest.mark.parametrize(("high", "rate"), [(False, 0.87), (True, 1.15)])
def test_tempo_changes_length_and_not_pitch(high: bool, rate: float) -> None:
    audio = vary_voice(tone(440), Fixed((0.9, 0.0, 0.9), high))
    assert abs(len(audio) * rate / 32_000 - 1) < 0.01
    assert abs(pitch(audio) - 440) < 2


@pytest.mark.parametrize("kind", range(4))
def test_codecs_keep_what_is_said(kind: int) -> None:
    audio = tone(440) + 0.5 * tone(1330)
    heard = through_codec(audio, Fixed((), False, kind))
    assert heard.dtype == np.float32
    assert abs(len(heard) - len(audio)) < 2500  # MP3 pads to its frames
    middle = audio[8000:24_000]
    like = max(np.corrcoef(middle, heard[8000 + k : 24_000 + k])[0, 1] for k in range(2500))
    assert like > 0.97


def test_a_telephone_ends_at_4_kilohertz() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, RATE).astype(np.float32)
    power = np.abs(np.fft.rfft(through_codec(noise, Fixed((), False, 3)))) ** 2
    assert power[4400:].sum() < 1e-3 * power[:3600].sum()
    assert len(through_codec(noise[:-1], Fixed((), False, 3))) == len(noise) - 1


def test_a_recording_keeps_its_length_and_fits_its_range() -> None:
    audio = np.tile(tone(300, 1.0), 6)
    for step in range(12):
        made = vary_recording(audio, numpy_generator(0, "test", step))
        assert made.shape == (SAMPLES,) and made.dtype == np.float32
        assert np.isfinite(made).all() and 0.05 < np.abs(made).max() <= 1
    assert np.isfinite(vary_recording(np.zeros(SAMPLES), numpy_generator(0, "test", 0))).all()


def test_augmentation_belongs_to_the_generator_and_leaves_its_input() -> None:
    audio = np.tile(tone(300, 1.0), 6)
    before = audio.copy()
    first, again, other = (vary_recording(audio, numpy_generator(1, "a", k)) for k in (0, 0, 1))
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    assert np.array_equal(vary_voice(audio, numpy_generator(1, "a", 2)),
                          vary_voice(audio, numpy_generator(1, "a", 2)))  # fmt: skip
    assert np.array_equal(audio, before)


@pytest.mark.parametrize("snr", [5.0, 35.0])
def test_noise_has_the_ratio_that_was_asked_for(snr: float) -> None:
    audio = tone(200)
    noise = noise_like(audio, snr, np.random.default_rng(0))
    found = 10 * np.log10(np.mean(audio**2) / np.mean(noise**2))
    assert abs(found - snr) < 1e-3


@pytest.mark.parametrize("high", [False, True])
def test_a_room_begins_with_the_direct_sound_and_decays_by_60_decibels(high: bool) -> None:
    rng = np.random.default_rng(0)

    class Ends(Fixed):
        def standard_normal(self, count: int) -> np.ndarray:
            return rng.standard_normal(count)

    response = room(Ends((), high))  # type: ignore[arg-type]
    assert len(response) == (9600 if high else 1600)
    assert response[0] == 1.0
    tail, part = response[1:], len(response) // 10
    fall = 10 * np.log10(np.mean(tail[:part] ** 2) / np.mean(tail[-part:] ** 2))
    assert abs(fall - 54) < 3  # nine tenths of 60
    assert abs(np.sqrt(np.sum(tail**2)) - (0.6 if high else 0.1)) < 0.03


def test_holes_are_as_wide_as_stated() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, SAMPLES)
    whole = np.abs(np.fft.rfft(noise))
    for step in range(20):
        rng = numpy_generator(0, "holes", step)
        left = np.abs(np.fft.rfft(without_bands(noise, rng)))
        gone = left < 1e-9 * whole.max()
        assert 0 < gone.mean() <= 2 * 950 / (RATE / 2) + 1e-4
        np.testing.assert_allclose(left[~gone], whole[~gone], rtol=1e-6)
        heard = without_stretches(noise, rng)
        silent = heard == 0
        assert 0 < silent.sum() <= 2 * 0.8 * RATE
        assert np.array_equal(heard[~silent], noise[~silent])
