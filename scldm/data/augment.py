"""Speech augmentation: pitch, tempo, codec (slow, kept); shift, room, noise, holes, gain (fast).

Waveforms are float32, 16 kHz, mono, in [-1, 1].
"""

from __future__ import annotations

import io

import numpy as np
import soundfile
from scipy.signal import fftconvolve, lfilter, resample_poly

from scldm.data.spectrogram import RATE, SAMPLES


def vary_voice(audio: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Pitch by up to one semitone, tempo by up to 15 %, and a lossy codec, each half of the time.

    A semitone (6 %) keeps the gender of a voice. Returns float32 (n',).
    """
    import librosa

    if rng.random() < 0.5:
        audio = librosa.effects.pitch_shift(audio, sr=RATE, n_steps=rng.uniform(-1, 1))
    if rng.random() < 0.5:
        audio = librosa.effects.time_stretch(audio, rate=rng.uniform(0.87, 1.15))
    if rng.random() < 0.5:
        audio = through_codec(audio, rng)
    return audio.astype(np.float32)


def through_codec(audio: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The waveform after one of MP3, Opus, Vorbis, or an 8 kHz telephone band."""
    kind = ("MP3", "OPUS", "VORBIS", "phone")[rng.integers(4)]
    if kind == "phone":
        return resample_poly(resample_poly(audio, 1, 2), 2, 1)[: len(audio)].astype(np.float32)
    container, subtype = ("MP3", "MPEG_LAYER_III") if kind == "MP3" else ("OGG", kind)
    file = io.BytesIO()
    soundfile.write(
        file, audio, RATE, subtype, format=container, compression_level=rng.uniform(0.5, 0.99)
    )
    file.seek(0)
    return soundfile.read(file, dtype="float32")[0]


def vary_recording(audio: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Shift, tilt, room, noise, holes in frequency and time, gain. (96000,) -> float32 (96000,)."""
    audio = np.roll(audio, rng.integers(len(audio)))
    audio = lfilter([1, rng.uniform(-0.5, 0.5)], [1], audio)
    if rng.random() < 0.3:
        audio = fftconvolve(audio, room(rng))[:SAMPLES]
    if rng.random() < 0.5:
        audio = audio + noise_like(audio, rng.uniform(5, 35), rng)
    audio = without_stretches(without_bands(audio, rng), rng)
    peak = np.abs(audio).max() + 1e-9
    return (audio / peak * rng.uniform(0.1, 1.0)).astype(np.float32)


def without_bands(audio: np.ndarray, rng: np.random.Generator, most: float = 950) -> np.ndarray:
    """The waveform without two bands of up to `most` Hz: SpecAugment's masks in frequency.

    Few speakers are told apart by the colour of their recordings; with holes in it the encoder
    has to hear the voice (https://arxiv.org/abs/1904.08779).
    """
    spectrum = np.fft.rfft(audio)
    hertz = np.fft.rfftfreq(len(audio), 1 / RATE)
    for width in rng.uniform(0, most, 2):
        low = rng.uniform(0, RATE / 2 - width)
        spectrum[(hertz >= low) & (hertz < low + width)] = 0
    return np.fft.irfft(spectrum, len(audio))


def without_stretches(audio: np.ndarray, rng: np.random.Generator, most: float = 0.8) -> np.ndarray:
    """The waveform with two stretches of up to `most` seconds silent: masks in time."""
    audio = audio.copy()
    for seconds in rng.uniform(0, most, 2):
        start = rng.integers(len(audio) - int(seconds * RATE) + 1)
        audio[start : start + int(seconds * RATE)] = 0
    return audio


def room(rng: np.random.Generator) -> np.ndarray:
    """A synthetic impulse response: direct sound, then noise that decays by 60 dB in 0.1-0.6 s."""
    seconds = rng.uniform(0.1, 0.6)
    time = np.arange(int(seconds * RATE)) / RATE
    tail = rng.standard_normal(len(time)) * 10 ** (-3 * time / seconds)
    tail *= rng.uniform(0.1, 0.6) / np.sqrt(np.sum(tail**2))
    tail[0] = 1.0
    return tail


def noise_like(audio: np.ndarray, snr: float, rng: np.random.Generator) -> np.ndarray:
    """White to brown noise at `snr` decibels below `audio`'s power."""
    noise = lfilter([1], [1, -rng.uniform(0, 0.98)], rng.standard_normal(len(audio)))
    return noise * np.sqrt(np.mean(audio**2) / (np.mean(noise**2) + 1e-12) / 10 ** (snr / 10))
