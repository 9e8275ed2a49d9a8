"""Paths that are checked before anything slow begins."""

from __future__ import annotations

import os
from pathlib import Path

from scldm.core.errors import InputError
from scldm.data.store import is_store


def require_file(*paths: Path) -> None:
    """InputError naming the first of `paths` that is not a file."""
    for path in paths:
        if not os.path.isfile(path):  # also of a name that is too long
            raise InputError(f"{path}: no such file")


def require_data(*paths: Path) -> None:
    """InputError naming the first of `paths` that is neither a manifest nor a packed store."""
    for path in paths:
        if not is_store(path):
            require_file(path)


def require_writable(folder: Path) -> None:
    """InputError unless `folder` can be made and written to; leaves nothing behind."""
    here = folder
    while not os.path.exists(here):
        here = here.parent
    if not here.is_dir() or not os.access(here, os.W_OK):
        raise InputError(f"{folder}: cannot be written; choose another --out")
