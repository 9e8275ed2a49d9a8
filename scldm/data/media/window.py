"""A recording as samples at 16 kHz: the whole of it, or the window in its middle."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import soxr

from scldm.data.media.container import open_sound
from scldm.data.media.limits import LOUDEST, MOST_SECONDS, PRESENT, RATE, Refused
from scldm.data.media.sound import Sound

SHORT_SECONDS = 60.0  # up to here a recording is decoded whole, then cropped


def decode_audio(path: str, window: float | None) -> np.ndarray:
    """(n,) float32 in [-1, 1] at 16 kHz; with `window` seconds, at most the middle so long."""
    limit = MOST_SECONDS if window is None else max(window, SHORT_SECONDS)
    with open_sound(path) as sound:
        audio = None if sound.stated and sound.stated > limit + 1 else _whole(sound, limit)
    if window is not None:
        size = round(window * RATE)
        audio = _middle(path, size, sound.stated) if audio is None else audio
        audio = audio[max(0, len(audio) - size) // 2 :][:size]
    if audio is None:
        minutes = f"{MOST_SECONDS / 60:.0f} minutes"
        raise Refused(f"is longer than {minutes}; give a window (in seconds) to read its middle")
    return _clipped(audio)


def decode_part(path: str, start: float, seconds: float) -> np.ndarray:
    """(n,) float32 in [-1, 1] at 16 kHz: at most `seconds` from `start` on."""
    begin, size = round(start * RATE), round(seconds * RATE)
    audio = _cut(path, begin, size, seek=start > 1)
    if audio is None and start > 1:  # where seeking fails, it is counted
        audio = _cut(path, begin, size, seek=False)
    if audio is None:
        raise Refused("is damaged: more than a tenth of its sound cannot be decoded")
    if not len(audio):
        raise Refused(f"has no sound from {start:.1f} s on")
    return _clipped(audio)


def _clipped(audio: np.ndarray) -> np.ndarray:
    if not len(audio):
        raise Refused("holds no samples")
    peak = float(np.abs(audio).max())
    if peak > LOUDEST:
        raise Refused(f"has samples up to {peak:.0f}: it is damaged, or to be scaled to [-1, 1]")
    return np.clip(audio, -1.0, 1.0)


def _whole(sound: Sound, seconds: float) -> np.ndarray | None:
    """The whole recording, None where it is longer (a coder's padding of 1 s is forgiven)."""
    parts, total = [np.zeros(0, np.float32)], 0
    for part in _at_16k(sound, (block for _, block in sound.blocks())):
        parts.append(part)
        total += len(part)
        if total > (seconds + 1) * RATE:
            return None
    sound.check_present()
    return np.concatenate(parts)


def _middle(path: str, size: int, stated: float | None) -> np.ndarray:
    """The centred window of a long recording, in memory that does not grow with its length."""
    audio = None
    if stated and _reaches(path, PRESENT * stated):
        audio = _whole_cut(path, stated, size, seek=True)
    if audio is None:
        audio = _counted_middle(path, size)
    if audio is None:
        raise Refused("is damaged: its middle cannot be decoded")
    return audio


def _reaches(path: str, seconds: float) -> bool:
    """Whether seeking to a time finds data there."""
    with open_sound(path) as sound:
        return sound.seek(sound.origin + seconds) and any(
            sound.reached >= seconds for _ in sound.read_packets()
        )


def _counted_middle(path: str, size: int) -> np.ndarray | None:
    """The same where the stated length is missing or wrong: all packets are read to find it."""
    with open_sound(path) as sound:
        for _ in sound.read_packets():
            pass
        sound.check_present()
    if sound.heard <= max(SHORT_SECONDS, size / RATE):
        with open_sound(path) as again:
            return _whole(again, MOST_SECONDS)
    audio = _whole_cut(path, sound.heard, size, seek=True)
    return audio if audio is not None else _whole_cut(path, sound.heard, size, seek=False)


def _whole_cut(path: str, length: float, size: int, seek: bool) -> np.ndarray | None:
    """The `size` samples in the middle of `length` seconds; None where not all are found."""
    audio = _cut(path, max(0, round(length * RATE) - size) // 2, size, seek)
    return audio if audio is not None and len(audio) == size else None


def _cut(path: str, begin: int, size: int, seek: bool) -> np.ndarray | None:
    """At most `size` samples from sample `begin` on; None where they are damaged or not found.

    Decoding starts on a whole second, at least one before the window: there the sample grids of
    every rate meet, so that the result equals the same stretch of the whole recording.
    """
    first, last = max(0, begin // RATE - 1), (begin + size) // RATE + 2
    with open_sound(path) as sound:
        if seek and not sound.seek(sound.origin + first - 0.5):
            return None
        parts = list(_at_16k(sound, _between(sound, first, last, seek)))
    if sound.damaged or not parts:
        return None
    return np.concatenate(parts)[begin - first * RATE :][:size]


def _between(sound: Sound, first: int, last: int, sought: bool) -> Iterator[np.ndarray]:
    """Blocks of the seconds [first, last), by time stamps after seeking, otherwise by counting."""
    position: int | None = None
    for time, block in sound.blocks():
        if position is None and sought and time is None:
            return
        if position is None:
            position = round(((time or 0.0) - sound.origin) * sound.rate) if sought else 0
            if position > first * sound.rate:
                return
        start, stop = first * sound.rate - position, last * sound.rate - position
        if start < len(block):
            yield block[max(start, 0) : stop]
        position += len(block)
        if stop <= len(block):
            return


def _at_16k(sound: Sound, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Resample (band-limited, 16 bits and better) in steps of about a second."""
    resampler = None
    waiting: list[np.ndarray] = []
    size = 0
    for block in blocks:
        resampler = resampler or soxr.ResampleStream(sound.rate, RATE, 1, dtype="float32")
        waiting.append(block)
        size += len(block)
        if size >= sound.rate:
            yield resampler.resample_chunk(_finite(waiting))
            waiting, size = [], 0
    if resampler is not None:
        yield resampler.resample_chunk(_finite(waiting), last=True)


def _finite(blocks: list[np.ndarray]) -> np.ndarray:
    samples = np.concatenate([np.zeros(0, np.float32), *blocks])
    if not np.isfinite(samples).all():
        raise Refused("holds samples that are not numbers (NaN or infinity)")
    return samples
