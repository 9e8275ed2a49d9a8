"""A judge's view of portraits and of true faces, picture by picture: memory holds features only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import torch

from scldm.core.errors import InputError
from scldm.core.progress import Progress
from scldm.data.faces import to_unit
from scldm.data.manifest import Manifest
from scldm.data.media import read_image
from scldm.data.samples import Samples
from scldm.evaluation.judges import Judge, Judgement
from scldm.evaluation.pairing import Method, true_faces

BATCH = 64


@dataclass(frozen=True)
class Truth:
    """What is known of the rows of a manifest; G people have a face that can be seen.

    Attributes:
        columns: the manifest's; `person` and `gender` among them.
        age: (rows,) years, the middle of a known range; NaN where unknown.
        face, other: (rows,) index of the person's face, and of another photo, in `seen`; -1: none.
        gallery: (G,) index in `seen` of one face a person; `place` (rows,): the person's in it.
        seen: the judge's view of all faces used.
        faults: one line a face that cannot be used.
    """

    columns: Manifest
    age: np.ndarray
    face: np.ndarray
    other: np.ndarray
    gallery: np.ndarray
    place: np.ndarray
    seen: Judgement
    faults: list[str]

    @property
    def person(self) -> np.ndarray:
        """(rows,) whose clip and face it is."""
        return self.columns["person"]

    @property
    def gallery_person(self) -> np.ndarray:
        """(G,) whose face it is."""
        _, first = np.unique(self.place, return_index=True)
        return self.person[first[len(first) - len(self.gallery) :]]


@dataclass(frozen=True)
class Faces:
    """N real faces: the judge's view, whose they are (N,), and their rows (N,) in `samples`."""

    samples: Samples
    seen: Judgement
    person: np.ndarray
    rows: np.ndarray


def look(judge: Judge, pictures: Iterator[np.ndarray], count: int, name: str) -> Judgement:
    """The judge's view of pictures, uint8 (S, S, 3) of any side, a batch of like ones at a time."""
    parts: list[Judgement] = []
    batch: list[np.ndarray] = []

    def judged() -> None:
        if batch:
            parts.append(judge(to_unit(torch.from_numpy(np.stack(batch)).permute(0, 3, 1, 2))))
            batch.clear()

    with Progress(f"judging {name}", count) as bar:
        for picture in pictures:
            if len(batch) == BATCH or batch and batch[0].shape != picture.shape:
                judged()
            batch.append(picture)
            bar.update()
        judged()
    if not parts:
        raise InputError(f"{name}: no picture of it can be read")
    columns = ([getattr(part, field) for part in parts] for field in ("features", "gender", "age"))
    return Judgement(*(torch.cat(column) for column in columns))


def see_truth(samples: Samples, rows: np.ndarray, judge: Judge, size: int) -> Truth:
    """Judge the true faces of `rows` of a manifest, and of everybody else in their splits."""
    manifest = samples.manifest
    wanted = np.isin(manifest["split"], np.unique(manifest["split"][rows]))
    true, other = true_faces(manifest)
    needed = np.array(sorted({*true[wanted].tolist(), *other[rows].tolist()} - {-1}), dtype=int)
    seen, kept, faults = _nothing(), needed, list[str]()
    if len(needed):
        seen, kept = _see_rows(samples, needed, judge, size, "true faces", faults)
    index = {int(row): place for place, row in enumerate(kept)}
    face, photo = (np.array([index.get(int(r), -1) for r in rows_]) for rows_ in (true, other))
    gallery = np.unique(face[wanted & (face >= 0)])
    place = np.where(np.isin(face, gallery), np.searchsorted(gallery, face), -1)
    return Truth(manifest, ages(manifest), face, photo, gallery, place, seen, faults)


def see_faces(
    samples: Samples, judge: Judge, size: int, name: str, faults: list[str]
) -> Faces:
    """Judge all faces of `samples`; a line in `faults` for each that cannot be used."""
    rows = np.flatnonzero(samples.manifest["face"] != "")
    seen, kept = _see_rows(samples, rows, judge, size, name, faults)
    return Faces(samples, seen, samples.manifest["person"][kept], kept)


def _see_rows(
    samples: Samples, rows: np.ndarray, judge: Judge, size: int, name: str, faults: list[str]
) -> tuple[Judgement, np.ndarray]:
    kept: list[int] = []

    def faces() -> Iterator[np.ndarray]:
        for row in rows:
            try:
                face = samples.face(int(row), size)
            except InputError as error:
                faults.append(str(error))
                continue
            kept.append(int(row))
            yield face

    return look(judge, faces(), len(rows), name), np.array(kept)


def _nothing() -> Judgement:
    return Judgement(torch.empty(0, 1), torch.empty(0), torch.empty(0))


def ages(manifest: Manifest) -> np.ndarray:
    """(rows,) years: the middle of the range, or its one known end."""
    low, high = manifest.numbers("age_lo"), manifest.numbers("age_hi")
    return (np.where(np.isnan(low), high, low) + np.where(np.isnan(high), low, high)) / 2


def see_method(judge: Judge, method: Method) -> tuple[Method, Judgement]:
    """A method's portraits that can be read, and the judge's view of them; others are faults.

    Raises InputError when none can be read.
    """
    kept: list[int] = []

    def pictures() -> Iterator[np.ndarray]:
        for number, file in enumerate(method.files):
            try:
                picture = np.asarray(read_image(file))
            except InputError as error:
                method.faults.append(str(error))
                continue
            kept.append(number)
            yield picture

    seen = look(judge, pictures(), len(method.files), method.name)
    files, clips = [method.files[i] for i in kept], [method.clips[i] for i in kept]
    return Method(method.name, files, clips, method.rows[kept], method.faults), seen


def side(method: Method) -> int:
    """The side of a method's first portrait that can be read: the truth is seen in that size."""
    for file in method.files:
        with suppress(InputError):
            return int(read_image(file).width)
    raise InputError(f"{method.name}: no portrait of it can be read")
