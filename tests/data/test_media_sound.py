"""Laws of sound: rates, widths, channels and codings come out alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scldm.data.media import read_audio
from tests import media


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 44_100, 48_000, 96_000, 192_000])
def test_a_tone_survives_resampling(tmp_path: Path, rate: int) -> None:
    path = media.write_sound(tmp_path / "a.wav", media.tone(1.5, rate), rate, "PCM_24")
    audio = read_audio(path)
    assert audio.dtype == np.float32 and abs(len(audio) - 24_000) <= 1
    expected = media.tone(1.5)[:, 0]
    np.testing.assert_allclose(audio[800:-800], expected[800 : len(audio) - 800], atol=1e-4)


@pytest.mark.parametrize(("rate", "hz"), [(44_100, 8_500), (48_000, 9_000), (192_000, 17_000)])
def test_what_lies_above_8_khz_is_not_folded_down(tmp_path: Path, rate: int, hz: int) -> None:
    path = media.write_sound(tmp_path / "a.wav", media.tone(1.0, rate, hz), rate, "FLOAT")
    audio = read_audio(path)[800:-800]
    assert np.sqrt(np.mean(audio**2)) < 1e-4


@pytest.mark.parametrize(
    ("subtype", "tolerance"),
    [("PCM_U8", 1e-2), ("PCM_16", 5e-5), ("PCM_24", 1e-6), ("PCM_32", 1e-6), ("FLOAT", 1e-6)]
    + [("DOUBLE", 1e-6)],
)
def test_every_width_has_full_scale_one(tmp_path: Path, subtype: str, tolerance: float) -> None:
    samples = media.tone(1.0, level=0.9)
    path = media.write_sound(tmp_path / "a.wav", samples, 16_000, subtype)
    np.testing.assert_allclose(read_audio(path), samples[:, 0], atol=tolerance)


@pytest.mark.parametrize("channels", [2, 6, 8])
def test_channels_are_averaged(tmp_path: Path, channels: int) -> None:
    samples = np.random.default_rng(0).uniform(-0.9, 0.9, (16_000, channels)).astype(np.float32)
    path = media.write_sound(tmp_path / "a.wav", samples, 16_000, "FLOAT")
    np.testing.assert_allclose(read_audio(path), samples.mean(axis=1), atol=1e-6)


@pytest.mark.parametrize("suffix", media.CODED)
def test_coded_sound_has_its_length_and_its_level(tmp_path: Path, suffix: str) -> None:
    path = media.coded(tmp_path / f"a.{suffix}", media.tone(2.0, 48_000), 48_000)
    audio = read_audio(path)
    assert abs(len(audio) - 32_000) < 16_000 * 0.05
    spectrum = np.abs(np.fft.rfft(audio[8000:24_000] * np.hanning(16_000)))
    assert np.argmax(spectrum) == 1000
    level = 0.475 if suffix == "mp3" else 0.5  # lame writes 95 % of the level
    assert np.sqrt(2 * np.mean(audio[8000:24_000] ** 2)) == pytest.approx(level, rel=0.02)


def test_loud_floating_point_sound_is_clipped(tmp_path: Path) -> None:
    path = media.write_sound(tmp_path / "a.wav", media.tone(1.0, level=1.5), 16_000, "FLOAT")
    assert np.abs(read_audio(path)).max() == 1.0
