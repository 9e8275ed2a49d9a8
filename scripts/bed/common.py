"""What the parts share: options, and places fixed by names alone."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

Row = dict[str, str]
Built = tuple[list[Row], Counter[str]]  # the table's rows; skip reasons with their counts


@dataclass(frozen=True)
class Options:
    """What to build: `count` faces in all, at most `clips` clips a speaker."""

    downloads: Path
    out: Path
    parts: tuple[str, ...] = ("faces", "speech")
    count: int = 12600
    clips: int = 10
    librispeech: tuple[str, ...] = ("train-clean-100", "test-other")
    seed: int = 0


def unit(text: str) -> float:
    """A number in [0, 1) fixed by the text alone."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big") / 2**48


def split_of(name: str, shares: Sequence[tuple[str, float]]) -> str:
    """The split of a source or person: fixed by its name, whatever else is in the bed."""
    place, edge = unit(f"split {name}"), 0.0
    for split, share in shares:
        edge += share
        if place < edge:
            return split
    return shares[-1][0]
