"""The one manifest that runs through everything: who is seen and heard where.

A CSV or Parquet table. Known columns: `audio`, `face` (paths relative to the table; either may be
empty), `person`, `gender` (F, M or empty), `age_lo`, `age_hi` (years; empty is unknown), `split`
(train, val, test), `crop` (ready, or a box), `source`, `licence`. Further columns are kept.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from scldm.core.errors import InputError
from scldm.data.columns import StoredColumns
from scldm.data.store import MANIFEST, is_store, require_finished

SPLITS = ("train", "val", "test")
GENDERS = ("F", "M")
COLUMNS = (
    "audio", "face", "person", "gender", "age_lo", "age_hi", "split", "crop", "source", "licence"
)
LANDMARKS = ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth")
POINTS = tuple(f"{name}_{axis}" for name in LANDMARKS for axis in "xy")


@dataclass(frozen=True, eq=False)
class Manifest:
    """Rows of a manifest; every column is an array of strings, empty where unknown."""

    path: Path
    columns: dict[str, np.ndarray] | StoredColumns

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def __getitem__(self, name: str) -> np.ndarray:
        """Column `name` as strings; all empty when the table has no such column."""
        return self.columns.get(name, np.full(len(self), "", dtype=object))

    def numbers(self, name: str) -> np.ndarray:
        """Column `name` as float64, NaN where empty; raises InputError for other text."""
        try:
            return np.array([float(text) if text else np.nan for text in self[name]])
        except ValueError as error:
            raise InputError(f"{self.path}: column {name}: {error}") from None

    def where(self, keep: np.ndarray) -> Manifest:
        """The rows for which the boolean (or index) array `keep` says so."""
        if isinstance(self.columns, StoredColumns):
            return Manifest(self.path, self.columns.where(keep))
        return Manifest(self.path, {name: col[keep] for name, col in self.columns.items()})

    def select(self, split: str | None = None, has: str | None = None) -> Manifest:
        """Rows of one split and with a non-empty column `has`; InputError when none is left."""
        keep = np.ones(len(self), dtype=bool)
        if split:
            keep &= self["split"] == split
        if has:
            keep &= self[has] != ""
        if not keep.any():
            raise InputError(f"{self.path}: no row with {has or 'any value'} in split {split}")
        return self.where(keep)

    def file(self, row: int, column: str) -> Path:
        """Absolute path of the `audio` or `face` of a row."""
        return self.path.parent / str(self[column][row])

    def landmarks(self) -> np.ndarray:
        """(rows, 5, 2) pixels: eyes, nose, mouth corners, left first; NaN where not given."""
        points = np.array([self.numbers(name) for name in POINTS], dtype=np.float64)
        return points.T.reshape(-1, len(LANDMARKS), 2)

    @cached_property
    def people(self) -> np.ndarray:
        """Distinct persons, in order of first appearance."""
        return np.array(list(dict.fromkeys(self["person"])), dtype=object)

    @cached_property
    def digest(self) -> str:
        """Sixteen hexadecimal digits that name these rows, whatever the file format."""
        columns, digest = self.columns, hashlib.sha256()
        for number, name in enumerate(sorted(columns)):
            cells = columns.peek(name) if isinstance(columns, StoredColumns) else columns[name]
            head = f"{name}:" if number == 0 else f"\n{name}:"
            digest.update((head + "\x1f".join(map(str, cells))).encode())
        return digest.hexdigest()[:16]


def read_manifest(path: str | Path) -> Manifest:
    """Read and check a manifest; raises InputError naming the file, the column and the value.

    The folder of a packed store stands for its own manifest. A person who stands in two splits is
    an error: splits are by identity, always.
    """
    path = Path(path)
    if is_store(path):
        require_finished(path)
        return Manifest(path / MANIFEST, _stored(path / MANIFEST))
    if not path.is_file():
        raise InputError(f"{path}: no such manifest")
    manifest = Manifest(path, _columns(path))
    if not len(manifest):
        raise InputError(f"{path}: the manifest has no rows")
    if "audio" not in manifest.columns and "face" not in manifest.columns:
        raise InputError(f"{path}: a manifest needs a column 'audio' or 'face'")
    _allow(manifest, "gender", (*GENDERS, ""))
    _allow(manifest, "split", (*SPLITS, ""))
    _disjoint(manifest)
    return manifest


def _stored(path: Path) -> StoredColumns:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        return StoredColumns(path, tuple(parquet.read_schema(path).names))
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: missing or damaged: {str(error)[:100]}") from None


def _columns(path: Path) -> dict[str, np.ndarray]:
    import pyarrow as pa
    from pyarrow import csv, parquet

    try:
        if path.suffix.lower() == ".parquet":
            table = parquet.read_table(path)
        else:
            names = csv.open_csv(path).schema.names
            text = csv.ConvertOptions(column_types={name: pa.string() for name in names})
            table = csv.read_csv(path, convert_options=text)
        columns = {name: table[name].cast(pa.string()).to_pylist() for name in table.column_names}
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:  # KeyError: a name twice
        raise InputError(f"{path}: not a CSV or Parquet table: {str(error)[:100]}") from None
    return {
        name: np.array([text or "" for text in column], dtype=object)
        for name, column in columns.items()
    }


def _allow(manifest: Manifest, column: str, values: tuple[str, ...]) -> None:
    for value, count in Counter(manifest[column]).items():
        if value not in values:
            known = ", ".join(v for v in values if v)
            raise InputError(
                f"{manifest.path}: column {column}: '{value}' ({count} rows); "
                f"use {known} or nothing"
            )


def _disjoint(manifest: Manifest) -> None:
    seen: dict[str, str] = {}
    for person, split in zip(manifest["person"], manifest["split"], strict=True):
        if person and split and seen.setdefault(person, split) != split:
            raise InputError(
                f"{manifest.path}: person '{person}' stands in the splits {seen[person]} "
                f"and {split}"
            )


def first_two(
    people: np.ndarray, source: Manifest, column: str
) -> tuple[np.ndarray, np.ndarray]:
    """For each of `people` (N,) the rows of `source` with their first and second file of a column;
    (N,) each, -1 for none.
    """
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for row, (person, file) in enumerate(zip(source["person"], source[column], strict=True)):
        if file and person:
            found[person].setdefault(file, row)
    firsts = {person: [*files.values()][:2] for person, files in found.items()}
    pairs = [(*firsts.get(person, ()), -1, -1)[:2] for person in people]
    first, second = np.array(pairs, dtype=int).reshape(-1, 2).T
    return first, second
