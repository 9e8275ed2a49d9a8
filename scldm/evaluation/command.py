"""From folders of portraits and a manifest to a report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from scldm.core.artifact import staged
from scldm.core.errors import InputError
from scldm.data.manifest import read_manifest
from scldm.data.media import read_image
from scldm.data.samples import Samples, open_samples
from scldm.evaluation.beside import draw_beside
from scldm.evaluation.evaluate import Surroundings, Table, measure
from scldm.evaluation.judges import open_judge
from scldm.evaluation.pairing import PORTRAITS, Kind, read_method
from scldm.evaluation.report import about, judge_on_real, write_report
from scldm.evaluation.seeing import see_faces, see_method, see_truth, side

CELL = 128  # side of a face on the sheet of closest pairs, pixels


@dataclass(frozen=True)
class Question:
    """What `scldm evaluate` is asked.

    Attributes:
        folders: of portraits, one a method.
        truth: manifest of who speaks in the clips, and their faces where there are any.
        judge, weights: see `open_judge`.
        faces: manifest of real faces: those of the portraits' splits are what portraits should
            look like, those of its train split what they may be copies of.
        by: columns of the truth by which results are split; "age" is by decades.
        kind: what the portraits are of.
    """

    folders: Sequence[Path]
    truth: Path
    judge: str = "bundled"
    weights: Path | None = None
    faces: Path | None = None
    by: tuple[str, ...] = ("gender", "age")
    kind: Kind = PORTRAITS


def evaluate(question: Question, out: Path) -> tuple[list[str], list[str]]:
    """Measure the portraits of each folder, a method each, and write the report below `out`.

    Returns one line for everything given that could not be used, and one for each figure that
    could not be had; the rest is measured all the same.
    Raises InputError when nothing can be measured, and for people who stand in two splits.
    """
    names = [folder.resolve().name for folder in question.folders]
    if len(set(names)) < len(names):
        raise InputError(f"{', '.join(names)}: give folders of different names, one a method")
    samples = open_samples(question.truth)
    for column in question.by:
        if column != "age" and column not in samples.manifest.columns:
            raise InputError(f"--by {column}: {question.truth} has no such column")
    given = [
        read_method(folder, samples.manifest, name, question.kind)
        for folder, name in zip(question.folders, names, strict=True)
    ]
    judge = open_judge(question.judge, question.weights)
    judged = [see_method(judge, method) for method in given]
    methods = [method for method, _ in judged]
    rows = np.unique(np.concatenate([method.rows for method in methods]))
    size, faults = side(methods[0]), list[str]()
    like = train = None
    if question.faces:
        stores = real_faces(question.faces, samples, rows)
        like, train = (
            see_faces(store, judge, size, name, faults) if store else None
            for store, name in zip(stores, ("real faces", "training faces"), strict=True)
        )
    around = Surroundings(like, train, question.by)
    truth = see_truth(samples, rows, judge, size)
    table = measure(judged, truth, around)
    facts = about(methods, truth, question.judge, judge.layer, judge_on_real(truth))
    write_report(out, table, facts)
    draw_beside(samples, truth, methods, out / "portraits.png")
    if train:
        draw_closest(table, train.samples, out / "closest.png")
    faults += [fault for method in methods for fault in method.faults]
    return [*faults, *truth.faults], table.notes


def real_faces(
    path: Path, truth: Samples, rows: np.ndarray
) -> tuple[Samples | None, Samples | None]:
    """Faces of `path` in the split of the truth's `rows`, and those of its train split.

    Raises InputError for rows of several splits or of train, and for a person of `rows` who is a
    training face: a leak.
    """
    manifest = read_manifest(path)
    splits = np.unique(truth.manifest["split"][rows])
    if len(splits) > 1 or splits[0] == "train":
        raise InputError(f"--faces: portraits are of the splits {', '.join(splits)}; of one that "
                         "was not trained on, they can be compared with faces")
    faced = manifest["face"] != ""
    train = {*manifest["person"][faced & (manifest["split"] == "train")].tolist()} - {""}
    if leak := sorted(train & {*truth.manifest["person"][rows].tolist()}):
        raise InputError(f"{path}: person '{leak[0]}' is a training face and stands in split "
                         f"{splits[0]} of {truth.manifest.path}")
    like, nearest = (
        open_samples(path, split, "face") if (faced & (manifest["split"] == split)).any() else None
        for split in (splits[0], "train")
    )
    return like, nearest


def draw_closest(table: Table, train: Samples, path: Path) -> None:
    """The ten portraits nearest to a training face, each above that face."""
    sheet = Image.new("RGB", (CELL * len(table.closest), 2 * CELL))
    for column, (file, row) in enumerate(table.closest):
        both = read_image(Path(file)), Image.fromarray(train.face(row, CELL))
        for line, face in enumerate(both):
            sheet.paste(face.resize((CELL, CELL)), (column * CELL, line * CELL))
    with staged(path) as part:
        sheet.save(part, format="PNG")
