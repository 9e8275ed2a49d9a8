"""The project's own manifest, its recordings and pictures (or videos) lying beside it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from scldm.data.manifest import COLUMNS, POINTS, Manifest, read_manifest
from scldm.data.prepare.item import Item, Source
from scldm.data.prepare.sources.files import FILMS, printable, within


def table(path: Path) -> Source:
    """A clip a row. `face` may be a video, and `audio` one with a sound track; either may be empty.

    Raises InputError as `read_manifest` does, and where a name leads out of the manifest's folder.
    """
    manifest = read_manifest(path)
    names = {column: manifest[column] for column in ("audio", "face")}
    for column, cells in names.items():
        for row in np.flatnonzero(cells != ""):
            within(path.parent, str(cells[row]), f"{path}: row {row + 1}: {column}")
    further = tuple(sorted({*manifest.columns} - {*COLUMNS, *POINTS}))
    landmarks = manifest.landmarks()

    def items() -> Iterator[Item]:
        return (_item(manifest, row, landmarks[row], further) for row in range(len(manifest)))

    return Source("manifest", items, further)


def _item(
    manifest: Manifest, row: int, landmarks: np.ndarray, further: tuple[str, ...]
) -> Item:
    names = [str(manifest[column][row]) for column in ("audio", "face")]
    audio, face = (manifest.path.parent / name if name else None for name in names)
    film = face if face and face.suffix.lower() in FILMS else None
    known = ("gender", "age_lo", "age_hi", "split", "source", "licence", *further)
    name = next((name for name in names if name), "")
    return Item(
        f"{row:06d} {printable(name)}", str(manifest["person"][row]), audio, film,
        (face,) if face and not film else (),
        points=None if np.isnan(landmarks).any() else tuple(map(tuple, landmarks.tolist())),
        facts={column: str(manifest[column][row]) for column in known}, paired=False,
    )
