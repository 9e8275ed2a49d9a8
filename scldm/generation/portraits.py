"""`scldm generate`: portraits of many clips as files, with a manifest and a contact sheet."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from scldm.core.artifact import staged, write_text
from scldm.core.errors import InputError
from scldm.generation.pipeline import load_waveform
from scldm.generation.sheet import Entry, draw_sheet
from scldm.generation.sources import Source, Wish

NOTICE = "one plausible face, not the speaker's"
SHEET = 40  # clips on a contact sheet at most


@dataclass(frozen=True)
class Portrait:
    """One line of `manifest.jsonl`; also in the picture's metadata."""

    clip: str
    path: str  # relative to the manifest
    seed: int | None  # from here on None where a source knows no such thing
    beta: float | None
    prior_mode: str | None
    steps: int | None
    guidance: float | None
    checkpoint: str
    seconds: float  # waveform to image, for this clip divided by its portraits


def generate(
    source: Source, clips: Sequence[str], out: Path, wish: Wish, sheet: bool = True
) -> tuple[list[Portrait], list[str]]:
    """Write `out/<clip stem>/portrait_<k>.png`, `out/sheet.png` (of the first 40 clips) and
    `out/manifest.jsonl`.

    Returns the portraits and one line for each clip that could not be used; the others go on.
    Without `sheet` none is drawn.
    """
    made: list[Portrait] = []
    bad: list[str] = []
    entries: list[Entry] = []
    stems = {"sheet.png", "manifest.jsonl"}
    for number, clip in enumerate(clips):
        began = time.perf_counter()
        try:
            waveform = load_waveform(clip)
        except InputError as error:
            bad.append(str(error))
            print(f"scldm: {error}", file=sys.stderr)
            continue
        name = clip.encode(errors="backslashreplace").decode()  # a name that is not UTF-8
        folder = free_stem(Path(name).stem, stems)
        heard = time.perf_counter()
        images = source.draw(waveform, wish)
        seconds = (time.perf_counter() - heard) / len(images)
        for k, image in enumerate(images):
            facts = Portrait(
                clip=name, path=f"{folder}/portrait_{k}.png", **asdict(source.how(wish)),
                checkpoint=source.fingerprint, seconds=round(seconds, 4),
            )
            save_png(image, out / facts.path, facts)
            made.append(facts)
        if sheet and len(entries) < SHEET:
            entries.append(Entry(Path(name).name, waveform.numpy(), images))
        print(f"{number + 1}/{len(clips)} {name}: read in {heard - began:.2f} s, "
              f"{seconds:.2f} s a portrait", file=sys.stderr)
    if made:
        lines = "".join(json.dumps(asdict(p), ensure_ascii=False) + "\n" for p in made)
        write_text(out / "manifest.jsonl", lines)
    if entries:
        began = time.perf_counter()
        with staged(out / "sheet.png") as part:
            picture = draw_sheet(entries, source.middle(), NOTICE)
            picture.save(part, format="PNG", pnginfo=marked({}))
        print(f"sheet drawn in {time.perf_counter() - began:.1f} s", file=sys.stderr)
    return made, bad


def free_stem(stem: str, taken: set[str]) -> str:
    """`stem`, or `stem-2`, `stem-3`, … where it is taken; added to `taken`.

    Without its leading dots, which would hide the folder or lead out of its parent.
    """
    stem = stem.lstrip(".") or "clip"
    name, number = stem, 2
    while name in taken:
        name, number = f"{stem}-{number}", number + 1
    taken.add(name)
    return name


def marked(facts: dict[str, object]) -> PngInfo:
    """PNG metadata: AI-generated, the notice, and the facts."""
    info = PngInfo()
    info.add_text("Comment", f"AI-generated: {NOTICE}")
    info.add_text("Software", "SCLDM")
    for name, value in facts.items():
        info.add_itxt(name, str(value))
    return info


def save_png(image: Image.Image, path: Path, facts: Portrait) -> None:
    """Write a portrait with its facts in the metadata, whole."""
    with staged(path) as part:
        image.save(part, format="PNG", pnginfo=marked(asdict(facts)))
