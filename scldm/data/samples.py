"""The dataset interface: rows of a manifest as aligned faces and waveforms.

Everything that trains, averages or measures reads through `Samples` and does not know whether the
files lie loose or packed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from scldm.core.artifact import staged
from scldm.core.progress import Progress
from scldm.data.faces import align, find_landmarks
from scldm.data.manifest import Manifest, read_manifest
from scldm.data.media import check_speech, read_audio, read_image
from scldm.data.packed import Packed
from scldm.data.store import is_store

CLIP_SECONDS = 6.0


class Samples(Protocol):
    """What a store of faces and clips must offer."""

    @property
    def manifest(self) -> Manifest:
        """Its rows."""
        ...

    def face(self, row: int, size: int) -> np.ndarray:
        """Aligned face of a row, uint8 (size, size, 3); InputError naming a bad file."""
        ...

    def speech(self, row: int) -> np.ndarray:
        """Waveform of a row, float32 (n,), 16 kHz mono, in [-1, 1]; InputError for a bad file."""
        ...


@dataclass(frozen=True)
class LooseFiles:
    """Samples whose files lie beside the manifest."""

    manifest: Manifest

    def face(self, row: int, size: int) -> np.ndarray:
        path = self.manifest.file(row, "face")
        image = read_image(path)
        points = self.manifest.where(np.array([row])).landmarks()[0]
        if np.isnan(points).any():
            points = find_landmarks(image, str(path))
        return align(image, points, size, str(path))

    def speech(self, row: int) -> np.ndarray:
        path = self.manifest.file(row, "audio")
        audio = read_audio(path, window=60.0)
        check_speech(audio, path)
        return audio


def open_samples(path: str | Path, split: str | None = None, has: str | None = None) -> Samples:
    """Samples of a manifest or a packed store, of one split and with a `face` or `audio` column."""
    manifest = read_manifest(path).select(split, has)
    return Packed(manifest) if is_store(path) else LooseFiles(manifest)


def load_faces(samples: Samples, size: int, cache: Path, name: str = "faces") -> np.ndarray:
    """All aligned faces of `samples`, uint8 (rows, size, size, 3), kept as a file below `cache`.

    The file is named by the manifest's digest and the size, and is mapped into memory.
    """
    file = cache / f"faces-{samples.manifest.digest}-{size}.npy"
    if not file.is_file():
        rows = len(samples.manifest)
        with (
            staged(file) as part,
            Progress(f"aligning {name}", rows) as progress,
        ):
            shape = (rows, size, size, 3)
            faces = np.lib.format.open_memmap(part, mode="w+", dtype=np.uint8, shape=shape)
            for row in range(rows):
                faces[row] = samples.face(row, size)
                progress.update()
            faces.flush()
            del faces
    return np.load(file, mmap_mode="r", allow_pickle=False)
