"""Spoken clips by source and filter: glottal pulses and noise through moving formants.

Vowels: mean formants of men after Peterson and Barney (1952), scaled by 17.5 cm / tract length.
Pulses: the flow of Rosenberg (1971), differentiated. Filter: a cascade of resonators (Klatt, 1980)
that changes every 10 ms and is crossfaded between frames.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy import fft, signal

from scldm.core.errors import InputError
from scldm.data.population.people import Person, Voice, stream, voice

RATE = 16_000  # Hz
_HOP = 160  # samples between frames of the filter
_CLIP = 3
REFERENCE_TRACT = 17.5  # cm
_UPPER_FORMANTS = (3500.0, 4500.0, 5500.0, 6500.0)  # Hz, odd quarter waves of that tract
_BANDWIDTHS = (70.0, 100.0, 150.0, 220.0, 300.0, 600.0, 1000.0)  # Hz

VOWELS = (
    (270, 2290, 3010), (390, 1990, 2550), (530, 1840, 2480), (660, 1720, 2410), (730, 1090, 2440),
    (570, 840, 2410), (440, 1020, 2240), (300, 870, 2240), (640, 1190, 2390), (490, 1350, 1690),
)  # fmt: skip
SCHWA = (500, 1500, 2500)


class Consonant(NamedTuple):
    """Where the formants point (Hz), how long it lasts (s), how loud voice and noise are."""

    locus: tuple[int, int, int]
    seconds: float
    voicing: float
    noise: float = 0.0
    centre: float = 0.0  # Hz
    width: float = 0.0  # Hz
    release: float = 0.0  # seconds of noise after a closure; 0: noise throughout


CONSONANTS = (
    Consonant((250, 1000, 2200), 0.070, 0.35),  # m
    Consonant((250, 1500, 2500), 0.065, 0.35),  # n
    Consonant((350, 1100, 2700), 0.060, 0.55),  # l
    Consonant((350, 1200, 1600), 0.060, 0.60),  # r
    Consonant((300, 700, 2200), 0.070, 0.60),  # w
    Consonant((270, 2200, 3000), 0.060, 0.60),  # j
    Consonant((320, 1600, 2600), 0.110, 0.00, 0.16, 6200, 2500),  # s
    Consonant((320, 1900, 2600), 0.110, 0.00, 0.18, 3600, 1600),  # sh
    Consonant((320, 1100, 2300), 0.090, 0.00, 0.05, 5000, 5500),  # f
    Consonant((300, 1600, 2600), 0.080, 0.30, 0.08, 6000, 2500),  # z
    Consonant((500, 1500, 2500), 0.070, 0.00, 0.06, 1600, 2200),  # h
    Consonant((300, 800, 2200), 0.085, 0.00, 0.16, 1000, 1200, 0.030),  # p
    Consonant((300, 1750, 2700), 0.085, 0.00, 0.22, 4800, 3000, 0.035),  # t
    Consonant((300, 1900, 2300), 0.090, 0.00, 0.20, 2200, 1300, 0.040),  # k
    Consonant((280, 800, 2200), 0.065, 0.12, 0.10, 900, 1000, 0.012),  # b
    Consonant((280, 1750, 2700), 0.065, 0.12, 0.12, 4200, 3000, 0.014),  # d
    Consonant((280, 1900, 2300), 0.065, 0.12, 0.12, 2000, 1200, 0.018),  # g
)


class Syllable(NamedTuple):
    """Consonants, and a vowel that glides from one place (Hz) to another."""

    onset: tuple[Consonant, ...]
    vowel: tuple[int, int, int]
    glide: tuple[int, int, int]


class _Anchor(NamedTuple):
    """A moment of the text, joined to the next by straight lines."""

    time: float  # seconds
    formants: tuple[int, int, int]  # Hz for a tract of 17.5 cm
    level: float  # loudness of the voice, 0 to 1
    pitch: float  # semitones about the speaker's mean


class _Hiss(NamedTuple):
    """A stretch of frication: start and length in seconds, and the consonant it belongs to."""

    start: float
    seconds: float
    sound: Consonant


@dataclass(frozen=True)
class _Score:
    """What is said: the fields of K anchors as arrays, and the frication."""

    times: np.ndarray  # (K,)
    formants: np.ndarray  # (K, 3)
    level: np.ndarray  # (K,)
    pitch: np.ndarray  # (K,)
    hisses: tuple[_Hiss, ...]


def speak(person: Person, clip: int, seconds: float = 6.0) -> np.ndarray:
    """A clip of made-up speech: float32 (seconds * 16000,), 16 kHz, in [-1, 1].

    Clips of one person differ in text, rate and level. The geometric mean of f0 over voiced
    speech is `voice(person).f0`, give or take 2 %. Raises InputError when clip is negative or
    seconds is below 0.1.
    """
    if clip < 0 or seconds < 0.1:
        raise InputError(f"clip {clip} of {seconds} s: give clip 0 or more and at least 0.1 s")
    rng, speaker, samples = stream(person, _CLIP, clip), voice(person), round(seconds * RATE)
    return _sound(speaker, _compose(speaker, seconds, rng), samples, rng)


def utter(
    speaker: Voice, phrases: Iterable[tuple[Syllable, ...]], rng: np.random.Generator
) -> np.ndarray:
    """Phrases of given syllables: float32 (n,), 16 kHz, in [-1, 1]; the rate is the speaker's."""
    anchors, hisses, now = list[_Anchor](), list[_Hiss](), 0.1
    for phrase in phrases:
        now = _phrase(anchors, hisses, now, speaker, len(phrase), iter(phrase), rng)
        now += 1.8 / speaker.rate
    return _sound(speaker, _score(anchors, hisses), round(now * RATE), rng)


