"""Laws of measuring voices: the population's own parameters are found again."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import signal

from scldm.core.errors import InputError
from scldm.data.population import person, speak, voice
from scldm.voice.acoustics import VoiceParameters, f0_track, measure

PEOPLE = 16


@pytest.fixture(scope="module")
def people() -> tuple[np.ndarray, np.ndarray]:
    """(N, 4) measured and true: f0, formants, breath and rate."""
    found = [measure(speak(person(2, k), 0, 5.0)) for k in range(PEOPLE)]
    voices = [voice(person(2, k)) for k in range(PEOPLE)]
    return (
        np.array([(m.f0, m.formants, m.breath, m.rate) for m in found]),
        np.array([(v.f0, 17.5 / v.tract, v.breath, v.rate) for v in voices]),
    )


def buzz(f0: np.ndarray) -> np.ndarray:
    """A buzz of harmonics under 4 kHz whose f0 (n,) in Hz moves."""
    phase = 2 * np.pi * np.cumsum(f0) / 16_000
    tones = [np.sin(k * phase) * (k * f0 < 4000) / k for k in range(1, 60)]
    return (0.1 * np.sum(tones, 0)).astype(np.float32)


def test_f0_is_within_the_3_percent_and_what_a_clip_differs_by(people) -> None:
    found, true = people
    errors = found[:, 0] / true[:, 0] - 1
    assert np.abs(errors).max() < 0.04  # a clip's own mean is off by up to 2 %
    assert np.sqrt((errors**2).mean()) < 0.02


def test_formants_are_within_3_percent(people) -> None:
    found, true = people
    assert np.abs(found[:, 1] / true[:, 1] - 1).max() < 0.03


def test_breath_follows(people) -> None:
    found, true = people
    assert np.corrcoef(found[:, 2], true[:, 2])[0, 1] > 0.8
    assert np.sqrt(((found[:, 2] - true[:, 2]) ** 2).mean()) < 0.1


def test_rate_follows(people) -> None:
    found, true = people
    assert np.corrcoef(found[:, 3], true[:, 3])[0, 1] > 0.6
    assert np.sqrt(((found[:, 3] / true[:, 3] - 1) ** 2).mean()) < 0.16


@pytest.mark.parametrize("f0", [65.0, 110.0, 220.0, 395.0])
def test_a_steady_buzz_has_its_f0_and_not_an_octave(f0: float) -> None:
    times, track = f0_track(buzz(np.full(16_000, f0)))
    assert np.allclose(np.diff(times), 0.01) and len(times) == len(track) == 101
    assert np.abs(track[5:-5] / f0 - 1).max() < 0.01


def test_the_fundamental_need_not_be_there() -> None:
    high = signal.butter(6, 500, "highpass", fs=16_000, output="sos")
    track = f0_track(signal.sosfilt(high, buzz(np.full(16_000, 140.0))))[1]
    assert np.abs(track[8:-8] / 140 - 1).max() < 0.01


def test_the_track_follows_a_glide() -> None:
    f0 = 120 * 2 ** np.linspace(0, 0.8, 32_000)
    times, track = f0_track(buzz(f0))
    inner = slice(10, -10)
    assert np.abs(track[inner] / f0[(times[inner] * 16_000).astype(int)] - 1).max() < 0.02


def test_pauses_are_unvoiced() -> None:
    sound = buzz(np.full(16_000, 180.0))
    track = f0_track(np.concatenate((sound, np.zeros(16_000, np.float32), sound)))[1]
    assert np.isnan(track[105:196]).all() and np.isfinite(track[5:95]).all()


def test_level_does_not_matter() -> None:
    clip = speak(person(2, 3), 1, 3.0)
    loud, soft = measure(clip), measure(0.01 * clip)
    assert soft.f0 == pytest.approx(loud.f0, rel=1e-3)
    assert soft.formants == pytest.approx(loud.formants, rel=1e-3)
    assert (soft.breath, soft.rate) == pytest.approx((loud.breath, loud.rate), abs=0.02)


@pytest.mark.parametrize("seconds", [0.001, 0.05, 3.0])
def test_silence_and_noise_have_no_voice(seconds: float) -> None:
    count = int(16_000 * seconds)
    noise = np.random.default_rng(0).standard_normal(count).astype(np.float32)
    for sound in (np.zeros(count, np.float32), 0.1 * noise):
        with pytest.raises(InputError, match="no voice"):
            measure(sound)


@pytest.mark.parametrize("sound", [np.zeros((2, 800)), np.zeros(0), np.full(800, np.nan)])
def test_what_is_no_clip_is_named(sound: np.ndarray) -> None:
    with pytest.raises(InputError, match="16 kHz mono"):
        measure(sound)


def test_short_voices_can_be_measured() -> None:
    assert isinstance(measure(speak(person(2, 0), 0, 0.6)), VoiceParameters)
