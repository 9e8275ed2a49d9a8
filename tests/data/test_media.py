"""Laws of reading media: what is refused, in which words, and in how little memory."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scldm.core.errors import InputError
from scldm.data.media import check_speech, client, read_audio, read_image
from tests import media

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.mark.parametrize("name", media.BAD_SOUNDS)
@pytest.mark.parametrize("window", [None, 6.0])
def test_bad_recordings_are_refused(tmp_path: Path, name: str, window: float | None) -> None:
    maker, reason = media.BAD_SOUNDS[name]
    path = maker(tmp_path / name)
    assert re.match(reason, media.refusal(lambda p: read_audio(p, window=window), path))


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "opus", "mp3", "m4a", "webm", "png"])
def test_mutated_files_are_read_or_refused(tmp_path: Path, suffix: str) -> None:
    source, path = tmp_path / f"good.{suffix}", tmp_path / f"bad.{suffix}"
    if suffix == "png":
        Image.radial_gradient("L").save(source)
    elif suffix == "wav":
        media.write_sound(source, media.speech_like(1.0), 16_000)
    else:
        media.coded(source, media.speech_like(1.0), 16_000)
    for seed in range(25):
        media.mutated(source, path, seed)
        try:
            result = read_image(path) if suffix == "png" else read_audio(path)
            assert suffix == "png" or (np.abs(result).max() <= 1.0 and len(result))
        except InputError as error:
            assert str(error).startswith(f"{path}: ") and "\n" not in str(error)


@linux
def test_small_files_that_hold_much_are_refused_in_little_memory(tmp_path: Path) -> None:
    client.decoder.close()
    silence = np.zeros((8000 * 700, 1), np.float32)
    sound = media.write_sound(tmp_path / "a.flac", silence, 8000)
    picture = media.huge_picture(tmp_path / "a.png")
    assert sound.stat().st_size < 200_000 and picture.stat().st_size < 40_000
    assert media.refusal(read_audio, sound).startswith("is longer than 10 minutes")
    assert media.refusal(read_image, picture) == "has 169.0 megapixels; at most 25 are read"
    assert media.peak_memory() < 120  # MiB


def test_names_are_printed_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"two\\nlines.wav': no such file$"):
        read_audio(tmp_path / "two\nlines.wav")


def test_odd_names_are_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("pipe:0.wav", "-i.wav", "ü %d.wav", os.fsdecode(b"\xff.wav")):
        media.write_sound(tmp_path / "plain.wav", media.tone(1.0), 16_000).rename(name)
        assert len(read_audio(name)) == 16_000


@linux
def test_devices_are_refused() -> None:
    assert media.refusal(read_audio, Path("/dev/zero")) == "is not a regular file"


@pytest.mark.parametrize(
    ("level", "seconds", "reason"),
    [
        (0.0, 2.0, "silent: all samples are zero; speech reaches -60 dBFS"),
        (5e-4, 2.0, "silent: its peak is -66 dBFS; speech reaches -60 dBFS"),
        (0.5, 0.3, "only 0.30 s long; at least 0.5 s of speech are needed"),
        (0.5, 0.0, "only 0.00 s long; at least 0.5 s of speech are needed"),
    ],
)
def test_what_cannot_be_speech(level: float, seconds: float, reason: str) -> None:
    audio = media.tone(seconds, level=level)[:, 0]
    assert media.refusal(lambda p: check_speech(audio, p), Path("a.wav")) == reason


def test_quiet_speech_is_speech() -> None:
    check_speech(media.tone(0.5, level=1.1e-3)[:, 0], "a.wav")
