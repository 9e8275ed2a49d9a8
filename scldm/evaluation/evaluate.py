"""`scldm evaluate`: portraits against the truth, beside their controls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from scldm.core.errors import InputError
from scldm.core.progress import Progress
from scldm.core.seeding import numpy_generator
from scldm.data.faces import to_unit
from scldm.data.manifest import Manifest
from scldm.data.media import read_image
from scldm.data.samples import Samples
from scldm.evaluation.distances import distances
from scldm.evaluation.intervals import Estimate, bootstrap
from scldm.evaluation.judges import Judge, Judgement
from scldm.evaluation.pairing import Method, true_faces
from scldm.evaluation.retrieval import ranks, recall, usable

NEAR = 10  # years
BATCH = 64


@dataclass(frozen=True)
class Truth:
    """What is known of the rows of a manifest; G people have a face that can be seen.

    Attributes:
        person, gender: (rows,) strings.
        age: (rows,) years, the middle of a known range; NaN where unknown.
        face, other: (rows,) index of the person's face, and of another photo, in `seen`; -1: none.
        gallery: (G,) index in `seen` of one face a person; `place` (rows,): the person's in it.
        seen: the judge's view of all faces used.
        faults: one line a face that cannot be used.
    """

    person: np.ndarray
    gender: np.ndarray
    age: np.ndarray
    face: np.ndarray
    other: np.ndarray
    gallery: np.ndarray
    place: np.ndarray
    seen: Judgement
    faults: list[str]


@dataclass(frozen=True)
class Scores:
    """One value a portrait (or a clip) for each metric, and whose it is."""

    values: dict[str, np.ndarray]
    people: dict[str, np.ndarray]
    chance: dict[str, float]


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
    needed = sorted({*true[wanted].tolist(), *other[rows].tolist()} - {-1})
    faults: list[str] = []
    index: dict[int, int] = {}

    def faces() -> Iterator[np.ndarray]:
        for row in needed:
            try:
                face = samples.face(row, size)
            except InputError as error:
                faults.append(str(error))
                continue
            index[row] = len(index)
            yield face

    seen = look(judge, faces(), len(needed), "true faces") if needed else _nothing()
    face, photo = (np.array([index.get(int(r), -1) for r in rows_]) for rows_ in (true, other))
    gallery = np.unique(face[wanted & (face >= 0)])
    place = np.where(np.isin(face, gallery), np.searchsorted(gallery, face), -1)
    return Truth(
        manifest["person"], manifest["gender"], ages(manifest), face, photo, gallery, place, seen,
        faults,
    )


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


def score(seen: Judgement, clips: list[str], rows: np.ndarray, truth: Truth) -> Scores:
    """Every metric of N portraits judged as `seen`, shown for the clips of `rows` (N,)."""
    scores = Scores({}, {}, {})

    def put(name: str, values: Tensor | np.ndarray, kept: np.ndarray) -> None:
        if len(values):
            scores.values[name] = np.asarray(values, dtype=float)
            scores.people[name] = truth.person[rows[kept]]

    faced = np.flatnonzero(truth.face[rows] >= 0)
    if len(faced):
        made = seen.features[faced]
        found = distances(made, truth.seen.features[truth.face[rows[faced]]])
        for name, values in found.items():
            put(name, values, faced)
        gallery = truth.seen.features[truth.gallery]
        rank = ranks(made, gallery, torch.from_numpy(truth.place[rows[faced]]))
        for k in usable(len(gallery)):
            put(f"R@{k}", recall(rank, len(gallery), k), faced)
            scores.chance[f"R@{k}"] = k / len(gallery)
        _top_three(put, found["cos"].numpy(), [clips[i] for i in faced], faced)
    known = np.flatnonzero(truth.gender[rows] != "")
    said = np.where(seen.gender.numpy()[known] == 1, "M", "F")
    put("gender", said == truth.gender[rows[known]], known)
    aged = np.flatnonzero(~np.isnan(truth.age[rows]))
    gap = np.abs(seen.age.numpy()[aged] - truth.age[rows[aged]])
    put(f"age within {NEAR} years", gap <= NEAR, aged)
    put("age error", gap, aged)
    return scores


def _top_three(
    put: Callable[[str, np.ndarray, np.ndarray], None], angle: np.ndarray, clips: list[str],
    kept: np.ndarray,
) -> None:
    """Mean and variance of the angle over a clip's first three portraits (seed 003, Fig. 6)."""
    _, of = np.unique(np.array(clips, dtype=object), return_inverse=True)
    threes = [np.flatnonzero(of == clip)[:3] for clip in range(of.max() + 1)]
    threes = [three for three in threes if len(three) == 3]
    if threes:
        index = np.array(threes)
        put("cos, mean of three", angle[index].mean(1), kept[index[:, 0]])
        put("cos, variance of three", angle[index].var(1), kept[index[:, 0]])


def shuffled(rows: np.ndarray, truth: Truth, within_gender: bool) -> np.ndarray | None:
    """For each portrait another person's, at random: index (N,); None where somebody has none.

    With `within_gender` of the same gender: the control that shows more than gender.
    """
    rng = numpy_generator(0, "shuffled")
    person, gender = (
        np.unique(column[rows], return_inverse=True)[1] for column in (truth.person, truth.gender)
    )
    chosen = np.empty(len(rows), dtype=int)
    for i in range(len(rows)):
        others = person != person[i]
        if within_gender:
            others &= gender == gender[i]
        if not others.any():
            return None
        chosen[i] = rng.choice(np.flatnonzero(others))
    return chosen


def measure(judge: Judge, methods: list[Method], truth: Truth) -> dict[str, Scores]:
    """Scores of every method and of its controls, and of a real other photo, by name."""
    table: dict[str, Scores] = {}
    for given in methods:
        method, seen = see_method(judge, given)
        rows = method.rows
        table[method.name] = score(seen, method.clips, rows, truth)
        for name, within in (("shuffled speech", False), ("shuffled within gender", True)):
            index = shuffled(rows, truth, within)
            if index is not None:
                other = Judgement(seen.features[index], seen.gender[index], seen.age[index])
                table[f"{method.name}, {name}"] = score(other, method.clips, rows, truth)
    rows = np.unique(np.concatenate([method.rows for method in methods]))
    rows = rows[(truth.other[rows] >= 0) & (truth.face[rows] >= 0)]
    if len(rows):
        photo = truth.other[rows]
        real = Judgement(*(x[photo] for x in vars(truth.seen).values()))
        table["real other photo"] = score(real, [str(r) for r in rows], rows, truth)
    return table


def estimates(scores: Scores, control: Scores | None) -> dict[str, tuple[Estimate, float | None]]:
    """Each metric with its interval over identities, and its chance: that of shuffled speech."""
    found: dict[str, tuple[Estimate, float | None]] = {}
    for name, values in scores.values.items():
        chance = scores.chance.get(name)
        if chance is None and control is not None and name in control.values:
            chance = float(control.values[name].mean())
        found[name] = bootstrap(values, scores.people[name]), chance
    return found


def side(method: Method) -> int:
    """The side of a method's first portrait that can be read: the truth is seen in that size."""
    for file in method.files:
        with suppress(InputError):
            return int(read_image(file).width)
    raise InputError(f"{method.name}: no portrait of it can be read")
