"""AVSpeech: a table of segments of YouTube videos, with the speaker's place, and the videos."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path

from scldm.core.errors import InputError
from scldm.data.prepare.item import Item, Source
from scldm.data.prepare.sources.files import FILMS, require_folder

COLUMNS = "youtube_id, start, end, x, y"


def avspeech(table: Path, folder: Path) -> Source:
    """The segments of `table`, which has no header: youtube_id, start and end (seconds), and the
    place of the face's centre, x and y, as shares of width and height.

    The video lies in `folder` as `<id>_<start>_<end>` or `<id>_<start>` (the segment alone, the
    numbers as the table writes them) or as `<id>` (the whole video). The id stands for the person,
    since segments of one video may show the same one. A segment without a video is skipped.

    Raises InputError naming the first line that is not of this form.
    """
    require_folder(folder)
    if not table.is_file():
        raise InputError(f"{table}: no such table")

    def items() -> Iterator[Item]:
        with table.open(newline="", encoding="utf-8", errors="replace") as file:
            for number, cells in enumerate(csv.reader(file), 1):
                if cells:
                    yield _item(cells, folder, f"{table}: line {number}")

    if next(items(), None) is None:
        raise InputError(f"{table}: the table has no lines")
    return Source("avspeech", items)


def _item(cells: list[str], folder: Path, told: str) -> Item:
    try:
        name, begin, finish, *place = (cell.strip() for cell in cells)
        start, end, x, y = (float(cell) for cell in (begin, finish, *place))
    except ValueError:
        raise InputError(f"{told}: {len(cells)} cells, {','.join(cells)[:60]!r}; use {COLUMNS}, "
                         "without a header") from None
    if not re.fullmatch(r"[\w-]+", name, re.ASCII):
        raise InputError(f"{told}: '{name[:60]}' is no YouTube id (letters, digits, - and _)")
    if not 0 <= start < end or not (0 <= x <= 1 and 0 <= y <= 1):
        raise InputError(f"{told}: start {begin}, end {finish}, x, y {', '.join(place)}: use "
                         "seconds, start before end, and shares from 0 to 1")
    facts = {"source": f"AVSpeech {name}"}
    key = f"{name}_{begin}"
    for stem, whole in ((f"{name}_{begin}_{finish}", False), (key, False), (name, True)):
        for suffix in FILMS:
            film = folder / f"{stem}{suffix}"
            if film.is_file():
                first, last = (start, end) if whole else (0.0, None)
                return Item(key, name, film, film, (), first, last, (x, y), facts=facts)
    return Item(key, name, facts=facts)
