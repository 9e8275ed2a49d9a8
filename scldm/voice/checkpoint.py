"""A face-to-voice checkpoint: a picture's latent in, speaker embeddings out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scldm.core.artifact import (
    check_hashes,
    fingerprint,
    load_tensors,
    read_json,
    save_tensors,
    staged,
    write_hashes,
    write_json,
)
from scldm.core.errors import InputError
from scldm.core.seeding import torch_generator
from scldm.data.faces import to_unit
from scldm.encoders.bundle import load_network
from scldm.encoders.face import FaceEncoder
from scldm.voice.adapter import VoiceAdapter
from scldm.voice.protocols import SpeakerEncoder
from scldm.voice.regression import Regression
from scldm.voice.space import Space, Untold, seen
from scldm.voice.speaker import open_speaker

TENSORS, PARTS = "voice.safetensors", ("faces", "speakers", "regression", "untold")


class FaceToVoice:
    """E_Face, the adapter, and the spaces between which it leads.

    Args:
        face_encoder, adapter: the networks.
        faces: the space of Z^f, flattened (F,).
        speakers: the space of speaker embeddings (D,).
        regression: what these say of a voice.
        untold: what faces do not tell of a speaker.
        facts: what training wrote.
    """

    def __init__(
        self, face_encoder: FaceEncoder, adapter: VoiceAdapter, faces: Space, speakers: Space,
        regression: Regression, untold: Untold, facts: dict[str, Any],
    ) -> None:
        self.face_encoder, self.adapter, self.untold = face_encoder, adapter, untold
        self.faces, self.speakers, self.regression = faces, speakers, regression
        self.facts = facts

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return next(self.adapter.parameters()).device

    @property
    def settings(self) -> dict[str, Any]:
        """Of the mels and the vocoder that it was trained through; empty where through none."""
        return dict(self.facts["tts"]["settings"])

    def to(self, device: torch.device) -> FaceToVoice:
        """Moved to a device; returns itself."""
        self.face_encoder.to(device)
        self.adapter.to(device)
        self.faces, self.speakers = self.faces.to(device), self.speakers.to(device)
        self.untold = self.untold.to(device)
        return self

    @property
    def fingerprint(self) -> str:
        """Sixteen digits that name all that a voice follows from."""
        weights = {f"face.{key}": value for key, value in self.face_encoder.state_dict().items()}
        return fingerprint(weights | self.adapter.state_dict() | self._tensors())

    def _tensors(self) -> dict[str, Tensor]:
        return {
            f"{name}.{key}": value for name in PARTS
            for key, value in vars(getattr(self, name)).items()
        }

    @torch.no_grad()
    def look(self, faces: Tensor) -> Tensor:
        """Aligned faces (B, 3, S, S) uint8 -> v (B, F)."""
        z = self.face_encoder(to_unit(faces.to(self.device))).flatten(1)
        return seen(self.faces, z)

    @torch.no_grad()
    def posterior(self, v: Tensor) -> tuple[Tensor, Tensor]:
        """q(z|v) of v (B, F): mean and standard deviation (B, Z)."""
        mean, std = self.adapter.eval().posterior(v)
        return mean, std

    @torch.no_grad()
    def voices(self, mean: Tensor, std: Tensor, noise: Tensor, spread: float = 1.0) -> Tensor:
        """Speaker embeddings (K, D) of a face's q(z|v), mean and std (Z,), at noise (K, Z + R)."""
        width = self.adapter.width
        drawn, rest = (spread * part.to(mean) for part in (noise[:, :width], noise[:, width:]))
        ours = self.untold.told * self.adapter.decode(mean + std * drawn)
        return self.speakers.place(ours + rest @ self.untold.axes)

    def noise(self, seed: int, count: int) -> Tensor:
        """Standard normal (count, Z + R): voice k of a seed is the same however many are asked for.
        """
        width = self.adapter.width + len(self.untold.axes)
        return torch.stack([
            torch.randn(width, generator=torch_generator(seed, "voice", k)) for k in range(count)
        ])

    def save(self, folder: Path) -> Path:
        """Write the checkpoint folder whole, networks in half precision; returns it."""
        with staged(folder) as part:
            part.mkdir()
            for name in ("face_encoder", "adapter"):
                network = getattr(self, name)
                network.eval().half().save_pretrained(part / name, safe_serialization=True)
                network.float()
            save_tensors(part / TENSORS, self._tensors(), {"kind": "voice"})
            write_json(part / "facts.json", self.facts)
            write_hashes(part)
        return folder


def load_voice(folder: str | Path) -> FaceToVoice:
    """Check the hashes and load; raises InputError naming what is missing, altered or something
    else.
    """
    folder = Path(folder)
    check_hashes(folder)
    facts = read_json(folder / "facts.json")
    if facts.get("stage") != "voice":
        raise InputError(f"{folder}: of stage {facts.get('stage')}; give what scldm train-voice "
                         "wrote")
    tensors, _ = load_tensors(folder / TENSORS)
    parts = {
        name: {key.partition(".")[2]: t for key, t in tensors.items() if key.startswith(f"{name}.")}
        for name in PARTS
    }
    return FaceToVoice(
        load_network(FaceEncoder, folder / "face_encoder"),
        load_network(VoiceAdapter, folder / "adapter"),
        Space(**parts["faces"]), Space(**parts["speakers"]), Regression(**parts["regression"]),
        Untold(**parts["untold"]), facts,
    )


def speaker_of(
    model: FaceToVoice, place: str | None, device: torch.device
) -> SpeakerEncoder:
    """What made a checkpoint's speaker embeddings, from where it was or from `place`.

    Raises InputError where it is not there, or is another.
    """
    speaker = open_speaker(place or model.facts["config"]["speaker"], device)
    if speaker.fingerprint != model.facts["speaker"]["fingerprint"]:
        raise InputError(f"{place}: is not the speaker encoder of this checkpoint; name it with "
                         "--speaker")
    return speaker
