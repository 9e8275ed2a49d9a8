"""What is heard in voices: a judge's embeddings, acoustic parameters, words, and distances to a
reference that says the same; recording by recording, so that memory holds figures only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import torch
from scipy.fft import dct
from torch import Tensor

from scldm.core.errors import InputError
from scldm.core.progress import Progress
from scldm.data.media import read_audio
from scldm.voice.acoustics import f0_track, measure
from scldm.voice.protocols import RATE, SpeakerEncoder

MELS, CEPSTRA, HOP = 40, 13, 160


@dataclass(frozen=True)
class Heard:
    """N recordings. features (N, D): the judge's; f0 (N,) Hz, NaN where no voice is heard; kept
    (N,): which of those asked for could be read."""

    features: Tensor
    f0: np.ndarray
    kept: np.ndarray


def hear(
    judge: SpeakerEncoder, recordings: Iterator[np.ndarray | InputError], count: int, name: str,
    faults: list[str],
) -> Heard:
    """Hear recordings (n,) float32, 16 kHz; InputErrors among them are faults.

    Raises InputError when none can be used.
    """
    features, f0, kept = list[Tensor](), list[float](), list[int]()
    with Progress(f"hearing {name}", count) as bar, torch.no_grad():
        for number, audio in enumerate(recordings):
            bar.update()
            try:
                if isinstance(audio, InputError):
                    raise audio
                features.append(judge(torch.from_numpy(audio.copy())[None])[0].cpu())
            except InputError as error:
                faults.append(str(error))
                continue
            f0.append(pitch(audio))
            kept.append(number)
    if not kept:
        raise InputError(f"{name}: no recording of it can be used")
    return Heard(torch.stack(features), np.array(f0), np.array(kept))


def read_files(files: Sequence[Path]) -> Iterator[np.ndarray | InputError]:
    """Recordings of files, each (n,) float32 at 16 kHz, or the reason why not."""
    for file in files:
        try:
            yield read_audio(file, window=60.0)
        except InputError as error:
            yield error


def pitch(audio: np.ndarray) -> float:
    """Geometric mean of F0 in Hz of speech (n,) at 16 kHz; NaN where no voice is heard."""
    try:
        return measure(audio).f0
    except InputError:
        return float("nan")


def mel_cepstra(audio: np.ndarray) -> np.ndarray:
    """(T, 13) cepstra c_1 to c_13 of the log amplitude of 40 mel bands, every 10 ms: the log
    spectrum is c_0 + sum of c_k cos(k w)."""
    power = librosa.feature.melspectrogram(y=audio, sr=RATE, n_fft=400, hop_length=HOP, n_mels=MELS)
    log = np.log(np.maximum(power, 1e-8)) / 2
    return dct(log, axis=0, type=2)[1 : CEPSTRA + 1].T / MELS


def parallel(audio: np.ndarray, reference: np.ndarray) -> tuple[float, float]:
    """(MCD in dB, F0 RMSE in Hz) of two recordings of one text, aligned by dynamic time warping.

    MCD = 10 / ln 10 sqrt(2 sum of squared differences of c_1 to c_13), averaged over the path
    (Kubichek, 1993). F0 RMSE is over pairs of frames that are voiced in both; NaN without any.
    """
    a, b = mel_cepstra(audio), mel_cepstra(reference)
    _, path = librosa.sequence.dtw(a.T, b.T, metric="euclidean")
    i, j = path.T
    distance = 10 / np.log(10) * np.sqrt(2 * np.square(a[i] - b[j]).sum(axis=1))
    tracks = [_at_frames(x, len(c)) for x, c in ((audio, a), (reference, b))]
    gap = tracks[0][i] - tracks[1][j]
    voiced = ~np.isnan(gap)
    rmse = float(np.sqrt(np.square(gap[voiced]).mean())) if voiced.any() else float("nan")
    return float(distance.mean()), rmse


def _at_frames(audio: np.ndarray, count: int) -> np.ndarray:
    """F0 (count,) in Hz at frames of 10 ms, NaN where unvoiced."""
    times, f0 = f0_track(audio)
    place = np.clip(np.searchsorted(times, np.arange(count) * HOP / RATE), 0, len(times) - 1)
    return f0[place]


def word_errors(audio: np.ndarray, text: str) -> float:
    """Word error rate of speech (n,) at 16 kHz as pocketsphinx hears it, against its text, which
    has words."""
    import jiwer

    decoder = _recogniser()
    decoder.start_utt()
    decoder.process_raw((np.clip(audio, -1, 1) * 32767).astype(np.int16).tobytes(), full_utt=True)
    decoder.end_utt()
    said = decoder.hyp().hypstr if decoder.hyp() else ""
    return float(jiwer.wer(words_of(text), words_of(said) or "-"))


def has_recogniser() -> bool:
    """Whether pocketsphinx, with its model of English, and jiwer are installed."""
    return all(find_spec(name) for name in ("pocketsphinx", "jiwer"))


@cache
def _recogniser() -> Any:
    from pocketsphinx import Decoder

    return Decoder(samprate=RATE, loglevel="FATAL")


def words_of(text: str) -> str:
    """Letters, apostrophes and single spaces, in lower case."""
    kept = "".join(c if c.isalpha() or c in "' " else " " for c in text.lower())
    return " ".join(kept.split())
