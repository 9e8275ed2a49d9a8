"""`scldm evaluate`: portraits against the truth, beside their controls."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from scldm.core.errors import InputError
from scldm.data.manifest import Manifest
from scldm.evaluation.intervals import Estimate, bootstrap
from scldm.evaluation.judges import Judgement
from scldm.evaluation.nearest import nearest
from scldm.evaluation.pairing import Method
from scldm.evaluation.quality import fid, jackknife, kid
from scldm.evaluation.retrieval import KS, usable
from scldm.evaluation.scoring import Scores, score, shuffled
from scldm.evaluation.seeing import Faces, Truth

Row = dict[str, tuple[Estimate, float | None]]  # metric: value, and that of chance


@dataclass
class Table:
    """What was measured, by method: figures, and figures by subgroup (column, value, figures).

    `closest`: for the first method, portraits' files and rows of the nearest training faces.
    `notes`: one line for each figure that could not be had.
    """

    methods: dict[str, Row] = field(default_factory=dict)
    subgroups: dict[str, list[tuple[str, str, Row]]] = field(default_factory=dict)
    closest: list[tuple[str, int]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Known(Protocol):
    """What intervals and subgroups need of the truth: each row's person, age and columns."""

    @property
    def columns(self) -> Manifest: ...
    @property
    def age(self) -> np.ndarray: ...
    @property
    def person(self) -> np.ndarray: ...


@dataclass(frozen=True)
class Surroundings:
    """Real faces that portraits are compared with as sets; either may be missing.

    Attributes:
        like: faces of the portraits' split: what portraits should look like.
        train: training faces: what portraits may be copies of.
        by: columns of the truth by which results are split.
    """

    like: Faces | None
    train: Faces | None
    by: tuple[str, ...]


def measure(
    judged: list[tuple[Method, Judgement]], truth: Truth, around: Surroundings
) -> Table:
    """Figures of every method and of its controls, of a real other photo, and by subgroup."""
    table = Table()
    small = [f"R@{k}" for k in KS if k not in usable(len(truth.gallery))]
    if len(truth.gallery) and small:
        table.notes.append(
            f"{', '.join(small)}: a gallery of {len(truth.gallery)} people is too small"
        )
    for method, seen in judged:
        scores = score(seen, method.clips, method.rows, truth)
        controls: dict[str, Scores] = {}
        for name, within in (("shuffled speech", False), ("shuffled within gender", True)):
            control = shuffled(seen, method.clips, method.rows, truth, within)
            if control is not None:
                controls[f"{method.name}, {name}"] = control
        base = controls.get(f"{method.name}, shuffled speech")
        row = estimates(scores, base, truth)
        row.update(as_sets(seen, method, truth, around, table))
        table.methods[method.name] = row
        table.methods.update({k: estimates(v, base, truth) for k, v in controls.items()})
        table.subgroups[method.name] = list(by_subgroup(scores, base, truth, around.by))
    photos = other_photos([method for method, _ in judged], truth)
    if photos is not None:
        table.methods["real other photo"] = estimates(photos, None, truth)
    if around.train and around.like:
        far, _ = nearest(around.like.seen.features, around.train.seen.features)
        value = bootstrap(far.numpy(), around.like.person)
        table.methods["real faces"] = {"nearest training face": (value, None)}
    return table


def estimates(
    scores: Scores, control: Scores | None, truth: Known, keep: np.ndarray | None = None
) -> Row:
    """Each metric with its interval over identities, and its chance: that of shuffled speech.

    keep (rows,), bool: the rows of the truth that count; by default all.
    """
    found: Row = {}
    for name, values in scores.values.items():
        rows = scores.rows[name]
        kept = keep[rows] if keep is not None else np.ones(len(rows), dtype=bool)
        if not kept.any():
            continue
        chance = scores.chance.get(name)
        if chance is None and control is not None and name in control.values:
            chance = float(control.values[name][kept].mean())
        found[name] = bootstrap(values[kept], truth.person[rows[kept]]), chance
    return found


def by_subgroup(
    scores: Scores, control: Scores | None, truth: Known, columns: tuple[str, ...]
) -> Iterator[tuple[str, str, Row]]:
    """(column, value, figures) for each value of each column; "age" is by decades."""
    for column in columns:
        values = truth.columns[column] if column != "age" else decades(truth.age)
        for value in sorted({str(v) for v in values if v}):
            row = estimates(scores, control, truth, values == value)
            if row:
                yield column, value, row


def decades(age: np.ndarray) -> np.ndarray:
    """Years (rows,) -> "20+", "30+", …; empty where unknown."""
    names = ["" if np.isnan(a) else f"{int(a // 10 * 10)}+" for a in age]
    return np.array(names, dtype=object)


def as_sets(
    seen: Judgement, method: Method, truth: Truth, around: Surroundings, table: Table
) -> Row:
    """KID and FID to real faces, and the distance of each portrait to its nearest training face."""
    people, row = truth.person[method.rows], Row()
    if around.like:
        real, owners = around.like.seen.features, around.like.person
    else:
        real, owners = truth.seen.features[truth.gallery], truth.gallery_person
    for name, metric in (("KID", kid), ("FID", fid)) if len(real) else ():
        try:
            row[name] = jackknife(metric, real, seen.features, owners, people), None
        except InputError as error:
            table.notes.append(f"{method.name}: {error}")
    if around.train:
        far, index = nearest(seen.features, around.train.seen.features)
        row["nearest training face"] = bootstrap(far.numpy(), people), None
        if not table.closest:
            order = far.argsort()[:10].tolist()
            rows = around.train.rows[index.numpy()]
            table.closest += [(str(method.files[i]), int(rows[i])) for i in order]
    return row


def other_photos(methods: list[Method], truth: Truth) -> Scores | None:
    """Scores of a real other photo of each person, where there are any: what could be had at best.
    """
    rows = np.unique(np.concatenate([method.rows for method in methods]))
    rows = rows[(truth.other[rows] >= 0) & (truth.face[rows] >= 0)]
    if not len(rows):
        return None
    real = Judgement(*(column[truth.other[rows]] for column in vars(truth.seen).values()))
    return score(real, [str(row) for row in rows], rows, truth)
