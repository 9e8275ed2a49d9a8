"""What is in a manifest or a store: people, clips, hours, splits, and why clips are missing."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from scldm.core.artifact import read_json, staged
from scldm.core.errors import InputError
from scldm.data.manifest import GENDERS, SPLITS, Manifest, read_manifest
from scldm.data.samples import Samples, open_samples
from scldm.data.spectrogram import RATE
from scldm.data.store import is_store

AGES = (18, 30, 40, 50, 60, 200)
SHOWN = 40  # faces on a sheet
MEASURED = 200  # clips whose length is measured; of more, the hours are an estimate


def describe(path: Path) -> str:
    """Counts of a manifest or a store as text."""
    manifest = read_manifest(path)
    lines = [f"{path}: {len(manifest)} rows", *_sizes(path, manifest), "", *_people(manifest)]
    if is_store(path):
        facts = read_json(path / "store.json")
        lines += ["", f"clips: {facts['clips']}, of which {facts['used']} gave samples"]
        lines += [f"  skipped, {reason}: {n}" for reason, n in facts["skipped"].items()]
    return "\n".join(lines)


def _sizes(path: Path, manifest: Manifest) -> list[str]:
    sound, seen = manifest["audio"] != "", manifest["face"] != ""
    both = int((sound & seen).sum())
    lines = [f"people: {len({*manifest['person']} - {''})}",
             f"faces: {seen.sum()}", f"clips: {sound.sum()}, {both} of them beside a face"]
    if sound.any():
        lines.append(f"hours of speech: {_hours(open_samples(path, None, 'audio'))}")
    return lines


def _hours(samples: Samples) -> str:
    rows = len(samples.manifest)
    some = np.unique(np.linspace(0, rows - 1, min(rows, MEASURED)).astype(int))
    seconds = [len(samples.speech(int(row))) / RATE for row in some]
    hours = float(np.mean(seconds)) * rows / 3600
    return f"{hours:.2f}" + ("" if len(some) == rows else f" (of {len(some)} clips measured)")


def _people(manifest: Manifest) -> list[str]:
    """Rows and people by split, gender and age."""
    lines = []
    people = manifest["person"]
    for name, values, column in (
        ("split", (*SPLITS, ""), manifest["split"]),
        ("gender", (*GENDERS, ""), manifest["gender"]),
        ("age", (*map(_band, AGES[:-1]), ""), _bands(manifest)),
    ):
        rows = Counter(column)
        for value in values:
            if rows[value]:
                who = len({*people[column == value]} - {""})
                lines.append(f"{name} {value or 'unknown'}: {rows[value]} rows, {who} people")
    return lines


def _band(low: int) -> str:
    high = AGES[AGES.index(low) + 1]
    return f"{low}–{high - 1}" if high < 200 else f"{low}+"


def _bands(manifest: Manifest) -> np.ndarray:
    ages = (manifest.numbers("age_lo") + manifest.numbers("age_hi")) / 2
    named = ["" if np.isnan(age) else _band(max(low for low in AGES if low <= max(age, 18)))
             for age in ages]
    return np.array(named, dtype=object)


def sheet(path: Path, out: Path) -> bool:
    """Draw faces, evenly taken from all rows, with person and split below; False without faces."""
    try:
        samples = open_samples(path, None, "face")
    except InputError:
        return False
    count = len(samples.manifest)
    rows = np.unique(np.linspace(0, count - 1, min(count, SHOWN)).astype(int))
    side, text, columns = 128, 30, 8
    high = -(-len(rows) // columns)
    page = Image.new("RGB", (columns * (side + 8) + 8, high * (side + text) + 8), "white")
    draw = ImageDraw.Draw(page)
    for i, row in enumerate(rows):
        x, y = 8 + i % columns * (side + 8), 8 + i // columns * (side + text)
        page.paste(Image.fromarray(samples.face(int(row), side)), (x, y))
        words = [samples.manifest[name][row] for name in ("person", "gender", "split")]
        label = " ".join(word for word in words if word)
        draw.text((x, y + side + 2), label[:21], "black")
    with staged(out) as part:
        page.save(part, format="PNG")
    return True
