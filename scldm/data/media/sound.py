"""An open recording: its packets and its samples, and how much of it turns out to be missing."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import av
import numpy as np
from av.container import InputContainer

from scldm.data.media.limits import HIGHEST_RATE, LOWEST_RATE, MOST_CHANNELS, PRESENT, Refused


@dataclass
class Sound:
    """An open recording and what was found in it so far; times are in seconds."""

    container: InputContainer
    stream: av.AudioStream
    decoder: av.AudioCodecContext
    stated: float | None  # length that the container states, None where it only guesses
    early: float = 0.0  # by how much the decoder's time stamps precede the sound
    rate: int = 0  # Hz, of the decoded frames
    reached: float = 0.0  # latest time that any packet covers
    heard: float = 0.0  # the same for the sound alone, from its beginning
    packets: int = 0
    lost: int = 0  # packets that could not be decoded

    @cached_property
    def origin(self) -> float:
        """Time stamp of the first sample."""
        return float((self.stream.start_time or 0) * (self.stream.time_base or 0))

    def read_packets(self) -> Iterator[av.Packet[Any]]:
        """The packets of the sound, up to where the data end or break off."""
        ticks = [float(stream.time_base or 0) for stream in self.container.streams]
        with until_broken():
            for packet in self.container.demux():
                index = packet.stream_index
                sound = index == self.stream.index
                if packet.pts is not None:
                    end = (packet.pts + (packet.duration or 0)) * ticks[index]
                    self.reached = max(self.reached, end)
                    self.heard = max(self.heard, end - self.origin) if sound else self.heard
                if sound:
                    yield packet

    def blocks(self) -> Iterator[tuple[float | None, np.ndarray]]:
        """(time of the first sample, (n,) float32 mono samples at `rate`) of each frame."""
        for packet in self.read_packets():
            self.packets += bool(packet.size)
            frames: list[av.AudioFrame] | None = None
            with until_broken():
                frames = self.decoder.decode(packet)
            self.lost += frames is None
            for frame in frames or ():
                check_shape(frame.sample_rate, frame.layout.nb_channels, self.rate)
                self.rate = frame.sample_rate
                yield None if frame.time is None else frame.time + self.early, _mono(frame)

    def seek(self, seconds: float) -> bool:
        """Go to the last packet at or before a time stamp; False where that does not work."""
        base = self.stream.time_base
        with contextlib.suppress(OSError, ValueError, OverflowError):
            self.container.seek(int(max(seconds, 0) / base) if base else 0, stream=self.stream)
            return True
        return False

    def check_present(self) -> None:
        """Refuse a recording of which more than a tenth is missing, after reading all of it."""
        if self.stated and self.reached < PRESENT * self.stated:
            there = f"{self.reached:.1f} of {self.stated:.1f} seconds are there"
            raise Refused(f"is truncated: {there}")
        if self.damaged:
            raise Refused(f"is damaged: {self.lost} of {self.packets} packets cannot be decoded")

    @property
    def damaged(self) -> bool:
        """More than a tenth of the packets could not be decoded."""
        return self.lost > (1 - PRESENT) * self.packets


@contextlib.contextmanager
def until_broken() -> Iterator[None]:
    """Leave the block quietly where the data are broken; lack of memory is not quiet."""
    try:
        yield
    except (OSError, ValueError, EOFError) as error:
        if getattr(error, "errno", None) == errno.ENOMEM:
            raise MemoryError from error


def check_shape(rate: int, channels: int, before: int = 0) -> None:
    """Refuse a rate or a number of channels outside of the limits, and a rate unlike `before`."""
    if channels > MOST_CHANNELS:
        raise Refused(f"has {channels} channels; at most {MOST_CHANNELS} are read")
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        allowed = f"{LOWEST_RATE} to {HIGHEST_RATE} Hz are read"
        raise Refused(f"has a sample rate of {rate} Hz; {allowed}")
    if before not in (0, rate):
        raise Refused(f"changes its sample rate from {before} to {rate} Hz midway")


def _mono(frame: av.AudioFrame) -> np.ndarray:
    """(n,) float32: the mean of the channels, full scale 1."""
    samples = frame.to_ndarray()
    if samples.shape[0] == 1:  # one channel, or several interleaved
        samples = samples.reshape(frame.samples, -1).T
    if samples.dtype == np.uint8:
        samples = (samples.astype(np.float32) - 128) / 128
    elif samples.dtype.kind == "i":
        full_scale = 2.0 ** (8 * samples.itemsize - 1)
        samples = samples.astype(np.float32) / full_scale
    with np.errstate(over="ignore", invalid="ignore"):
        mono = samples[0] if len(samples) == 1 else samples.mean(axis=0)
        return mono.astype(np.float32, copy=False)
