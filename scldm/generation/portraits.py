"""`scldm generate`: portraits of many clips as files, with a manifest and a contact sheet."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from PIL import Image
from torch import Tensor

from scldm.core.artifact import staged, write_text
from scldm.core.errors import InputError
from scldm.core.names import free_stem
from scldm.generation.clips import Clip
from scldm.generation.files import NOTICE, Portrait, kept, marked, save_png
from scldm.generation.sheet import Entry, draw_sheet
from scldm.generation.sources import Source, Wish

SHEET = 40  # clips on a contact sheet at most


@dataclass(frozen=True)
class Heard:
    """A clip that was read, and the folder of its portraits."""

    clip: str
    waveform: Tensor
    folder: str


def generate(
    source: Source, clips: Sequence[Clip], out: Path, wish: Wish, sheet: bool = True
) -> tuple[list[Portrait], list[str]]:
    """Write `out/<clip stem>/portrait_<k>.png`, `out/sheet.png` (of the first 40 clips) and
    `out/manifest.jsonl`. Portraits that are there, of the same sound and the same source, stay.

    Returns the portraits and one line for each clip that could not be used; the others go on.
    Without `sheet` none is drawn.
    """
    made: list[Portrait] = []
    bad: list[str] = []
    shown: list[Heard] = []
    taken = {"sheet.png", "manifest.jsonl"}
    count = source.count(wish)
    together = max(1, wish.batch // count)
    for first in range(0, len(clips), together):
        began = time.perf_counter()
        group = clips[first : first + together]
        heard = _hear(group, taken, bad)
        wanted = [p for h in heard for p in _wanted(source, h, wish, count)]
        read = time.perf_counter()
        there = kept(wanted, out)
        portraits = there or _drawn(source, heard, wanted, wish, out)
        made += portraits
        shown += heard[: SHEET - len(shown)] if sheet else []
        if portraits:
            how = "there already" if there else f"{portraits[0].seconds:.2f} s a portrait"
            print(f"{first + len(group)}/{len(clips)} {heard[-1].clip}: read in "
                  f"{read - began:.2f} s, {how}", file=sys.stderr)
    if made:
        lines = "".join(json.dumps(asdict(p), ensure_ascii=False) + "\n" for p in made)
        write_text(out / "manifest.jsonl", lines)
    if shown:
        began = time.perf_counter()
        entries = [_entry(h, out, count) for h in shown]
        with staged(out / "sheet.png") as part:
            picture = draw_sheet(entries, source.middle(), NOTICE)
            picture.save(part, format="PNG", pnginfo=marked({}))
        print(f"sheet drawn in {time.perf_counter() - began:.1f} s", file=sys.stderr)
    return made, bad


def _hear(clips: Sequence[Clip], taken: set[str], bad: list[str]) -> list[Heard]:
    """Clips that can be used; a line for each other goes to `bad` and is printed."""
    heard = []
    for clip in clips:
        folder = free_stem(Path(clip.name).stem, taken)
        try:
            heard.append(Heard(clip.name, clip.read(), folder))
        except InputError as error:
            bad.append(str(error))
            print(f"scldm: {error}", file=sys.stderr)
    return heard


def _wanted(source: Source, heard: Heard, wish: Wish, count: int) -> list[Portrait]:
    """What a clip's portraits will be, but for the seconds."""
    audio = hashlib.sha256(heard.waveform.numpy().tobytes()).hexdigest()[:16]
    how = asdict(source.how(wish))
    return [
        Portrait(heard.clip, audio, f"{heard.folder}/portrait_{k}.png", **how,
                 checkpoint=source.fingerprint)
        for k in range(count)
    ]


def _drawn(
    source: Source, heard: Sequence[Heard], wanted: Sequence[Portrait], wish: Wish, out: Path
) -> list[Portrait]:
    """Draw and write the portraits of a few clips."""
    if not heard:
        return []
    began = time.perf_counter()
    drawn = [image for images in source.draw([h.waveform for h in heard], wish) for image in images]
    seconds = round((time.perf_counter() - began) / len(drawn), 4)
    portraits = [replace(facts, seconds=seconds) for facts in wanted]
    for facts, image in zip(portraits, drawn, strict=True):
        save_png(image, out / facts.path, facts)
    return portraits


def _entry(heard: Heard, out: Path, count: int) -> Entry:
    pictures: list[Image.Image] = [
        Image.open(out / heard.folder / f"portrait_{k}.png") for k in range(count)
    ]
    return Entry(Path(heard.clip).name, heard.waveform.numpy(), pictures)
