"""Faces that are given a voice: pictures, or rows of a manifest or a packed store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from scldm.core.errors import InputError
from scldm.data.faces import align, find_landmarks
from scldm.data.manifest import first_two
from scldm.data.media import read_image
from scldm.data.samples import Samples
from scldm.data.spectrogram import fit_clip


@dataclass(frozen=True)
class Picture:
    """A face by name; `read` gives it aligned, uint8 (S, S, 3) of a wished S, `speech` the middle
    six seconds of the person's recording, (96000,) float32; both raise InputError.
    """

    name: str
    read: Callable[[int], np.ndarray]
    speech: Callable[[], np.ndarray]


def of_files(paths: Sequence[str], largest: bool = False) -> list[Picture]:
    """Pictures as faces; of several in one the largest is taken, or none."""
    return [
        Picture(path.encode(errors="backslashreplace").decode(), partial(_read, path, largest),
                partial(_silent, path))
        for path in paths
    ]


def of_aligned(paths: Sequence[Path]) -> list[Picture]:
    """Pictures that are aligned already, as portraits are."""
    return [
        Picture(str(path), partial(_whole, path), partial(_silent, str(path))) for path in paths
    ]


def _whole(path: Path, size: int) -> np.ndarray:
    image = read_image(path)
    return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC))


def _read(path: str, largest: bool, size: int) -> np.ndarray:
    image = read_image(path)
    return align(image, find_landmarks(image, path, alone=not largest), size, path)


def _silent(path: str) -> np.ndarray:
    raise InputError(f"{path}: no recording stands beside this face; use --manifest")


def of_samples(samples: Samples) -> list[Picture]:
    """The faces of a manifest, each file once, in its order."""
    manifest = samples.manifest
    rows: dict[str, int] = {}
    for row in np.flatnonzero(manifest["face"] != ""):
        rows.setdefault(str(manifest.file(int(row), "face")), int(row))
    return [
        Picture(name, partial(samples.face, row), partial(_speech, samples, row))
        for name, row in rows.items()
    ]


def _speech(samples: Samples, row: int) -> np.ndarray:
    """The first recording of the row's person."""
    first, _ = first_two(samples.manifest["person"][[row]], samples.manifest, "audio")
    if first[0] < 0:
        raise InputError(f"{samples.manifest.file(row, 'face')}: no recording of its person")
    return fit_clip(torch.from_numpy(samples.speech(int(first[0])))).numpy()
