"""One clip of a source, how it is to be prepared, and why it was not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt

from scldm.core.config import Config


@dataclass(frozen=True)
class Item:
    """A clip: where its sound and its faces are, and what is known of the person.

    Attributes:
        key: its name in the store, unique and printable.
        person: who it is; people never stand in two splits.
        sound, film: paths of the recording and of the video, None where there is none; the same
            one twice where the video has the sound track.
        pictures: of the face, where there is no video.
        start, end: the part that is the clip, seconds; None is the end of the file.
        at: where the speaker's face is, as shares of width and height.
        points: landmarks (5, 2) of the one picture, pixels, where they are known.
        facts: gender, age_lo, age_hi, split, source, licence and further columns.
        paired: sound without a face, or a face without sound, is of no use.
    """

    key: str
    person: str
    sound: Path | None = None
    film: Path | None = None
    pictures: tuple[Path, ...] = ()
    start: float = 0.0
    end: float | None = None
    at: tuple[float, float] | None = None
    points: tuple[tuple[float, ...], ...] | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
    paired: bool = True


@dataclass(frozen=True)
class Source:
    """What is prepared.

    Attributes:
        kind: voxceleb, avspeech, videos or manifest.
        items: lists the clips, the same ones in the same order at each call.
        columns: further columns of the facts.
    """

    kind: str
    items: Callable[[], Iterator[Item]]
    columns: tuple[str, ...] = ()


class Recipe(Config):
    """How clips become samples; kept in the store.

    Attributes:
        size: side of the stored faces, pixels.
        margin: of a stored face on each side of the detected box, as a share of its longer side.
        faces: kept of a clip at most.
        looks: frames of a clip, or pictures, in which faces are looked for.
        smallest: side of a face that is used, pixels of the video.
        certainty: of the detector, at least.
        windows: six-second windows of a clip at most; they do not overlap.
        speech: seconds of speech that a window must hold.
        quality: of the JPEGs.
        items: clips a shard.
    """

    size: PositiveInt = 256
    margin: NonNegativeFloat = 0.3
    faces: PositiveInt = 3
    looks: PositiveInt = 5
    smallest: PositiveFloat = 48
    certainty: PositiveFloat = 0.9
    windows: PositiveInt = 4
    speech: PositiveFloat = 2.0
    quality: PositiveInt = 95
    items: PositiveInt = 32


class Skip(Exception):
    """A clip that is not used: the reason, one of a few, and the details."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail
