"""Six-second windows of a recording in which somebody speaks, found by silero-vad."""

from __future__ import annotations

import io
import warnings
from functools import cache
from typing import Any

import numpy as np

from scldm.data.prepare.item import Recipe, Skip
from scldm.data.spectrogram import RATE, SAMPLES

STEP = RATE // 2  # samples between the windows that are compared


@cache
def _model() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its format is deprecated in torch
        from silero_vad import load_silero_vad

        return load_silero_vad()


def spoken(audio: np.ndarray) -> np.ndarray:
    """Where somebody speaks, (n,) bool, in audio (n,) float32 at 16 kHz."""
    import torch
    from silero_vad import get_speech_timestamps

    mask = np.zeros(len(audio), dtype=bool)
    for span in get_speech_timestamps(torch.from_numpy(audio.copy()), _model()):
        mask[span["start"] : span["end"]] = True
    return mask


def windows(audio: np.ndarray, recipe: Recipe) -> list[int]:
    """Starts, in samples, of windows that do not overlap and hold most speech together; rising.

    A recording of less than six seconds is one window. Skip: too short, or no speech.
    """
    seconds = len(audio) / RATE
    if seconds < recipe.speech:
        raise Skip("too short", f"{seconds:.1f} s of sound")
    heard = np.concatenate([[0], np.cumsum(spoken(audio))])
    last = max(0, len(audio) - SAMPLES)
    starts = np.array([*range(0, last, STEP), last])
    amounts = heard[np.minimum(starts + SAMPLES, len(audio))] - heard[starts]
    if amounts.max() < recipe.speech * RATE:
        raise Skip("no speech", f"{amounts.max() / RATE:.1f} s at most in six seconds")
    enough = amounts >= recipe.speech * RATE
    return _most(starts[enough], amounts[enough], recipe.windows)


def _most(starts: np.ndarray, amounts: np.ndarray, most: int) -> list[int]:
    """Of windows at rising `starts` those with the largest sum of `amounts`, at most `most`."""
    after = np.searchsorted(starts, starts + SAMPLES)
    best = np.zeros((len(starts) + 1, most + 1), dtype=np.int64)  # from a window on, so many
    for i in reversed(range(len(starts))):
        best[i] = best[i + 1]
        best[i, 1:] = np.maximum(best[i, 1:], amounts[i] + best[after[i], :-1])
    kept, i, left = [], 0, most
    while left and best[i, left]:
        if best[i, left] > best[i + 1, left]:
            kept.append(int(starts[i]))
            i, left = int(after[i]), left - 1
        else:
            i += 1
    return kept


def flac(audio: np.ndarray) -> bytes:
    """(n,) float32 in [-1, 1] as 16-bit FLAC; what came from 16 bits stays as it was."""
    import soundfile

    file = io.BytesIO()
    whole = np.rint(audio * 32768.0).clip(-32768, 32767).astype(np.int16)
    soundfile.write(file, whole, RATE, "PCM_16", format="FLAC")
    return file.getvalue()
