"""Small real videos for tests: people of the population who talk, moving, alone or not."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import numpy as np

from scldm.data.population.faces import draw_face
from scldm.data.population.people import person
from scldm.data.population.voices import speak

WIDTH, HEIGHT, RATE = 480, 360, 10

@cache
def painted(who: int, size: int) -> np.ndarray:
    """(size, size, 3) uint8: a person's face as painted."""
    return draw_face(person(0, who), 0, size)


@cache
def voice(who: int, clip: int = 0) -> np.ndarray:
    """(96000,) float32: six seconds of a person's speech, 16 kHz."""
    return speak(person(0, who), clip).astype(np.float32)


def scene(faces: Sequence[tuple[int, int, int, int]]) -> np.ndarray:
    """A frame with faces (who, left, top, size) on a dull wall."""
    frame = np.full((HEIGHT, WIDTH, 3), 110, dtype=np.uint8)
    frame[HEIGHT // 2 :] = 95
    for who, left, top, size in faces:
        picture = painted(who, size)
        frame[top : top + size, left : left + size] = picture
    return frame


def film(
    path: Path, faces: Sequence[tuple[int, int, int, int]], sound: np.ndarray | None,
    seconds: float = 6.0, *, drift: int = 2, uneven: bool = False,
    lying: bool = False,
) -> Path:
    """Write a video by the path's suffix: faces drift `drift` pixels a frame to the right, the
    sound, (n,) at 16 kHz, beside it. `uneven` shows frames for changing times; `lying` turns the
    picture to the left, as a telephone held upright records it.
    """
    web = path.suffix == ".webm"
    with av.open(str(path), "w") as out:
        picture = out.add_stream("libvpx" if web else "libx264", rate=RATE)
        picture.width, picture.height = (HEIGHT, WIDTH) if lying else (WIDTH, HEIGHT)
        picture.pix_fmt = "yuv420p"
        picture.time_base = picture.codec_context.time_base = Fraction(1, 1000)
        picture.bit_rate = 1_500_000
        track = None
        if sound is not None:
            track = out.add_stream("libopus" if web else "aac", rate=48_000, layout="mono")
        for n in range(round(seconds * RATE)):
            moved = [(who, left + drift * n % 60, top, size) for who, left, top, size in faces]
            shown = np.ascontiguousarray(np.rot90(scene(moved), 1 if lying else 0))
            frame = av.VideoFrame.from_ndarray(shown, format="rgb24")
            time = n * 100 + (37 * (n % 3) if uneven else 0)
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            out.mux(picture.encode(frame))
        out.mux(picture.encode(None))
        if track is not None and sound is not None:
            loud = np.repeat(sound, 3)  # 48 kHz
            for start in range(0, len(loud), 960):
                block = np.ascontiguousarray(loud[None, start : start + 960], dtype=np.float32)
                part = av.AudioFrame.from_ndarray(block, format="fltp", layout="mono")
                part.sample_rate, part.pts, part.time_base = 48_000, start, Fraction(1, 48_000)
                out.mux(track.encode(part))
            out.mux(track.encode(None))
    return path


def talking(path: Path, who: int = 0, clip: int = 0) -> Path:
    """One person talks for six seconds."""
    return film(path, [(who, 120, 60, 220)], voice(who, clip))


def turned(path: Path) -> Path:
    """Mark the video of an mp4 as to be turned by a quarter, as telephones do."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    quarter = (0, 1 << 16, 0, -(1 << 16), 0, 0, WIDTH << 16, 0, 1 << 30)
    data[at : at + 36] = struct.pack(">9i", *quarter)
    path.write_bytes(data)
    return path
