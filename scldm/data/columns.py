"""Columns of a large table, read when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np


class StoredColumns(Mapping[str, np.ndarray]):
    """Text columns of a Parquet file by name: arrays of strings, empty where unknown.

    A column is read and kept when it is first asked for: most work needs a few of the forty.

    Args:
        path: the file.
        names: of its columns.
        rows: indices of the rows that count; None: all.
    """

    def __init__(self, path: Path, names: tuple[str, ...], rows: np.ndarray | None = None) -> None:
        self.path, self.names, self.rows = path, names, rows
        self._kept: dict[str, np.ndarray] = {}

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._kept:
            self._kept[name] = self.peek(name)
        return self._kept[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def peek(self, name: str) -> np.ndarray:
        """A column that is not kept; KeyError for another name."""
        from pyarrow import parquet

        if name not in self.names:
            raise KeyError(name)
        column = parquet.read_table(self.path, columns=[name])[name].to_pylist()
        text = np.array([cell or "" for cell in column], dtype=object)
        return text if self.rows is None else text[self.rows]

    def where(self, keep: np.ndarray) -> StoredColumns:
        """Some of the rows, by a boolean or index array; columns that were read are not lost."""
        index = np.flatnonzero(keep) if keep.dtype == bool else keep
        rows = index if self.rows is None else self.rows[index]
        some = StoredColumns(self.path, self.names, rows)
        some._kept = {name: column[index] for name, column in self._kept.items()}
        return some
