"""Round trips: voice to face to voice, and face to voice to face, against shuffled controls.

What comes back is written as a folder of voices, or of portraits, and measured as any other.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from scldm.core.artifact import write_text
from scldm.data.samples import Samples
from scldm.evaluation.command import Question, evaluate
from scldm.evaluation.pairing import Kind
from scldm.evaluation.voice_command import VoiceQuestion, evaluate_voices
from scldm.generation.clips import of_files, of_samples
from scldm.generation.portraits import generate
from scldm.generation.sources import Source, Wish
from scldm.voice import pictures
from scldm.voice.voices import Speaking, voice

COMMAND = "scldm round-trip"
VOICES = Kind("voice", "clip", "audio", COMMAND)
PORTRAITS = Kind("portrait", "face", "face", COMMAND)


@dataclass(frozen=True)
class Trip:
    """Both mappings, ready.

    Attributes:
        source: speech to face; one portrait a voice.
        speaking: face to voice; one voice a face.
        batch: portraits computed together.
    """

    source: Source
    speaking: Speaking
    batch: int = 32


def voice_face_voice(
    trip: Trip, clips: Samples, question: VoiceQuestion, out: Path
) -> tuple[list[str], list[str]]:
    """Each clip's portrait is given a voice, compared with the clip's; see `evaluate_voices`."""
    seen, bad = generate(
        trip.source, of_samples(clips), out / "portraits", Wish(1, batch=trip.batch), sheet=False
    )
    paths = [out / "portraits" / portrait.path for portrait in seen]
    heard, worse = voice(trip.speaking, pictures.of_aligned(paths), out / "voices")
    clip_of = {str(path): p.clip for path, p in zip(paths, seen, strict=True)}
    _chain(out / "voices" / "manifest.jsonl", [
        {"clip": clip_of[v.face], "path": v.path, "text": v.text} for v in heard
    ])
    asked = replace(question, folders=[out / "voices"], kind=VOICES)
    faults, notes = evaluate_voices(asked, out)
    return [*bad, *worse, *faults], notes


def face_voice_face(
    trip: Trip, faces: Samples, question: Question, out: Path
) -> tuple[list[str], list[str]]:
    """Each face's voice is given a portrait, compared with the face; see `evaluate`."""
    heard, bad = voice(trip.speaking, pictures.of_samples(faces), out / "voices")
    paths = [str(out / "voices" / v.path) for v in heard]
    seen, worse = generate(
        trip.source, of_files(paths), out / "portraits", Wish(1, batch=trip.batch), sheet=False
    )
    face_of = {path: v.face for path, v in zip(paths, heard, strict=True)}
    _chain(out / "portraits" / "manifest.jsonl", [
        {"face": face_of[p.clip], "path": p.path} for p in seen
    ])
    asked = replace(question, folders=[out / "portraits"], kind=PORTRAITS)
    faults, notes = evaluate(asked, out)
    return [*bad, *worse, *faults], notes


def _chain(path: Path, lines: Sequence[dict[str, str]]) -> None:
    """A manifest that names where the trip began."""
    write_text(path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