def _sound(speaker: Voice, score: _Score, samples: int, rng: np.random.Generator) -> np.ndarray:
    """(samples,) what is heard of a score, and a little noise of the room."""
    frames = np.arange(samples // _HOP + 2) * (_HOP / RATE)
    level = np.interp(frames, score.times, score.level)
    f0 = _fundamental(speaker, score, frames, level, rng)
    source = _source(speaker, f0, level, samples, rng)
    sound = _vocal_tract(source, _formants(speaker, score, frames), speaker.breath)
    for hiss in score.hisses:
        _add_hiss(sound, hiss, rng)
    sound += 10 ** rng.uniform(-3.2, -2.5) * rng.standard_normal(samples, dtype=np.float32)
    return (sound * (rng.uniform(0.3, 0.95) / np.abs(sound).max())).astype(np.float32)


def _compose(speaker: Voice, seconds: float, rng: np.random.Generator) -> _Score:
    """Phrases of three to nine syllables with pauses between them, until the clip is full."""
    speaker = replace(speaker, rate=speaker.rate * rng.uniform(0.93, 1.07))
    anchors: list[_Anchor] = []
    hisses: list[_Hiss] = []
    now = rng.uniform(0.02, 0.15)
    while now < seconds:
        count = int(rng.integers(3, 10))
        now = _phrase(anchors, hisses, now, speaker, count, _any(rng), rng)
        now += rng.uniform(1.0, 2.6) / speaker.rate
    return _score(anchors, hisses)


def _any(rng: np.random.Generator) -> Iterator[Syllable]:
    """Any consonant and any vowel, drawn when they are asked for."""
    while True:
        sound = CONSONANTS[rng.integers(len(CONSONANTS))]
        vowel = VOWELS[rng.integers(len(VOWELS))]
        yield Syllable((sound,), vowel, vowel)


def _phrase(
    anchors: list[_Anchor],
    hisses: list[_Hiss],
    now: float,
    speaker: Voice,
    count: int,
    syllables: Iterator[Syllable],
    rng: np.random.Generator,
) -> float:
    """Append `count` syllables from `now` (s), the last one long and low; the time they end."""
    anchors.append(_Anchor(now - 0.015, SCHWA, 0.0, 0.7 * speaker.melody))
    for place in range(count):
        last = place == count - 1
        lean = speaker.melody * (0.7 - 1.4 * place / max(count - 1, 1)) - 1.5 * last
        pitch = lean + 0.8 * speaker.melody * rng.standard_normal()
        length = rng.uniform(0.75, 1.25) * (1.4 if last else 1.0) / speaker.rate
        now = _syllable(anchors, hisses, next(syllables), now, length, pitch, rng)
    anchors.append(anchors[-1]._replace(time=now + 0.02, level=0.0))
    return now


def _score(anchors: list[_Anchor], hisses: list[_Hiss]) -> _Score:
    times, formants, level, pitches = zip(*anchors, strict=True)
    lines = np.array(times), np.array(formants, float), np.array(level), np.array(pitches)
    return _Score(*lines, tuple(hisses))


def _syllable(
    anchors: list[_Anchor],
    hisses: list[_Hiss],
    syllable: Syllable,
    start: float,
    length: float,
    pitch: float,
    rng: np.random.Generator,
) -> float:
    """Append consonants and one vowel from `start` (s); the time at which they end."""
    loud, onset, end = rng.uniform(0.6, 1.0), start, start + length
    for sound in syllable.onset:
        seconds = min(sound.seconds, 0.45 * length / len(syllable.onset))
        begun, onset = onset, onset + seconds
        if sound.noise:
            held = seconds - 0.01 if sound.release else 0.0
            hisses.append(_Hiss(begun + held, sound.release or seconds, sound))
        if not sound.voicing:  # aspiration before the voice sets in
            onset += sound.release
        for time in (begun + 0.015, onset):
            anchors.append(_Anchor(time, sound.locus, sound.voicing * loud, pitch))
    anchors.append(_Anchor(onset + 0.03, syllable.vowel, loud, pitch))
    anchors.append(_Anchor(end - 0.015, syllable.glide, 0.8 * loud, pitch))
    return end


def _fundamental(
    speaker: Voice, score: _Score, frames: np.ndarray, level: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """f0 in Hz at the frames; its geometric mean, weighted by loudness, is the speaker's."""
    curve = _smooth(np.interp(frames, score.times, score.pitch), 9)
    curve -= (curve * level).sum() / max(level.sum(), 1e-9)
    return speaker.f0 * rng.uniform(0.98, 1.02) * 2 ** (curve / 12)


def _formants(speaker: Voice, score: _Score, frames: np.ndarray) -> np.ndarray:
    """(frames, 7) Hz: three that move with the text and four that stand, scaled by the tract."""
    moving = [_smooth(np.interp(frames, score.times, line), 5) for line in score.formants.T]
    standing = [np.full(frames.shape, hertz) for hertz in _UPPER_FORMANTS]
    return np.stack(moving + standing, axis=1) * (REFERENCE_TRACT / speaker.tract)


def _source(
    speaker: Voice, f0: np.ndarray, level: np.ndarray, samples: int, rng: np.random.Generator
) -> np.ndarray:
    """(samples,) the derivative of the glottal flow, with jitter, shimmer and breath."""
    at, knots = np.arange(samples), np.arange(len(f0)) * _HOP
    rise = np.interp(at, knots, f0 / RATE)
    cycle = np.cumsum(rise).astype(int)
    periods = rng.standard_normal((2, cycle[-1] + 1))
    phase = np.cumsum(rise * (1 + speaker.roughness * periods[0])[cycle])
    flow = np.interp(phase % 1.0, *_rosenberg(speaker.open_quotient)).astype(np.float32)
    pulses = np.diff(flow, prepend=flow[:1])  # averages the derivative over a sample: less aliasing
    pulses *= (0.12 / rise * (1 + 4 * speaker.roughness * periods[1])[cycle]).astype(np.float32)
    pole = float(np.clip(speaker.tilt, 0.0, 0.75))
    pulses = signal.lfilter([1 - pole], [1, -pole], pulses).astype(np.float32)
    breath = rng.standard_normal(samples, dtype=np.float32) * (0.3 + 0.7 * flow)
    envelope = np.interp(at, knots, level).astype(np.float32)
    return envelope * (pulses + 0.11 * speaker.breath * breath)


def _rosenberg(open_quotient: float) -> tuple[np.ndarray, np.ndarray]:
    """One period of the flow: phases in [0, 1] and values; opening lasts twice as long."""
    phase = np.linspace(0, 1, 513)
    peak, close = open_quotient * 2 / 3, open_quotient
    rising = 0.5 * (1 - np.cos(np.pi * phase / peak))
    falling = np.cos(np.pi / 2 * (phase - peak) / (close - peak))
    return phase, np.where(phase < peak, rising, np.where(phase < close, falling, 0.0))


def _vocal_tract(source: np.ndarray, formants: np.ndarray, breath: float) -> np.ndarray:
    """(samples,) `source` through the cascade; Hann frames of 20 ms, filtered and overlapped."""
    widths = np.array(_BANDWIDTHS) * np.array((1 + breath, *(1.0,) * 6))
    radius = np.exp(-np.pi * widths / RATE)
    turn = -2 * radius * np.cos(2 * np.pi * np.minimum(formants, 7800.0) / RATE)
    poles = np.ones((len(formants), 1))
    for k in range(len(widths)):  # multiply out 1 + a1 z^-1 + a2 z^-2 of every resonator
        longer = np.pad(poles, ((0, 0), (0, 2)))
        longer[:, 1:-1] += turn[:, k, None] * poles
        longer[:, 2:] += radius[k] ** 2 * poles
        poles = longer
    response = poles.sum(1, keepdims=True) / fft.rfft(poles, 4 * _HOP)  # 1 at 0 Hz
    padded = np.pad(source, (_HOP, 3 * _HOP))
    blocks = np.lib.stride_tricks.sliding_window_view(padded, 2 * _HOP)[::_HOP][: len(formants)]
    spectrum = fft.rfft(blocks * signal.windows.hann(2 * _HOP, sym=False).astype("f4"), 4 * _HOP)
    pieces = fft.irfft(spectrum * response.astype(np.complex64), 4 * _HOP)
    count = len(pieces)
    sound = np.zeros((count + 3) * _HOP, dtype=np.float32)
    for k in range(4):
        sound[k * _HOP : (k + count) * _HOP] += pieces[:, k * _HOP : (k + 1) * _HOP].ravel()
    return sound[_HOP : _HOP + len(source)]


def _add_hiss(sound: np.ndarray, hiss: _Hiss, rng: np.random.Generator) -> None:
    """Add one stretch of band-passed noise to `sound` in place."""
    start = int(hiss.start * RATE)
    size = min(max(int(hiss.seconds * RATE), 16), len(sound) - start)
    if size < 16:
        return
    radius = np.exp(-np.pi * hiss.sound.width / RATE)
    turn = -2 * radius * np.cos(2 * np.pi * hiss.sound.centre / RATE)
    noise = signal.lfilter([1 - radius, 0, radius - 1], [1, turn, radius**2],
                           rng.standard_normal(size))  # fmt: skip
    shape = np.minimum(1, np.sin(np.linspace(0, np.pi, size)) * 2)
    sound[start : start + size] += (hiss.sound.noise * shape * noise).astype(np.float32)


def _smooth(line: np.ndarray, width: int) -> np.ndarray:
    """Running Hann mean over `width` frames; the ends are held."""
    kernel = np.hanning(width + 2)[1:-1]
    padded = np.pad(line, width // 2, mode="edge")
    return np.convolve(padded, kernel / kernel.sum(), mode="valid")
