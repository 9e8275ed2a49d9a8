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
from scldm.core.seeding import torch_generator
from scldm.generation.pipeline import SpeechToFacePipeline, load_waveform, to_images
from scldm.generation.sheet import Entry, draw_sheet

NOTICE = "one plausible face, not the speaker's"


@dataclass(frozen=True)
class Portrait:
    """One line of `manifest.jsonl`; also in the picture's metadata."""

    clip: str
    path: str  # relative to the manifest
    seed: int
    beta: float
    prior_mode: str
    steps: int
    guidance: float
    checkpoint: str
    seconds: float  # waveform to image, for this clip divided by its portraits


@dataclass(frozen=True)
class Wish:
    """What `generate` is asked for; None is the checkpoint's own."""

    portraits: int = 3
    seed: int = 0
    steps: int | None = None
    guidance: float | None = None
    beta: float | None = None
    prior_mode: str | None = None


def generate(
    pipeline: SpeechToFacePipeline, clips: Sequence[str], out: Path, wish: Wish
) -> tuple[list[Portrait], list[str]]:
    """Write `out/<clip stem>/portrait_<k>.png`, `out/sheet.png` and `out/manifest.jsonl`.

    Returns the portraits and one line for each clip that could not be used; the others go on.
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
        images = draw(pipeline, waveform, wish)
        seconds = (time.perf_counter() - heard) / len(images)
        for k, image in enumerate(images):
            facts = Portrait(
                name, f"{folder}/portrait_{k}.png", wish.seed, *choices(pipeline, wish),
                pipeline.fingerprint, round(seconds, 4),
            )
            save_png(image, out / facts.path, facts)
            made.append(facts)
        entries.append(Entry(Path(name).name, waveform.numpy(), images))
        print(f"{number + 1}/{len(clips)} {name}: read in {heard - began:.2f} s, "
              f"{seconds:.2f} s a portrait", file=sys.stderr)
    if made:
        began = time.perf_counter()
        lines = "".join(json.dumps(asdict(p), ensure_ascii=False) + "\n" for p in made)
        write_text(out / "manifest.jsonl", lines)
        prior = to_images(pipeline.decode(pipeline.prior_latent()))[0]
        with staged(out / "sheet.png") as part:
            draw_sheet(entries, prior, NOTICE).save(part, format="PNG", pnginfo=marked({}))
        print(f"sheet drawn in {time.perf_counter() - began:.1f} s", file=sys.stderr)
    return made, bad


def draw(pipeline: SpeechToFacePipeline, waveform: object, wish: Wish) -> list[Image.Image]:
    """The portraits of one waveform, each computed alone: its bits depend on nothing else."""
    beta, mode, steps, guidance = choices(pipeline, wish)
    speech = pipeline.encode_speech([waveform])  # type: ignore[list-item]
    return [
        to_images(pipeline.decode(pipeline.sample_latents(
            speech, pipeline.noise(wish.seed, k), steps=steps, guidance=guidance, beta=beta,
            prior_mode=mode, generator=torch_generator(wish.seed, "sampler", k),  # type: ignore[arg-type]
        )))[0]
        for k in range(wish.portraits)
    ]


def choices(pipeline: SpeechToFacePipeline, wish: Wish) -> tuple[float, str, int, float]:
    """(beta, prior_mode, steps, guidance): what was asked for, or the checkpoint's own."""
    own = pipeline.defaults
    return (
        own["beta"] if wish.beta is None else wish.beta,
        wish.prior_mode or own["prior_mode"],
        wish.steps or own["steps"],
        own["guidance"] if wish.guidance is None else wish.guidance,
    )


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
