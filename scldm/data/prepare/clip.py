"""From one clip to its samples: windows of speech, and faces."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from scldm.core.errors import InputError
from scldm.data.manifest import POINTS
from scldm.data.media import check_speech, read_audio, read_frames, read_image, read_part
from scldm.data.prepare import face, speech
from scldm.data.prepare.item import Item, Recipe, Skip
from scldm.data.prepare.sources.files import printable
from scldm.data.spectrogram import RATE, SAMPLES

Span = tuple[float, float]
LONGEST = 600.0  # seconds of a clip that are looked at
SPLITS = (("train", 0.8), ("val", 0.9), ("test", 1.0))  # where the source has none, by person


class Seen(NamedTuple):
    """A face of a clip: the JPEG, and the columns that tell where it comes from."""

    certainty: float
    jpeg: bytes
    columns: dict[str, str]


def samples(item: Item, recipe: Recipe, device: str = "cpu") -> list[dict[str, Any]]:
    """Rows of the store that a clip gives: `audio_bytes`, `face_bytes` and text columns.

    The first window stands beside the first face, and so on; what is left over stands alone.
    Raises Skip where the clip is of no use.
    """
    heard, spans = _hear(item, recipe) if item.sound else ([], [(0.0, 0.0)])
    if item.film:
        seen = _watch(item, spans, recipe, device)
    else:
        seen = _look(item, recipe, device) if item.pictures else []
    if not heard and not seen or item.paired and not (heard and seen):
        missing = "no video" if not item.film and not item.sound else "no face"
        raise Skip(missing, "" if missing == "no video" else "neither a video nor a picture")
    rows = []
    for i, (sound, picture) in enumerate(zip_longest(heard, seen)):
        row: dict[str, Any] = {
            **item.facts, "person": item.person, "split": split_of(item), "item": item.key,
            "audio": f"{item.key}.{i}.flac" if sound else "",
            "face": f"{item.key}.{i}.jpg" if picture else "",
            "crop": "ready" if picture else "",
            "audio_bytes": sound and sound[1], "face_bytes": picture and picture.jpeg,
        }
        row |= {"start": f"{sound[0]:.2f}"} if sound else {}
        rows.append(row | (picture.columns if picture else {}))
    return rows


def split_of(item: Item) -> str:
    """The source's own split of a person, or one drawn by the person's name: 80, 10 and 10 %.

    Where the source knows only train and test, a tenth of its training people validate.
    """
    own = item.facts.get("split", "")
    who = hashlib.sha256((item.person or item.key).encode()).digest()
    share = int.from_bytes(who[:8]) / 2**64
    if own == "train" and item.facts.get("source", "").startswith("VoxCeleb"):
        return "val" if 0.8 <= share < 0.9 else "train"
    return own or next(split for split, most in SPLITS if share < most)


def _hear(item: Item, recipe: Recipe) -> tuple[list[tuple[float, bytes]], list[Span]]:
    """(start, FLAC) of each window, and the windows' spans in the video; seconds."""
    assert item.sound
    long = LONGEST if item.end is None else min(LONGEST, item.end - item.start)
    try:
        if item.start or item.end is not None:
            audio = read_part(item.sound, item.start, long)
        else:
            audio = _from_the_beginning(item, long)
        check_speech(audio, item.sound)
    except InputError as error:
        raise _skip(error, item.sound) from None
    found = speech.windows(audio, recipe)
    heard = [(item.start + a / RATE, speech.flac(audio[a : a + SAMPLES])) for a in found]
    ends = [min(len(audio), a + SAMPLES) / RATE for a in found]
    # sound and film of two files begin together; of one they share the clock
    return heard, [(start, item.start + end) for (start, _), end in zip(heard, ends, strict=True)]


def _from_the_beginning(item: Item, long: float) -> np.ndarray:
    """The whole recording, which shows whether it is truncated, or of a long one its beginning."""
    assert item.sound
    try:
        return read_audio(item.sound)
    except InputError as error:
        if "is longer than" not in str(error):
            raise
    return read_part(item.sound, 0.0, long)


