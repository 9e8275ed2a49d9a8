"""Files of a folder, in an order that depends on their names alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from scldm.core.errors import InputError

SOUNDS = (".wav", ".flac", ".m4a", ".mp3", ".ogg", ".opus", ".aac")
FILMS = (".mp4", ".mkv", ".webm", ".mov", ".m4v", ".3gp")
PICTURES = (".jpg", ".jpeg", ".png", ".webp")


def printable(text: str) -> str:
    """A name in one line of valid UTF-8: what is neither is escaped."""
    text = text.encode(errors="backslashreplace").decode()
    return text if text.isprintable() else text.encode("unicode_escape").decode()


def walk(root: Path) -> Iterator[Path]:
    """Regular files below `root`, by name; hidden ones and what is met again by a link left out."""
    seen: set[tuple[int, int]] = set()

    def inside(folder: Path) -> Iterator[Path]:
        try:
            found = os.stat(folder)
            names = sorted(os.listdir(folder))
        except OSError as error:
            name = printable(str(folder))
            raise InputError(f"{name}: cannot be read: {error.strerror}") from None
        if (found.st_dev, found.st_ino) in seen:
            return
        seen.add((found.st_dev, found.st_ino))
        for name in names:
            path = folder / name
            if name.startswith("."):
                continue
            if path.is_dir():
                yield from inside(path)
            elif path.is_file():
                yield path

    yield from inside(root)


def require_folder(path: Path) -> None:
    """InputError unless `path` is a folder."""
    if not path.is_dir():
        raise InputError(f"{printable(str(path))}: no such folder")


def within(root: Path, name: str, told: str) -> Path:
    """`root`/`name`; InputError, beginning with `told`, where the name leads out of the folder."""
    path = Path(name)
    if path.is_absolute() or ".." in path.parts:
        raise InputError(f"{told}: '{printable(name)}' leads out of {root}; use names below it")
    return root / path
