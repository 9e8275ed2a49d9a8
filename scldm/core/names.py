"""Names of folders that are made from names of files."""

from __future__ import annotations


def free_stem(stem: str, taken: set[str]) -> str:
    """`stem`, or `stem-2`, `stem-3`, … where it is taken; added to `taken`.

    Without its leading dots, which would hide the folder or lead out of its parent.
    """
    stem = stem.lstrip(".") or "unnamed"
    name, number = stem, 2
    while name in taken:
        name, number = f"{stem}-{number}", number + 1
    taken.add(name)
    return name
