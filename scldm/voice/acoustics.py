"""What is measured of a voice: pitch, formants, breath and the rate of speaking.

Pitch: the autocorrelation, corrected for its window, and the cheapest path through its peaks
(Boersma, 1993), searched twice: the second time near the speaker's own median, where errors of an
octave do not reach.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import librosa
import numpy as np
from scipy import fft, signal

from scldm.core.errors import InputError
from scldm.voice.protocols import RATE

_HOP = 160  # samples: 10 ms
_LOW, _HIGH = 50.0, 600.0  # Hz, where f0 is looked for
_WINDOW, _FFT = 800, 2048  # samples: 50 ms, and room for the longest lag
_CANDIDATES = 8  # peaks of the autocorrelation, a frame
_VOICING, _SILENCE, _OCTAVE = 0.5, 0.03, 0.03  # Boersma's thresholds and cost of a low octave
_JUMP, _SWITCH = 0.35, 0.14  # his costs of an octave, and of the voice setting in or out
_NEAR = (0.6, 1.8)  # of the median f0: the second search
_ENOUGH, _MOST = 10, 2000  # voiced frames, and of them what timbre is measured by
_BLOCK = 1000  # frames at a time

_ORDER, _LPC_WINDOW = 18, 400  # linear prediction of 25 ms
_THIRD_AND_FOURTH = (2428.0, 3478.0)  # Hz, measured of the population at a tract of 17.5 cm
_REACH, _ROUNDS = 0.12, 5  # log distance of a resonance to its place, and rounds of refinement
_STRONG, _LOUD = 0.6, 25.0  # frames that count: periodicity, and dB below the loudest

_BANDS = ((1500.0, 4000.0), (3000.0, 7000.0))  # Hz, where breath is heard
_BREATH = (1.74, -1.40, -0.35, 0.107)  # of 1, the periodicity of both bands, log2(f0 / 150 Hz):
# least squares over clips of the population and its voices with a breath between 0 and 1

_PAUSE = 20  # frames of silence that are no part of speaking
_DIP = 1.5  # dB between syllables
_MERGED = 1.05  # syllables for a peak: some have no dip before them


@dataclass(frozen=True)
class VoiceParameters:
    """How a voice sounds.

    Attributes:
        f0: Hz, geometric mean over voiced speech.
        formants: scale of the formants; 1 is the average man, with a vocal tract of 17.5 cm.
        breath: 0 modal to 1 very breathy.
        rate: syllables a second while speaking.
    """

    f0: float
    formants: float
    breath: float
    rate: float


@dataclass(frozen=True)
class _Pitch:
    """f0 (T,) in Hz, NaN where unvoiced, and the height (T,) of its peak: 1 is periodic."""

    f0: np.ndarray
    strength: np.ndarray


def measure(audio: np.ndarray) -> VoiceParameters:
    """The voice of a clip: (n,) float32, 16 kHz.

    f0: geometric mean of `f0_track`. formants: the third and the fourth resonance of linear
    prediction, medians over voiced frames, by the average man's; the first two follow the text.
    breath: linear in the upper quartile, over voiced frames, of the correlation of neighbouring
    periods, which is the harmonics' share of the power, in two bands, and in log f0. rate: peaks
    of intensity (after de Jong and Wempe, 2009) by the time without pauses of 0.2 s.
    Raises InputError for speech without a voice in it.
    """
    audio = _checked(audio)
    pitch = _pitch(audio)
    voiced = np.isfinite(pitch.f0)
    if voiced.sum() < _ENOUGH:
        raise InputError("no voice in this clip: give at least a second of clear speech")
    return VoiceParameters(
        f0=float(np.exp(np.log(pitch.f0[voiced]).mean())),
        formants=_formants(audio, pitch),
        breath=_breath(audio, pitch),
        rate=_rate(audio, voiced),
    )


def f0_track(audio: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n,) float32, 16 kHz -> times (T,) in seconds, every 10 ms, and f0 (T,) in Hz.

    f0 is NaN where there is no voice.
    """
    f0 = _pitch(_checked(audio)).f0
    return np.arange(len(f0)) * (_HOP / RATE), f0


def _checked(audio: np.ndarray) -> np.ndarray:
    if audio.ndim != 1 or not len(audio) or not np.isfinite(audio).all():
        raise InputError(f"sound of shape {audio.shape}: give finite samples (n,), 16 kHz mono")
    return audio.astype(np.float32, copy=False)


