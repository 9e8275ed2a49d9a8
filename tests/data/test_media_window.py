"""Laws of the window: it is the middle, however it is found, and takes little memory."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from scldm.data.media import client, read_audio
from scldm.data.media.container import open_sound
from scldm.data.media.limits import Refused
from scldm.data.media.window import _whole_cut, decode_audio
from tests import media


def expected_clock(seconds: float, window: float) -> np.ndarray:
    times = np.arange(round(window * 16_000)) / 16_000 + (seconds - window) / 2
    return times / seconds * 1.8 - 0.9


@pytest.mark.parametrize("seconds", [10.0, 59.0, 75.0])
def test_the_window_is_the_middle(tmp_path: Path, seconds: float) -> None:
    path = media.write_clock(tmp_path / "a.wav", seconds)
    audio = read_audio(path, window=6.0)
    assert len(audio) == 96_000
    np.testing.assert_allclose(audio, expected_clock(seconds, 6.0), atol=1e-4)


def test_a_shorter_recording_is_returned_whole(tmp_path: Path) -> None:
    path = media.write_sound(tmp_path / "a.wav", media.tone(2.5), 16_000)
    assert len(read_audio(path, window=6.0)) == 40_000


@pytest.mark.parametrize("window", [0.0, -1.0, 601.0, float("nan")])
def test_a_window_is_above_0_and_at_most_10_minutes(tmp_path: Path, window: float) -> None:
    with pytest.raises(ValueError, match="window must be above 0"):
        read_audio(tmp_path / "a.wav", window=window)


@pytest.fixture
def middle(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], np.ndarray]:
    """Read the middle 3 s as of a long recording, though it is just longer than 5 s."""
    monkeypatch.setattr("scldm.data.media.window.SHORT_SECONDS", 4.0)
    return lambda path: decode_audio(str(path), 3.0)


@pytest.mark.parametrize(
    ("suffix", "rate", "reach"),  # samples by which the stated length may miss the decoded one
    [("flac", 44_100, 0), ("ogg", 48_000, 0), ("m4a", 16_000, 512), ("opus", 48_000, 100)]
    + [("mp3", 44_100, 450)],
)
def test_the_window_equals_that_part_of_the_whole(
    tmp_path: Path, middle: Callable[[Path], np.ndarray], suffix: str, rate: int, reach: int
) -> None:
    path = media.coded(tmp_path / f"a.{suffix}", media.speech_like(9.3, rate), rate)
    whole, window = read_audio(path), middle(path)
    begin = (len(whole) - 48_000) // 2 - reach
    moved = np.lib.stride_tricks.sliding_window_view(whole[begin:], 500)[: 2 * reach + 1]
    begin += int(np.argmin(np.abs(moved - window[:500]).max(axis=1)))
    np.testing.assert_allclose(window, whole[begin:][:48_000], atol=1e-5)


@pytest.mark.parametrize("suffix", ["flac", "mp3", "mkv"])
def test_where_seeking_fails_counting_finds_the_same_window(tmp_path: Path, suffix: str) -> None:
    path = media.coded(tmp_path / f"a.{suffix}", media.speech_like(20.0), 16_000)
    sought = _whole_cut(str(path), 19.0, 48_000, seek=True)
    counted = _whole_cut(str(path), 19.0, 48_000, seek=False)
    assert sought is not None and counted is not None
    assert np.abs(sought - counted).max() < 1e-5
    assert _whole_cut(str(path), 60.0, 48_000, seek=True) is None


def test_a_recording_without_a_stated_length_is_counted(
    tmp_path: Path, middle: Callable[[Path], np.ndarray]
) -> None:
    samples = np.concatenate([media.tone(5.0, hz=500), media.tone(5.0, hz=2000)])
    path = tmp_path / "a.webm"
    media.encode(path, samples, 16_000, "libopus", options={"live": "1"})
    with open_sound(str(path)) as sound:
        assert sound.stated is None
    check_halves(middle(path))


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_the_middle_of_a_film(
    tmp_path: Path, middle: Callable[[Path], np.ndarray], suffix: str
) -> None:
    samples = np.concatenate([media.tone(5.0, hz=500), media.tone(5.0, hz=2000)])
    check_halves(middle(media.coded(tmp_path / f"a.{suffix}", samples, 16_000)))


def check_halves(audio: np.ndarray) -> None:
    """3 s around the change from 500 Hz to 2 kHz."""
    assert len(audio) == 48_000
    assert tone_of(audio[:23_000]) == pytest.approx(500, abs=1)
    assert tone_of(audio[-23_000:]) == pytest.approx(2000, abs=1)


def tone_of(audio: np.ndarray) -> float:
    """Hz of the strongest component."""
    return float(np.argmax(np.abs(np.fft.rfft(audio))) * 16_000 / len(audio))


def test_a_sound_much_shorter_than_its_film_is_read(
    tmp_path: Path, middle: Callable[[Path], np.ndarray]
) -> None:
    path = media.encode(tmp_path / "a.mkv", media.tone(3.5), 16_000, "aac", video=True, film=12)
    audio = middle(path)
    assert len(audio) == 48_000
    assert tone_of(audio) == pytest.approx(1000, abs=1)


def test_a_truncated_film_is_refused_for_a_window_too(
    tmp_path: Path, middle: Callable[[Path], np.ndarray]
) -> None:
    film = tmp_path / "whole.mp4"
    options = {"movflags": "faststart"}
    media.encode(film, media.tone(10.0), 16_000, "aac", video=True, options=options)
    path = media.cut_short(film, tmp_path / "a.mp4", 0.7)
    with pytest.raises(Refused, match=r"^is truncated: \d\.\d of 10\.0 seconds are there$"):
        middle(path)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    "minutes", [20, pytest.param(120, marks=pytest.mark.full)], ids=["20min", "2h"]
)
@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3"])
def test_long_recordings_take_bounded_memory(tmp_path: Path, suffix: str, minutes: int) -> None:
    client.decoder.close()
    path = tmp_path / f"a.{suffix}"
    if suffix == "mp3":
        media.repeated_mp3(path, 60 * minutes)
    else:
        media.write_clock(path, 60 * minutes)
    read_audio(media.write_sound(tmp_path / "short.wav", media.tone(6.0), 16_000))
    before = media.peak_memory()
    audio = read_audio(path, window=6.0)
    assert len(audio) == 96_000
    assert media.peak_memory() - before < 25  # MiB
    if suffix != "mp3":
        np.testing.assert_allclose(audio, expected_clock(60 * minutes, 6.0), atol=1e-4)
    text = media.refusal(read_audio, path)
    assert text.startswith("is longer than 10 minutes; give a window")
