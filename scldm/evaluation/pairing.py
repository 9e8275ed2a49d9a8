"""Which truth belongs to which portrait or voice: what was generated against a manifest."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from scldm.core.errors import InputError
from scldm.data.manifest import Manifest, first_two


@dataclass(frozen=True)
class Kind:
    """What was made, of what, and the column of the truth where that stands."""

    made: str
    of: str
    column: str
    command: str


PORTRAITS = Kind("portrait", "clip", "audio", "scldm generate")
VOICES = Kind("voice", "face", "face", "scldm voice")


@dataclass(frozen=True)
class Method:
    """N portraits (or voices) of one method, and the clips (faces) they are of.

    `rows` (N,): the truth's row of each; `faults`: one line each.
    """

    name: str
    files: list[Path]
    clips: list[str]
    rows: np.ndarray
    faults: list[str] = field(default_factory=list)


def read_method(
    folder: str | Path, truth: Manifest, name: str | None = None, kind: Kind = PORTRAITS
) -> Method:
    """Read `manifest.jsonl` of a folder as `scldm generate` (or `voice`) writes it, and find each
    clip's (face's) row.

    A clip is found by its path, as given or below the folder of the truth, else by its file name
    where only one row has that. Portraits without a row are told as faults and left out; clips
    without a portrait, in splits that have one, are told.

    Raises InputError when the folder has no manifest, one line of it is damaged or leads outside
    of the folder, or no portrait has a row.
    """
    folder = Path(folder)
    find = _Finder(truth, kind.column)
    files: list[Path] = []
    clips: list[str] = []
    rows: list[int] = []
    faults: list[str] = []
    for number, line in enumerate(_lines(folder, kind), start=1):
        try:
            facts = json.loads(line)
            clip, file = str(facts[kind.of]), folder / str(facts["path"])
            inside, row = file.resolve().is_relative_to(folder.resolve()), find(clip)
        except (ValueError, KeyError, TypeError, OSError):  # also of names that no file can have
            raise InputError(f"{folder}/manifest.jsonl: line {number} is damaged") from None
        if not inside:
            raise InputError(f"{folder}/manifest.jsonl: line {number} leads outside of the folder")
        if row is None:
            faults.append(f"{file}: no row of {truth.path} is of its {kind.of} {clip}")
            continue
        files.append(file)
        clips.append(clip)
        rows.append(row)
    if not rows:
        raise InputError(f"{folder}: no {kind.made} is of a {kind.of} in {truth.path}")
    splits = np.unique(truth["split"][rows])
    asked = {row for row in find.by_path.values() if truth["split"][row] in splits}
    if missing := sorted(asked - {*rows}):
        names = ", ".join(truth[kind.column][missing[:3]]) + (", …" if len(missing) > 3 else "")
        faults.append(f"{folder}: no {kind.made} of {len(missing)} {kind.of}s of {truth.path}: "
                      f"{names}")
    return Method(name or folder.name, files, clips, np.array(rows), faults)


def _lines(folder: Path, kind: Kind) -> list[str]:
    try:
        return (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        what = f"not a folder of {kind.made}s as `{kind.command}` writes it"
        raise InputError(f"{folder}: {what}: {type(error).__name__}, manifest.jsonl") from None


class _Finder:
    """Clip (or face) as given -> row of the truth, or None."""

    def __init__(self, truth: Manifest, column: str) -> None:
        self.folder = truth.path.parent
        self.by_path: dict[Path, int] = {}
        self.by_name: dict[str, list[int]] = defaultdict(list)
        for row, name in enumerate(truth[column]):
            if name and self.by_path.setdefault(truth.file(row, column).resolve(), row) == row:
                self.by_name[Path(name).name].append(row)

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
    return first_two(truth["person"], truth, "face")
