"""Clips that portraits are drawn for: files, or rows of a manifest or a packed store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from scldm.core.errors import InputError
from scldm.data.samples import Samples
from scldm.data.spectrogram import SAMPLES
from scldm.generation.pipeline import load_waveform


@dataclass(frozen=True)
class Clip:
    """A clip by name; `read` gives its waveform (n,) float32, 16 kHz, at most the middle six
    seconds, or raises InputError.
    """

    name: str
    read: Callable[[], Tensor]


def of_files(paths: Sequence[str]) -> list[Clip]:
    """Recordings as clips; a name that is not UTF-8 is escaped."""
    return [
        Clip(path.encode(errors="backslashreplace").decode(), partial(load_waveform, path))
        for path in paths
    ]


def of_samples(samples: Samples) -> list[Clip]:
    """The recordings of a manifest, each once, in its order; InputError where there is none."""
    manifest = samples.manifest
    rows: dict[str, int] = {}
    for row in np.flatnonzero(manifest["audio"] != ""):
        rows.setdefault(str(manifest.file(int(row), "audio")), int(row))
    if not rows:
        raise InputError(f"{manifest.path}: no row has a recording")
    return [Clip(name, partial(_middle, samples, row)) for name, row in rows.items()]


def _middle(samples: Samples, row: int) -> Tensor:
    audio = samples.speech(row)
    return torch.from_numpy(audio[max(0, len(audio) - SAMPLES) // 2 :][:SAMPLES].copy())