def _watch(item: Item, spans: Sequence[Span], recipe: Recipe, device: str) -> list[Seen]:
    """The surest faces of frames spread evenly over the windows of speech, by time."""
    assert item.film
    total = sum(end - start for start, end in spans)
    shares = (np.arange(recipe.looks) + 0.5) / recipe.looks * total
    try:
        frames = read_frames(item.film, [_at(spans, share) for share in shares])
    except InputError as error:
        raise _skip(error, item.film) from None
    found = face.find_faces(frames.pixels, device)
    seen = []
    skips = []
    height, width = frames.pixels.shape[1:3]
    for time, pixels, faces in zip(frames.times, frames.pixels, found, strict=True):
        try:
            chosen, why = face.choose(faces, (width, height), item.at, recipe, frames.scale)
        except Skip as skip:
            skips.append(skip)
            continue
        seen.append(_seen(pixels, chosen, why, recipe, frames.scale, {"time": f"{time:.2f}"}))
    return _best(seen, skips, recipe)


def _at(spans: Sequence[Span], share: float) -> float:
    for start, end in spans:
        if share <= end - start:
            return start + share
        share -= end - start
    return spans[-1][1]


def _look(item: Item, recipe: Recipe, device: str) -> list[Seen]:
    """The surest faces of pictures spread evenly over those that there are, by name."""
    count = min(recipe.looks, len(item.pictures))
    picked = [item.pictures[i * len(item.pictures) // count] for i in range(count)]
    seen = []
    skips = []
    for path in picked:
        try:
            pixels = np.asarray(read_image(path))
            if item.points:
                chosen, why = face.from_points(np.array(item.points)), "the table's landmarks"
            else:
                found = face.find_faces(pixels[None], device)[0]
                chosen, why = face.choose(found, pixels.shape[1::-1], item.at, recipe)
        except InputError as error:
            skips.append(_skip(error, path))
            continue
        except Skip as skip:
            skips.append(skip)
            continue
        seen.append(_seen(pixels, chosen, why, recipe, 1.0, {"picture": printable(path.name)}))
    return _best(seen, skips, recipe)


def _best(seen: list[Seen], skips: list[Skip], recipe: Recipe) -> list[Seen]:
    """The surest faces, in their order; Skip for the commonest reason where there is none.

    Where the choice was a guess as often as not, the faces may be of several people: Skip too.
    """
    guesses = [skip for skip in skips if skip.reason == "several faces"]
    if len(guesses) >= max(1, len(seen)):
        raise guesses[0]
    if not seen:
        reasons = [skip.reason for skip in skips]
        raise max(skips, key=lambda skip: reasons.count(skip.reason))
    order = sorted(range(len(seen)), key=lambda i: -seen[i].certainty)[: recipe.faces]
    return [seen[i] for i in sorted(order)]


def _seen(
    pixels: np.ndarray, chosen: face.Face, why: str, recipe: Recipe, scale: float,
    columns: Mapping[str, str],
) -> Seen:
    jpeg, square, points = face.crop(pixels, chosen, recipe)
    places = {name: f"{value:.2f}" for name, value in zip(POINTS, points.ravel(), strict=True)}
    box = " ".join(f"{x * scale:.1f}" for x in chosen.box)
    cut = " ".join(f"{x * scale:.1f}" for x in square)
    told = {"box": box, "square": cut, "choice": why, "certainty": f"{chosen.certainty:.4f}"}
    return Seen(chosen.certainty, jpeg, {**columns, **told, **places})


def _reason(text: str) -> str:
    """The kind of a failure to read a file."""
    if "no audio stream" in text or "silent" in text:
        return "no speech"
    if "s long" in text or "no sound from" in text:
        return "too short"
    return "cannot be decoded"


def _skip(error: InputError, path: Path) -> Skip:
    """A failure to read a file as a Skip, without the file's name: a store knows no outer paths."""
    text = str(error)
    for name in (str(path), ascii(str(path))):
        text = text.removeprefix(f"{name}: ")
    return Skip(_reason(text), text)
