"""Reading recordings and pictures that come from outside.

Every failure is an `InputError` of one line that begins with the name of the file.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scldm.core.errors import InputError
from scldm.data.media import client
from scldm.data.media.limits import MOST_SECONDS, RATE

if TYPE_CHECKING:
    from PIL import Image

SHORTEST_SECONDS = 0.5  # of speech
QUIETEST_PEAK = -60.0  # dB of full scale: what stays below is silence


def read_audio(path: str | Path, *, window: float | None = None) -> np.ndarray:
    """Read a recording as (n,) float32 mono samples in [-1, 1] at 16 kHz.

    Wav (integer and floating point), flac, ogg, opus, mp3, m4a and the sound track of mp4, mkv
    and webm are read, from 8 to 192 kHz and with up to 8 channels, which are averaged.

    Args:
        path: a regular file.
        window: seconds in (0, 600]. Of a longer recording only the middle is returned, exactly
            round(window * 16000) samples, in memory that does not grow with its length; a
            shorter one is returned as it is. None: the whole, of at most 10 minutes.

    Raises:
        InputError: the file is missing, empty, of another kind, truncated or damaged (more than a
            tenth of it is missing or cannot be decoded), without sound, outside of the limits
            above, or holds NaN or infinity; or decoding crashed, took 60 seconds or 1.5 GB.
        ValueError: the window is not in (0, 600] seconds.
    """
    if window is not None and not 0 < window <= MOST_SECONDS:
        raise ValueError(f"window must be above 0, at most {MOST_SECONDS} s: {window}")
    _, data = _ask("audio", path, window=window)
    return np.frombuffer(data, dtype=np.float32)


def read_part(path: str | Path, start: float, seconds: float) -> np.ndarray:
    """Read at most `seconds`, in (0, 600], of a recording from `start` seconds on, as `read_audio`
    does; less where the recording ends sooner. InputError where nothing is left.
    """
    if start < 0 or not 0 < seconds <= MOST_SECONDS:
        raise ValueError(f"from {start} s on {seconds} s: must be 0 or more, and up to "
                         f"{MOST_SECONDS}")
    _, data = _ask("part", path, start=start, seconds=seconds)
    return np.frombuffer(data, dtype=np.float32)


@dataclass(frozen=True)
class Frames:
    """Frames of a video.

    Attributes:
        times: when each is shown, seconds from the beginning.
        pixels: (n, height, width, 3) uint8, upright; the longer side at most 1280.
        scale: pixels of the video that one of these is wide.
    """

    times: tuple[float, ...]
    pixels: np.ndarray
    scale: float


def read_frames(path: str | Path, times: Sequence[float]) -> Frames:
    """The frames that a video shows at rising times (seconds), turned as its metadata say.

    Mp4, mkv and webm with AV1, H.263 to H.265, MJPEG, MPEG 1 to 4, VP8 or VP9 are read. There are
    fewer frames than times where a frame is shown at two of them, or the video ends sooner.

    Raises:
        InputError: as `read_audio`; or there is no picture, or none at these times.
    """
    head, data = _ask("frames", path, times=list(times))
    pixels = np.frombuffer(data, dtype=np.uint8).reshape(head["shape"])
    return Frames(tuple(head["times"]), pixels, head["scale"])


def read_image(path: str | Path) -> Image.Image:
    """Read a PNG, JPEG or WebP picture as RGB, turned upright as its EXIF orientation says.

    At most 25 megapixels (checked before any is decoded) and one frame; transparent parts become
    white, 16 bits become 8.

    Raises:
        InputError: the file is missing, empty, of another kind, damaged, too large or an
            animation; or decoding crashed, took 60 seconds or 1.5 GB.
    """
    from PIL import Image

    head, data = _ask("image", path)
    return Image.frombytes("RGB", tuple(head["size"]), data)


def check_speech(audio: np.ndarray, path: str | Path) -> None:
    """Refuse what cannot be speech: a clip under 0.5 s, or a peak below -60 dB of full scale.

    Args:
        audio: (n,) samples in [-1, 1] at 16 kHz.
        path: named in the message.

    Raises:
        InputError: with the length or the level found.
    """
    seconds = len(audio) / RATE
    if seconds < SHORTEST_SECONDS:
        need = f"at least {SHORTEST_SECONDS:g} s of speech are needed"
        raise InputError(f"{_name(path)}: only {seconds:.2f} s long; {need}")
    peak = float(np.abs(audio).max())
    level = 20 * np.log10(peak) if peak > 0 else -np.inf
    if level < QUIETEST_PEAK:
        found = f"its peak is {level:.0f} dBFS" if peak > 0 else "all samples are zero"
        raise InputError(f"{_name(path)}: silent: {found}; speech reaches {QUIETEST_PEAK:g} dBFS")


def _name(path: str | Path) -> str:
    """The path in one printable line."""
    text = os.fspath(path)
    return text if text.isprintable() else ascii(text)


def _ask(kind: str, path: str | Path, **details: Any) -> tuple[dict[str, Any], bytearray]:
    _check_file(path)
    request = {"kind": kind, "path": os.path.abspath(path), **details}
    try:
        head, data = client.decoder.ask(request)
    except client.DecoderFailed as error:
        raise InputError(f"{_name(path)}: {error}") from None
    if "error" in head:
        raise InputError(f"{_name(path)}: {head['error']}")
    return head, data


def _check_file(path: str | Path) -> None:
    try:
        found = os.stat(path)
        with open(path, "rb") if stat.S_ISREG(found.st_mode) else contextlib.nullcontext():
            pass
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{_name(path)}: no such file") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{_name(path)}: cannot be opened ({reason})") from None
    if stat.S_ISDIR(found.st_mode):
        raise InputError(f"{_name(path)}: is a directory, not a file")
    if not stat.S_ISREG(found.st_mode):
        raise InputError(f"{_name(path)}: is not a regular file")
    if not found.st_size:
        raise InputError(f"{_name(path)}: is an empty file")
