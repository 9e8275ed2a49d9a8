"""Portraits as files: their names, the facts in their metadata, and whether they are there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from scldm.core.artifact import staged

NOTICE = "one plausible face, not the speaker's"


@dataclass(frozen=True)
class Portrait:
    """One line of `manifest.jsonl`; also in the picture's metadata."""

    clip: str
    audio: str  # digest of the waveform that was heard
    path: str  # relative to the manifest
    seed: int | None  # from here on None where a source knows no such thing
    beta: float | None
    prior_mode: str | None
    steps: int | None
    guidance: float | None
    checkpoint: str
    seconds: float = 0.0  # waveform to image, of a portrait


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


def kept(wanted: Sequence[Portrait], out: Path) -> list[Portrait]:
    """Portraits as an earlier call wrote them, or none where one is missing or another.

    All that `wanted` says must be in the pictures, but for the seconds, which are theirs.
    """
    portraits = []
    for facts in wanted:
        try:
            with Image.open(out / facts.path) as picture:
                picture.load()
                portrait = replace(facts, seconds=float(picture.info["seconds"]))
                said = picture.info
        except (OSError, KeyError, ValueError, SyntaxError):
            return []
        if any(said.get(name) != str(value) for name, value in asdict(portrait).items()):
            return []
        portraits.append(portrait)
    return portraits
