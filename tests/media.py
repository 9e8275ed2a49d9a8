"""Media files for tests: makers of good, odd and bad ones, and what their reading costs."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from PIL import Image

from scldm.core.errors import InputError
from scldm.data.media import client


def tone(
    seconds: float, rate: int = 16_000, hz: float = 1000.0, level: float = 0.5, channels: int = 1
) -> np.ndarray:
    """(n, channels) float32: the same sine in every channel."""
    wave = level * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)
    return np.repeat(wave[:, None], channels, axis=1).astype(np.float32)


def speech_like(seconds: float, rate: int = 16_000, seed: int = 0) -> np.ndarray:
    """(n, 1) float32: noise below 3 kHz whose loudness rises and falls, never the same twice."""
    count = round(seconds * rate)
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(count))
    spectrum[np.fft.rfftfreq(count, 1 / rate) > 3000] = 0
    noise = np.fft.irfft(spectrum, count) * (1.2 + np.sin(np.arange(count) * 9 / rate))
    return (0.5 * noise / np.abs(noise).max())[:, None].astype(np.float32)


def clock(seconds: float, rate: int) -> Iterator[np.ndarray]:
    """Blocks of samples that tell their own time: a ramp from -0.9 to 0.9 over the whole."""
    count = round(seconds * rate)
    for start in range(0, count, 2**20):
        yield np.arange(start, min(start + 2**20, count)) / count * 1.8 - 0.9


def write_clock(path: Path, seconds: float, rate: int = 8000, subtype: str = "PCM_16") -> Path:
    """A mono wav or flac file (by its suffix) of `clock`, written block by block."""
    with soundfile.SoundFile(path, "w", rate, 1, subtype) as file:
        for block in clock(seconds, rate):
            file.write(block)
    return path


def write_sound(path: Path, samples: np.ndarray, rate: int, subtype: str | None = None) -> Path:
    """Write (n, channels) by soundfile: wav, flac and ogg (which crashes on long blocks)."""
    with soundfile.SoundFile(path, "w", rate, samples.shape[1], subtype) as file:
        for start in range(0, len(samples), rate):
            file.write(samples[start : start + rate])
    return path


def encode(
    path: Path,
    samples: np.ndarray,
    rate: int,
    codec: str,
    *,
    video: bool = False,
    film: int | None = None,
    options: dict[str, str] | None = None,
) -> Path:
    """Write (n, 1) by ffmpeg into the container of the suffix, by `video` with a moving picture.

    The picture lasts as long as the sound, or `film` seconds.
    """
    with av.open(str(path), "w", options=options or {}) as container:
        sound = container.add_stream(codec, rate=rate, layout="mono")
        if video:
            _add_picture(container, film or round(len(samples) / rate))
        for start in range(0, len(samples), 960):
            block = np.ascontiguousarray(samples[start : start + 960].T, dtype=np.float32)
            frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="mono")
            frame.sample_rate, frame.pts = rate, start
            frame.time_base = Fraction(1, rate)
            container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
    return path


CODED = {"mp3": "libmp3lame", "m4a": "aac", "opus": "libopus", "webm": "libopus", "flac": "flac"}
CODED |= {"mp4": "aac", "mkv": "aac", "ogg": ""}


def coded(path: Path, samples: np.ndarray, rate: int) -> Path:
    """Write (n, 1) in the usual coding of the suffix, into mp4 and mkv beside a picture."""
    codec = CODED[path.suffix[1:]]
    if not codec:
        return write_sound(path, samples, rate, "VORBIS")
    return encode(path, samples, rate, codec, video=path.suffix in (".mp4", ".mkv"))


def _add_picture(container: av.container.OutputContainer, seconds: int) -> None:
    stream = container.add_stream("mpeg4", rate=10, width=64, height=64, pix_fmt="yuv420p")
    noise = np.random.default_rng(0)
    for _ in range(10 * seconds):
        picture = noise.integers(0, 255, (64, 64, 3), dtype=np.uint8)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
    container.mux(stream.encode(None))


def silent_film(path: Path) -> Path:
    """A film of one second without a sound track."""
    with av.open(str(path), "w") as container:
        _add_picture(container, 1)
    return path


def bare_wav(path: Path, rate: int, channels: int = 1, size: int = 64_000) -> Path:
    """16-bit zeros under a header that claims any rate and number of channels."""
    shape = struct.pack("<IHHII", 16, 1, channels, rate, rate * channels * 2 % 2**32)
    shape += struct.pack("<HH", channels * 2 % 2**16, 16)
    body = b"WAVEfmt " + shape + b"data" + struct.pack("<I", size) + bytes(size)
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    return path


def cut_short(source: Path, path: Path, share: float = 0.5) -> Path:
    """The first part of a file."""
    data = source.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    return path


def repeated_mp3(path: Path, seconds: int) -> Path:
    """A long mp3 without an index, made of a tone of ten seconds over and over."""
    piece = encode(
        path.with_suffix(".piece.mp3"),
        tone(10, 16_000),
        16_000,
        "libmp3lame",
        options={"write_xing": "0", "id3v2_version": "0"},
    )
    path.write_bytes(piece.read_bytes() * (seconds // 10))
    return path


def playlist(path: Path, other: Path) -> Path:
    """A text that makes ffmpeg, left alone, play another file."""
    path.write_text(f"ffconcat version 1.0\nfile '{other}'\n")
    return path


def mutated(source: Path, path: Path, seed: int) -> Path:
    """A file with twenty bytes changed, most of them near its beginning."""
    random = np.random.default_rng(seed)
    data = bytearray(source.read_bytes())
    for share in random.random(20) ** 3:
        data[int(share * len(data))] = random.integers(256)
    path.write_bytes(data)
    return path


def noise_bytes(path: Path, size: int = 100_000) -> Path:
    """Random bytes under any name."""
    path.write_bytes(np.random.default_rng(0).bytes(size))
    return path


def huge_picture(path: Path, side: int = 13_000) -> Path:
    """A square black picture: about 20 kB as a PNG, 507 MB in RGB at the default side."""
    Image.new("1", (side, side)).save(path)
    return path


def endless_webp(path: Path, size: int = 3 * 2**30) -> Path:
    """The first bytes of a WebP picture and then a hole of gigabytes (none on the disk)."""
    with open(path, "wb") as file:
        file.write(b"RIFF" + struct.pack("<I", size - 8) + b"WEBPVP8 ")
        file.truncate(size)
    return path


def animation(path: Path) -> Path:
    """Two frames in one file."""
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("red", "blue")]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    return path


def _with(value: float) -> Callable[[Path], Path]:
    def make(path: Path) -> Path:
        samples = tone(1.0)
        samples[8000] = value
        return write_sound(path, samples, 16_000, "FLOAT")

    return make


def _text(path: Path) -> Path:
    path.write_text("Dear reader, this is not a recording.\n" * 50)
    return path


def _half(path: Path, suffix: str, codec: str, options: dict[str, str] | None = None) -> Path:
    film = path.with_suffix(".whole" + suffix)
    encode(film, speech_like(6.0, 48_000), 48_000, codec, video=True, options=options)
    return cut_short(film, path)


def _playlist_beside(path: Path) -> Path:
    return playlist(path, write_sound(path.with_suffix(".flac"), tone(1.0), 16_000))


NOT_SOUND = "is not a recording that can be read"
BROKEN_START = "is damaged or truncated"

# name of the file -> (its maker, a pattern for the beginning of the message)
BAD_SOUNDS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "missing.wav": (lambda path: path, "no such file"),
    "folder.wav": (lambda path: path.mkdir() or path, "is a directory, not a file"),
    "empty.wav": (lambda path: path.write_bytes(b"") and path or path, "is an empty file"),
    "text.wav": (_text, NOT_SOUND),
    "random.mp4": (noise_bytes, NOT_SOUND),
    "random.mp3": (noise_bytes, "is damaged"),
    "list.wav": (_playlist_beside, NOT_SOUND),
    "no_index.mp4": (lambda path: _half(path, ".mp4", "aac"), BROKEN_START),
    "half.mp4": (
        lambda path: _half(path, ".mp4", "aac", {"movflags": "faststart"}),
        r"is truncated: \d\.\d of 6\.0 seconds are there",
    ),
    "half.mkv": (lambda path: _half(path, ".mkv", "aac"), "is truncated"),
    "half.wav": (
        lambda path: cut_short(write_sound(path.with_suffix(".w.wav"), tone(2.0), 16_000), path),
        r"is truncated: 1\.0 of 2\.0 seconds are there",
    ),
    "half.flac": (
        lambda path: cut_short(
            write_sound(path.with_suffix(".w.flac"), speech_like(6.0), 16_000), path
        ),
        "is truncated",
    ),
    "film.mp4": (silent_film, "has no audio stream"),
    "none.wav": (lambda path: bare_wav(path, 16_000, size=0), "holds no samples"),
    "nan.wav": (_with(np.nan), "holds samples that are not numbers"),
    "infinity.wav": (_with(-np.inf), "holds samples that are not numbers"),
    "unscaled.wav": (
        _with(20_000.0),
        r"has samples up to \d+: it is damaged, or to be scaled to \[-1, 1\]$",
    ),
    "slow.wav": (lambda path: bare_wav(path, 1), "has a sample rate of 1 Hz; 8000 to 192000"),
    "low.wav": (lambda path: bare_wav(path, 7_999), "has a sample rate of 7999 Hz"),
    "high.wav": (lambda path: bare_wav(path, 192_001), "has a sample rate of 192001 Hz"),
    "still.wav": (lambda path: bare_wav(path, 0), BROKEN_START),
    "absurd.wav": (lambda path: bare_wav(path, 4_000_000_000), BROKEN_START),
    "nine.wav": (lambda path: bare_wav(path, 16_000, 9), "has 9 channels; at most 8 are read"),
    "crowd.wav": (lambda path: bare_wav(path, 16_000, 1000), "is damaged"),
}


def refusal(read: Callable[[Path], object], path: Path) -> str:
    """The message of the refusal, after its one line and the name in front are checked."""
    with pytest.raises(InputError) as caught:
        read(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ") and "\n" not in text
    return text.removeprefix(f"{path}: ")


def child_pid() -> int:
    """Process id of the running child that decodes."""
    pid = client.decoder.pid
    assert pid is not None
    return pid


def peak_memory() -> float:
    """MiB that the running child has ever held."""
    status = Path(f"/proc/{child_pid()}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024
