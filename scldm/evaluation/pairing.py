"""Which truth belongs to which portrait: what generation wrote against a manifest."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from scldm.core.errors import InputError
from scldm.data.manifest import Manifest


@dataclass(frozen=True)
class Method:
    """N portraits of one method. `rows` (N,): the truth's row of each; `faults`: one line each."""

    name: str
    files: list[Path]
    clips: list[str]
    rows: np.ndarray
    faults: list[str] = field(default_factory=list)


def read_method(folder: str | Path, truth: Manifest, name: str | None = None) -> Method:
    """Read `manifest.jsonl` of a folder as `scldm generate` writes it, and find each clip's row.

    A clip is found by its path, as given or below the folder of the truth, else by its file name
    where only one row has that. Portraits without a row are told as faults and left out; clips
    without a portrait, in splits that have one, are told.

    Raises InputError when the folder has no manifest, one line of it is damaged or leads outside
    of the folder, or no portrait has a row.
    """
    folder = Path(folder)
    find = _Finder(truth)
    files: list[Path] = []
    clips: list[str] = []
    rows: list[int] = []
    faults: list[str] = []
    for number, line in enumerate(_lines(folder), start=1):
        try:
            facts = json.loads(line)
            clip, file = str(facts["clip"]), folder / str(facts["path"])
            inside, row = file.resolve().is_relative_to(folder.resolve()), find(clip)
        except (ValueError, KeyError, TypeError, OSError):  # also of names that no file can have
            raise InputError(f"{folder}/manifest.jsonl: line {number} is damaged") from None
        if not inside:
            raise InputError(f"{folder}/manifest.jsonl: line {number} leads outside of the folder")
        if row is None:
            faults.append(f"{file}: no row of {truth.path} is of its clip {clip}")
            continue
        files.append(file)
        clips.append(clip)
        rows.append(row)
    if not rows:
        raise InputError(f"{folder}: no portrait is of a clip in {truth.path}")
    splits = np.unique(truth["split"][rows])
    asked = np.flatnonzero((truth["audio"] != "") & np.isin(truth["split"], splits))
    if missing := sorted({*asked.tolist()} - {*rows}):
        names = ", ".join(truth["audio"][missing[:3]]) + (", …" if len(missing) > 3 else "")
        faults.append(f"{folder}: no portrait of {len(missing)} clips of {truth.path}: {names}")
    return Method(name or folder.name, files, clips, np.array(rows), faults)


def _lines(folder: Path) -> list[str]:
    try:
        return (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        what = "not a folder of portraits as `scldm generate` writes it"
        raise InputError(f"{folder}: {what}: {type(error).__name__}, manifest.jsonl") from None


class _Finder:
    """Clip as given -> row of the truth, or None."""

    def __init__(self, truth: Manifest) -> None:
        self.folder = truth.path.parent
        self.by_path: dict[Path, int] = {}
        self.by_name: dict[str, list[int]] = defaultdict(list)
        for row, audio in enumerate(truth["audio"]):
            if audio:
                self.by_path[truth.file(row, "audio").resolve()] = row
                self.by_name[Path(audio).name].append(row)

    def __call__(self, clip: str) -> int | None:
        for path in (Path(clip), self.folder / clip):
            if (row := self.by_path.get(path.resolve())) is not None:
                return row
        same = self.by_name.get(Path(clip).name, [])
        return same[0] if len(same) == 1 else None


def true_faces(truth: Manifest) -> tuple[np.ndarray, np.ndarray]:
    """For each row the row of its person's true face, and of another photo; (rows,), -1 for none.

    A person's first picture in the manifest is the true face, whatever the clip, so that a gallery
    holds the very face that distances are taken from; the second is the other photo.
    """
    photos: dict[str, dict[str, int]] = defaultdict(dict)
    for row, (person, face) in enumerate(zip(truth["person"], truth["face"], strict=True)):
        if face and person:
            photos[person].setdefault(face, row)
    firsts = {person: [*faces.values()][:2] for person, faces in photos.items()}
    pairs = [(*firsts.get(person, ()), -1, -1)[:2] for person in truth["person"]]
    return tuple(np.array(pairs).T)  # type: ignore[return-value]
