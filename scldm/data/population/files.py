"""A population on disk: faces, clips and the manifest that joins them."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image

from scldm.core.artifact import staged
from scldm.core.errors import InputError
from scldm.data import manifest
from scldm.data.population.faces import LARGEST, SMALLEST, draw_face, landmarks
from scldm.data.population.people import TRAITS, Person, person
from scldm.data.population.voices import RATE, speak

MANIFEST = "manifest.csv"
SOURCE, LICENCE = "SCLDM synthetic population", "Apache-2.0"
COLUMNS = (*manifest.COLUMNS, *manifest.POINTS, "build",
           *(f"trait_{k}" for k in range(len(TRAITS))))  # fmt: skip


def write_population(
    out: Path,
    people: int,
    *,
    seed: int = 0,
    photos: int = 3,
    clips: int = 3,
    size: int = 128,
    splits: Sequence[float] = (0.8, 0.1, 0.1),
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write `people` people to the folder `out` and return the path of its manifest.

    `audio/*.flac` (16 kHz, 16 bit, 6 s), `faces/*.png` (size x size) and `manifest.csv`: row k of
    a person holds photo k and clip k, and an empty field where there are more of the other. The
    splits (train, val, test) are parts of the people that sum to 1; nobody is in two of them. The
    folder appears whole or not at all, and the same arguments give the same bytes.
    `progress(done, people)` is called after each person.

    Raises InputError when `out` is not new or empty, cannot be written, or an argument is unfit.
    """
    _check(people, seed, photos, clips, size, splits)
    target = Path(out).resolve()
    _refuse_used(target)
    with staged(target) as part:
        try:
            _write(part, people, seed, photos, clips, size, splits, progress)
        except soundfile.LibsndfileError as error:  # how a full disk is told for audio
            raise InputError(f"{target}: cannot be written: {error}") from None
    return Path(out) / MANIFEST


def _refuse_used(target: Path) -> None:
    if target.exists() and not (target.is_dir() and next(target.iterdir(), None) is None):
        raise InputError(f"{target} exists and is not an empty folder: remove it or choose another")


def _check(
    people: int,
    seed: int,
    photos: int,
    clips: int,
    size: int,
    splits: Sequence[float],
) -> None:
    if people < 2:
        raise InputError(f"a population of {people}: give at least 2 people")
    if seed < 0 or photos < 1 or clips < 1 or not SMALLEST <= size <= LARGEST:
        raise InputError(
            f"seed {seed}, photos {photos}, clips {clips}, size {size}: give a seed of 0 or more, "
            f"at least one photo and clip, and {SMALLEST} to {LARGEST} pixels"
        )
    if len(splits) != 3 or min(splits) < 0 or abs(sum(splits) - 1) > 1e-6:
        raise InputError(f"splits {tuple(splits)}: give train, val, test that sum to 1")


def _write(
    folder: Path,
    people: int,
    seed: int,
    photos: int,
    clips: int,
    size: int,
    splits: Sequence[float],
    progress: Callable[[int, int], None] | None,
) -> None:
    for part in ("audio", "faces"):
        (folder / part).mkdir(parents=True)
    names = _split_names(people, seed, splits)
    with open(folder / MANIFEST, "w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, COLUMNS, restval="", lineterminator="\n")
        table.writeheader()
        for index, split in enumerate(names):
            somebody = person(seed, index)
            for row in _rows(folder, somebody, photos, clips, size):
                table.writerow({"split": split, **row})
            if progress:
                progress(index + 1, people)


def _rows(
    folder: Path, person: Person, photos: int, clips: int, size: int
) -> Iterator[dict[str, object]]:
    """Write the files of one person; a row for each photo and clip."""
    for k in range(max(photos, clips)):
        row: dict[str, object] = {
            "person": f"s{person.seed}_{person.index:06d}", "gender": person.sex,
            "age_lo": person.age, "age_hi": person.age, "source": SOURCE, "licence": LICENCE,
            "build": f"{person.build:.6f}",
            **{f"trait_{n}": f"{factor:.6f}" for n, factor in enumerate(person.traits)},
        }  # fmt: skip
        if k < photos:
            row["face"], row["crop"] = f"faces/{person.index:06d}_{k}.png", "ready"
            Image.fromarray(draw_face(person, k, size)).save(folder / str(row["face"]))
            points = np.asarray(landmarks(person, k, size)).ravel()
            row |= {p: f"{x:.2f}" for p, x in zip(manifest.POINTS, points, strict=True)}
        if k < clips:
            row["audio"] = f"audio/{person.index:06d}_{k}.flac"
            soundfile.write(folder / str(row["audio"]), speak(person, k), RATE, subtype="PCM_16")
        yield row


def _split_names(people: int, seed: int, splits: Sequence[float]) -> list[str]:
    """The split of each person. Couples (2k, 2k + 1) are shuffled whole, so sexes stay balanced."""
    couples = np.random.default_rng((seed, people)).permutation((people + 1) // 2)
    order = [index for c in couples for index in (2 * c, 2 * c + 1) if index < people]
    train, val = round(splits[0] * people), round((splits[0] + splits[1]) * people)
    names = [""] * people
    for place, index in enumerate(order):
        names[index] = "train" if place < train else "val" if place < val else "test"
    return names
