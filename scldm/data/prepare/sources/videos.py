"""Any folder of videos in which somebody talks: one person a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from scldm.core.errors import InputError
from scldm.data.prepare.item import Item, Source
from scldm.data.prepare.sources.files import FILMS, printable, require_folder, walk


def videos(root: Path) -> Source:
    """The videos below `root`; a video's name without its ending is the person.

    Raises InputError where there is no video.
    """
    require_folder(root)

    def items() -> Iterator[Item]:
        for path in walk(root):
            if path.suffix.lower() in FILMS:
                name = path.relative_to(root)
                person = printable(str(name.with_suffix("")))
                yield Item(printable(str(name)), person, path, path, facts={"source": "videos"})

    if next(items(), None) is None:
        raise InputError(f"{printable(str(root))}: no video in it ({', '.join(FILMS)})")
    return Source("videos", items)
