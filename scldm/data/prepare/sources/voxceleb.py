"""VoxCeleb 1 and 2: a folder a person, in it one a video, in it clips; and the table of people."""

from __future__ import annotations

import csv
import os
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from scldm.core.errors import InputError
from scldm.data.prepare.item import Item, Source
from scldm.data.prepare.sources.files import (
    FILMS,
    PICTURES,
    SOUNDS,
    printable,
    require_folder,
    walk,
)

SETS = {"dev": "train", "test": "test"}


@dataclass
class Person:
    """What the tables say of a person, and the folders that carry the person's id or name."""

    name: str = ""
    facts: dict[str, str] = field(default_factory=dict)
    folders: list[Path] = field(default_factory=list)


def voxceleb(root: Path) -> Source:
    """VoxCeleb below `root`, in any of its layouts: `…/id10001/<video>/00001.wav` (or .m4a, .mp4)
    and faces as pictures in `…/<id or name>/…/<video>/…`.

    Gender, nationality and set come from `vox1_meta.csv` and `vox2_meta.csv` where they lie in
    `root`: dev becomes train, test stays test.

    Raises InputError where there is no folder of a person, or a table has other columns.
    """
    require_folder(root)
    people = _people(root)

    def items() -> Iterator[Item]:
        for key in sorted(people):
            yield from _clips(key, people[key], root)

    if next(items(), None) is None:
        raise InputError(f"{root}: no clip of VoxCeleb in it, as id10001/<video>/00001.wav")
    return Source("voxceleb", items, ("nationality",))


def _people(root: Path) -> dict[str, Person]:
    people: dict[str, Person] = defaultdict(Person)
    for table in sorted(root.glob("vox?_meta.csv")):
        _read_table(table, people)
    named = {person.name: key for key, person in people.items() if person.name}
    for folder, inner, _ in os.walk(root, followlinks=False):
        for name in sorted(inner):
            key = name if re.fullmatch(r"id\d{5}", name) else named.get(name)
            if key:
                people[key].folders.append(Path(folder, name))
        inner[:] = [n for n in inner if n not in named and not re.fullmatch(r"id\d{5}", n)]
    return people


def _read_table(table: Path, people: dict[str, Person]) -> None:
    """Tab-separated; vox2's headers and values carry trailing blanks."""
    with table.open(newline="", encoding="utf-8", errors="replace") as file:
        rows = csv.reader(file, delimiter="\t")
        head = [cell.strip() for cell in next(rows, [])]
        at = {cell.split(" ")[0]: i for i, cell in enumerate(head)}
        wanted = {"Gender", "Set"} & {*at}
        if len(wanted) < 2 or not head[0].endswith("ID"):
            raise InputError(f"{table}: its columns are {', '.join(head) or 'none'}; use the "
                             "publishers' table: VoxCeleb ID, VGGFace ID, Gender, …, Set, by tabs")
        for number, row in enumerate(rows, 2):
            cells = [cell.strip() for cell in row]
            if not any(cells):
                continue
            gender = cells[at["Gender"]].upper() if len(cells) == len(head) else "?"
            if gender not in ("M", "F", "") or not re.fullmatch(r"id\d{5}", cells[0]):
                raise InputError(f"{table}: line {number}: '{' | '.join(cells)[:60]}'; use an id, "
                                 "m or f, and as many cells as the first line has")
            split = SETS.get(cells[at["Set"]].lower(), "")
            country = cells[at["Nationality"]] if "Nationality" in at else ""
            people[cells[0]].name = cells[1]
            people[cells[0]].facts = {"gender": gender, "split": split, "nationality": country}


def _clips(key: str, person: Person, root: Path) -> Iterator[Item]:
    """The clips of a person: sound and film of one name are one clip."""
    found: dict[tuple[str, str], dict[str, Path]] = defaultdict(dict)
    pictures: dict[str, list[Path]] = defaultdict(list)
    for folder in person.folders:
        for path in walk(folder):
            kind, parts = path.suffix.lower(), path.relative_to(folder).parts
            if kind in SOUNDS or kind in FILMS:
                clip = (parts[0] if len(parts) > 1 else "", path.stem)
                found[clip].setdefault("sound" if kind in SOUNDS else "film", path)
            elif kind in PICTURES:
                for part in {"", *parts[:-1]}:
                    pictures[part].append(path)
    for (video, stem), files in sorted(found.items()):
        film = files.get("film")
        faces = pictures[video] or pictures[""]
        yield Item(
            printable("/".join((key, video, stem))), key, files.get("sound", film), film,
            () if film else tuple(faces), facts={"source": f"VoxCeleb {key}", **person.facts},
        )
