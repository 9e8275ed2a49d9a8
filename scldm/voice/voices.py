"""`scldm voice`: voices of many faces as files, with a manifest."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import soundfile
import torch
from torch import Tensor

from scldm.core.artifact import read_json, save_tensors, staged, write_json, write_text
from scldm.core.errors import InputError
from scldm.core.names import free_stem
from scldm.core.progress import Progress
from scldm.voice.checkpoint import FaceToVoice
from scldm.voice.pictures import Picture
from scldm.voice.protocols import SpeakerEncoder, Synthesiser

NOTICE = "one plausible voice, not the person's"
Control = Literal["mean-face", "true-voice"]
FACTS, EMBEDDINGS = "voices.json", "embeddings.safetensors"


@dataclass(frozen=True)
class VoiceWish:
    """What is asked for.

    Attributes:
        text: what is said.
        voices: of each face.
        seed: of their sampling.
        spread: factor on the standard deviation of the sampling; 0: the mean voice.
        pitch: semitones.
        rate: factor on the speed of speaking.
        share: how much of the other face's voice is mixed in, 0 to 1, where there is one.
        control: "mean-face": every face is taken for the mean one, which shows nothing; or
            "true-voice": the embedding is that of the person's own recording, which shows all.
    """

    text: str
    voices: int = 3
    seed: int = 0
    spread: float = 1.0
    pitch: float = 0.0
    rate: float = 1.0
    share: float = 0.0
    control: Control | None = None


@dataclass(frozen=True)
class VoiceFile:
    """One line of `manifest.jsonl`; paths are relative to it."""

    face: str
    path: str
    voice: int  # which of the seed's
    embedding: str  # file; row `voice` is this voice's
    tts: str
    checkpoint: str
    other: str | None  # the face whose voice is mixed in
    digest: str  # of the aligned face, and of the other
    text: str  # from here on as wished
    seed: int
    spread: float
    pitch: float
    rate: float
    share: float
    control: str | None
    seconds: float = 0.0  # embedding to sound


class Speaking:
    """A checkpoint, a synthesiser and a wish: voices of one face after another.

    Args:
        other: the face whose voice is mixed in.
        speaker: what made the checkpoint's speaker embeddings; for the control "true-voice".
    """

    def __init__(
        self, model: FaceToVoice, tts: Synthesiser, wish: VoiceWish, other: Picture | None = None,
        speaker: SpeakerEncoder | None = None,
    ) -> None:
        self.model, self.tts, self.wish, self.speaker = model, tts, wish, speaker
        self.other = other.name if other else None
        self.blend = self.read(other) if other else None
        self.noise = model.noise(wish.seed, wish.voices)
        self.fingerprint = model.fingerprint

    def read(self, picture: Picture) -> np.ndarray:
        """What embeddings are made of: the aligned face, uint8 (S, S, 3), or the person's own
        recording, float32 (96000,)."""
        if self.wish.control == "true-voice":
            return picture.speech()
        return picture.read(self.model.facts["image_size"])

    @torch.no_grad()
    def embeddings(self, given: np.ndarray) -> Tensor:
        """Speaker embeddings (K, D) of what `read` gave."""
        if self.speaker is not None and self.wish.control == "true-voice":
            heard = self.speaker(torch.from_numpy(given.copy())[None].to(self.model.device))
            space = self.model.speakers
            return space.place(space.direction(heard)).cpu().expand(self.wish.voices, -1)
        mean, std = self._posterior(given)
        if self.blend is not None:
            theirs = self._posterior(self.blend)
            mean, std = (
                torch.lerp(a, b, self.wish.share)
                for a, b in zip((mean, std), theirs, strict=True)
            )
        return self.model.voices(mean, std, self.noise, self.wish.spread).cpu()

    def _posterior(self, face: np.ndarray) -> tuple[Tensor, Tensor]:
        v = self.model.look(torch.from_numpy(face.copy()).permute(2, 0, 1)[None])
        if self.wish.control == "mean-face":
            v = torch.zeros_like(v)
        mean, std = self.model.posterior(v)
        return mean[0], std[0]

    def wanted(self, name: str, folder: str, face: np.ndarray) -> list[VoiceFile]:
        """What a face's files will be, but for the seconds."""
        seen = hashlib.sha256(face.tobytes())
        if self.blend is not None:
            seen.update(self.blend.tobytes())
        how = asdict(self.wish)
        return [
            VoiceFile(
                face=name, path=f"{folder}/voice_{k}.wav", voice=k,
                embedding=f"{folder}/{EMBEDDINGS}", tts=self.tts.name,
                checkpoint=self.fingerprint, other=self.other, digest=seen.hexdigest()[:16], **how,
            )
            for k in range(how.pop("voices"))
        ]

    def write(self, face: np.ndarray, files: list[VoiceFile], out: Path) -> list[VoiceFile]:
        """Speak, and write a face's folder whole."""
        embeddings, done = self.embeddings(face), []
        folder = out / Path(files[0].path).parent
        with staged(folder) as part:
            part.mkdir()
            for file, embedding in zip(files, embeddings, strict=True):
                began = time.perf_counter()
                sound = self.tts.speak(file.text, embedding, file.pitch, file.rate)
                seconds = round(time.perf_counter() - began, 4)
                save_wav(part / Path(file.path).name, sound, self.tts.rate)
                done.append(replace(file, seconds=seconds))
            save_tensors(part / EMBEDDINGS, {"embeddings": embeddings}, {"kind": "voices"})
            write_json(part / FACTS, [asdict(file) for file in done])
        return done


def save_wav(path: Path, sound: np.ndarray, rate: int) -> None:
    """Write speech (n,) in [-1, 1] as 16-bit WAV whose header says that nobody spoke it."""
    with soundfile.SoundFile(path, "w", rate, 1, "PCM_16") as file:
        file.comment, file.software = f"AI-generated: {NOTICE}", "SCLDM"
        file.write(sound)


def kept(wanted: Sequence[VoiceFile], out: Path) -> list[VoiceFile]:
    """Voices as an earlier call wrote them, or none where one is missing or another."""
    folder = out / Path(wanted[0].path).parent
    try:
        files = [VoiceFile(**facts) for facts in read_json(folder / FACTS)]
    except (InputError, TypeError):
        return []
    there = all((out / f.path).is_file() and (out / f.embedding).is_file() for f in files)
    same = [replace(f, seconds=0.0) for f in files] == list(wanted)
    return files if there and same else []


def voice(
    speaking: Speaking, pictures: Sequence[Picture], out: Path
) -> tuple[list[VoiceFile], list[str]]:
    """Write `out/<face stem>/voice_<k>.wav` with the speaker embeddings beside, and
    `out/manifest.jsonl`. Voices that are there, of the same face and the same wish, stay.

    Returns the files and one line for each face that could not be used; the others go on.
    Raises InputError for text that cannot be said, before anything is written.
    """
    made: list[VoiceFile] = []
    bad: list[str] = []
    taken = {"manifest.jsonl"}
    with Progress("voices", len(pictures)) as bar:
        for picture in pictures:
            folder = free_stem(Path(picture.name).stem, taken)
            try:
                face = speaking.read(picture)
            except InputError as error:
                bad.append(str(error))
                print(f"scldm: {error}", file=sys.stderr)
            else:
                files = speaking.wanted(picture.name, folder, face)
                made += kept(files, out) or speaking.write(face, files, out)
            bar.update()
    if made:
        lines = "".join(json.dumps(asdict(f), ensure_ascii=False) + "\n" for f in made)
        write_text(out / "manifest.jsonl", lines)
    return made, bad