def _frames(audio: np.ndarray, size: int) -> np.ndarray:
    """(T, size) stretches about 0, 10, 20 ... ms; a view."""
    padded = np.pad(audio, (size // 2, size - size // 2))
    return np.lib.stride_tricks.sliding_window_view(padded, size)[: len(audio) + 1 : _HOP]


def _pitch(audio: np.ndarray) -> _Pitch:
    """The cheapest path through the candidates, near the median of the first one found."""
    frames = _frames(audio, _WINDOW)
    blocks = [_candidates(frames[k : k + _BLOCK]) for k in range(0, len(frames), _BLOCK)]
    f0, height, score, peak = (np.concatenate(part) for part in zip(*blocks, strict=True))
    silence = 2 - peak / max(peak.max(), 1e-9) * ((1 + _VOICING) / _SILENCE)
    unvoiced = _VOICING + np.maximum(0, silence)
    first = _along(f0, _cheapest(f0, score, unvoiced))
    if not np.isfinite(first).any():
        return _Pitch(first, first)
    low, high = np.nanmedian(first) * np.array(_NEAR)
    path = _cheapest(f0, np.where((f0 >= low) & (f0 <= high), score, -np.inf), unvoiced)
    return _Pitch(_along(f0, path), _along(height, path))


def _along(values: np.ndarray, path: np.ndarray) -> np.ndarray:
    """(T,) of `values` (T, K) on `path` (T,); NaN where the path says K, unvoiced."""
    return np.append(values, np.full((len(values), 1), np.nan), 1)[np.arange(len(path)), path]


def _candidates(frames: np.ndarray) -> tuple[np.ndarray, ...]:
    """f0, height and score (T, K) of the highest peaks, and the loudest sample (T,)."""
    frames = frames - frames.mean(1, keepdims=True)
    window = signal.windows.hann(_WINDOW, sym=False).astype(np.float32)
    lags = int(RATE / _LOW) + 2
    power = fft.irfft(np.abs(fft.rfft(frames * window, _FFT)) ** 2)[:, :lags]
    shape = fft.irfft(np.abs(fft.rfft(window, _FFT)) ** 2)[:lags]
    lines = power / np.maximum(power[:, :1], 1e-9) / (shape / shape[0])
    middle, lag = lines[:, 1:-1], np.arange(1, lags - 1)
    peaks = (middle > lines[:, :-2]) & (middle >= lines[:, 2:]) & (lag >= int(RATE / _HIGH))
    score = np.where(peaks, middle - _OCTAVE * np.log2(_LOW * lag / RATE), -np.inf)
    best = np.argpartition(-score, _CANDIDATES, axis=1)[:, :_CANDIDATES]
    f0, height = _parabola(lines, best)
    height = np.where(height > 1, 1 / np.maximum(height, 1), height)
    found = np.isfinite(np.take_along_axis(score, best, 1))
    score = np.where(found, height - _OCTAVE * np.log2(_LOW / f0), -np.inf)
    return f0, height, score, np.abs(frames).max(1)


def _parabola(lines: np.ndarray, best: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Hz and heights (T, K) of the peaks `best` (lag - 1) between the samples of `lines`."""
    rows = np.arange(len(lines))[:, None]
    left, middle, right = lines[rows, best], lines[rows, best + 1], lines[rows, best + 2]
    bend = np.minimum(left - 2 * middle + right, -1e-9)
    shift = np.clip(0.5 * (left - right) / bend, -0.5, 0.5)
    return RATE / (best + 1 + shift), middle - 0.25 * (left - right) * shift


def _cheapest(f0: np.ndarray, score: np.ndarray, unvoiced: np.ndarray) -> np.ndarray:
    """(T,) which of the K candidates (T, K) to take, or K for unvoiced: Viterbi's path."""
    count, octaves = f0.shape[1], np.log2(f0)
    gain = np.append(score, unvoiced[:, None], 1)
    came = np.empty(gain.shape, int)
    cost = np.full((count + 1, count + 1), _SWITCH)
    cost[count, count] = 0
    total = gain[0]
    for t in range(1, len(gain)):
        cost[:count, :count] = _JUMP * np.abs(octaves[t - 1][:, None] - octaves[t])
        ways = total[:, None] - cost
        came[t] = ways.argmax(0)
        total = ways.max(0) + gain[t]
    path = np.empty(len(gain), int)
    path[-1] = total.argmax()
    for t in range(len(gain) - 1, 0, -1):
        path[t - 1] = came[t, path[t]]
    return path


def _formants(audio: np.ndarray, pitch: _Pitch) -> float:
    """The scale by the third and fourth resonance: first by their rank, then by their place."""
    level = 10 * np.log10((_frames(audio, _LPC_WINDOW) ** 2).mean(1) + 1e-12)
    clear = np.nan_to_num(pitch.strength) > _STRONG
    keep = clear & (level > level.max() - _LOUD)
    chosen = _thinned(keep if keep.any() else np.isfinite(pitch.f0))
    bright = np.append(audio[:1], audio[1:] - 0.97 * audio[:-1])
    frames = _frames(bright, _LPC_WINDOW)[chosen] * signal.windows.hamming(_LPC_WINDOW)
    hertz, width = _resonances(frames.astype(float) + 1e-9)
    hertz[(hertz < 150) | (hertz > 7000) | (width > 600)] = np.nan
    places = np.log(_THIRD_AND_FOURTH)
    scale = (np.log(np.nanmedian(np.sort(hertz, 1)[:, 2:4], 0)) - places).mean()
    for _ in range(_ROUNDS):
        offsets = [np.log(hertz) - place - scale for place in places]
        near = [np.abs(o) < _REACH for o in offsets]
        pairs = zip(offsets, near, strict=True)
        scale += np.mean([np.median(o[n]) if n.any() else 0 for o, n in pairs])
    return float(np.exp(scale))


def _thinned(frames: np.ndarray) -> np.ndarray:
    """Which frames of (T,) are true; of a long clip every so many."""
    places = np.flatnonzero(frames)
    return places[:: -(-len(places) // _MOST) or 1]


def _resonances(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Hz and bandwidths (N, order) of the poles of linear prediction of frames (N, size)."""
    filters = librosa.lpc(frames, order=_ORDER)
    companion = np.zeros((len(filters), _ORDER, _ORDER))
    companion[:, 0] = -filters[:, 1:]
    companion[:, np.arange(1, _ORDER), np.arange(_ORDER - 1)] = 1
    poles = np.linalg.eigvals(companion)
    return np.angle(poles) * (RATE / 2 / np.pi), -np.log(np.abs(poles)) * (RATE / np.pi)


def _breath(audio: np.ndarray, pitch: _Pitch) -> float:
    """`_BREATH` of both bands' periodicity and of pitch."""
    shares = []
    for band in _BANDS:
        sections = signal.butter(4, band, "bandpass", fs=RATE, output="sos")
        found = list(_periodicity(signal.sosfiltfilt(sections, audio), pitch.f0))
        shares.append(float(np.quantile(found or [1.0], 0.75)))
    octave = np.log2(np.nanmedian(pitch.f0) / 150)
    return float(np.clip(np.dot(_BREATH, (1, *shares, octave)), 0, 1))


def _periodicity(audio: np.ndarray, f0: np.ndarray) -> Iterator[float]:
    """For every other voiced frame the best correlation of neighbouring periods, within 4 %."""
    for t in _thinned(np.isfinite(f0))[::2]:
        period = RATE / f0[t]
        size, best = round(period), 0.0
        start = t * _HOP - size
        shifts = range(int(0.96 * period), int(1.04 * period) + 2)
        if start < 0 or start + shifts[-1] + size > len(audio):
            continue
        one = audio[start : start + size]
        for shift in shifts:
            other = audio[start + shift : start + shift + size]
            power = np.sqrt((one @ one) * (other @ other))
            best = max(best, (one @ other) / max(power, 1e-12))
        yield float(best)


def _rate(audio: np.ndarray, voiced: np.ndarray) -> float:
    """Syllables a second: peaks of the mean level of 20 bands, near voiced frames."""
    bands = librosa.filters.mel(sr=RATE, n_fft=512, n_mels=20, fmin=150, fmax=6500)
    window = signal.windows.hann(_LPC_WINDOW).astype(np.float32)
    power = np.abs(fft.rfft(_frames(audio, _LPC_WINDOW) * window, 512)) ** 2 @ bands.T
    total = 10 * np.log10(power.mean(1) + 1e-12)
    heard = np.flatnonzero(total > np.quantile(total, 0.98) - _LOUD)
    gaps = np.diff(heard)
    speaking = np.zeros(len(total), bool)
    for first, gap in zip(heard, np.append(gaps, 1), strict=True):
        speaking[first : first + (gap if gap <= _PAUSE else 1)] = True
    floor = np.maximum(power.max(0) * 10**-3.5, 1e-12)
    level = (10 * np.log10(np.maximum(power, floor))).mean(1)
    smooth = signal.windows.hann(11)[1:-1]
    level = np.convolve(level, smooth / smooth.sum(), "same")
    peaks, _ = signal.find_peaks(level, prominence=_DIP)
    spoken = speaking & (np.convolve(voiced, np.ones(9), "same") > 0)
    return _MERGED * max(int(spoken[peaks].sum()), 1) / (int(speaking.sum()) * (_HOP / RATE))
