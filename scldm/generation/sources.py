"""What draws portraits of a waveform: the diffusion pipeline, one direct decode, or one face."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import torch
from PIL import Image
from torch import Tensor

from scldm.core.artifact import check_hashes, read_json
from scldm.core.errors import InputError
from scldm.data.spectrogram import fit_clip
from scldm.encoders.bundle import joint_fingerprint, load_network
from scldm.encoders.face import FaceDecoder
from scldm.encoders.speech import SpeechEncoder
from scldm.generation.pipeline import SpeechToFacePipeline, to_images


@dataclass(frozen=True)
class Wish:
    """What is asked for; None is the source's own."""

    portraits: int = 3
    seed: int = 0
    steps: int | None = None
    guidance: float | None = None
    beta: float | None = None
    prior_mode: str | None = None
    batch: int = 1  # portraits computed together


@dataclass(frozen=True)
class How:
    """How portraits are drawn; None where a source knows no such thing."""

    seed: int | None = None
    beta: float | None = None
    prior_mode: str | None = None
    steps: int | None = None
    guidance: float | None = None


SMALL = 50e6  # weights of a UNet that more threads do not help


class Source(Protocol):
    """Waveforms (n,) float32, 16 kHz mono -> portraits of each."""

    fingerprint: str

    def how(self, wish: Wish) -> How: ...

    def count(self, wish: Wish) -> int:
        """Portraits of a clip."""
        ...

    def draw(self, waveforms: Sequence[Tensor], wish: Wish) -> list[list[Image.Image]]: ...

    def middle(self) -> Image.Image | None:
        """The decoded prior, where there is one."""
        ...


class Diffusion:
    """Portraits by the diffusion pipeline: as many as wished."""

    def __init__(self, pipeline: SpeechToFacePipeline) -> None:
        self.pipeline, self.fingerprint = pipeline, pipeline.fingerprint
        self.size = sum(p.numel() for p in pipeline.unet.parameters())

    def how(self, wish: Wish) -> How:
        own = self.pipeline.defaults
        names = ("beta", "prior_mode", "steps", "guidance")
        given = {name: getattr(wish, name) for name in names}
        return How(wish.seed, **{k: own[k] if v is None else v for k, v in given.items()})

    def count(self, wish: Wish) -> int:
        return wish.portraits

    def draw(self, waveforms: Sequence[Tensor], wish: Wish) -> list[list[Image.Image]]:
        how = asdict(self.how(wish))
        images = self.pipeline(
            list(waveforms), portraits=wish.portraits, batch_size=wish.batch, **how
        )
        assert isinstance(images, list)
        return images

    def middle(self) -> Image.Image:
        return to_images(self.pipeline.decode(self.pipeline.prior_latent()))[0]


class Direct:
    """One portrait a clip, without chance: D(bridge(E(speech))), as Speech2Face and GANs draw it.

    Args:
        speech_encoder, face_decoder: E and D.
        shape: (C, s, s) of what D takes.
        bridge: (1, d) -> (1, C s s) between them; without one E's output enters D as it is.
    """

    def __init__(
        self, speech_encoder: SpeechEncoder, face_decoder: FaceDecoder, shape: Sequence[int],
        bridge: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self.speech_encoder, self.face_decoder = speech_encoder, face_decoder
        self.shape, self.bridge = tuple(shape), bridge
        self.fingerprint = joint_fingerprint(
            {"speech_encoder": speech_encoder, "face_decoder": face_decoder}
        )

    def how(self, wish: Wish) -> How:
        return How()

    def count(self, wish: Wish) -> int:
        return 1

    def draw(self, waveforms: Sequence[Tensor], wish: Wish) -> list[list[Image.Image]]:
        return [[self._portrait(waveform)] for waveform in waveforms]

    @torch.no_grad()
    def _portrait(self, waveform: Tensor) -> Image.Image:
        device = next(self.speech_encoder.parameters()).device
        heard = self.speech_encoder.hear(fit_clip(waveform)[None].to(device))
        latents = self.bridge(heard) if self.bridge else heard
        return to_images(self.face_decoder(latents.reshape(1, *self.shape)).clamp(-1, 1))[0]

    def middle(self) -> None:
        return None


class Always:
    """The same face whatever is said: the control that knows no voice.

    Args:
        face: it.
        fingerprint: of what made it.
    """

    def __init__(self, face: Image.Image, fingerprint: str) -> None:
        self.face, self.fingerprint = face, fingerprint

    def how(self, wish: Wish) -> How:
        return How()

    def count(self, wish: Wish) -> int:
        return 1

    def draw(self, waveforms: Sequence[Tensor], wish: Wish) -> list[list[Image.Image]]:
        return [[self.face] for _ in waveforms]

    def middle(self) -> None:
        return None


def spare_threads(source: Source, device: torch.device) -> None:
    """Let a small network on a CPU work in one thread, unless OMP_NUM_THREADS says otherwise.

    A portrait at a time keeps no second thread busy, and on a busy machine two wait for each other:
    measured on two cores, 0.31 s a portrait with one, 0.29 s with two, 4 s with two beside another
    process.
    """
    if device.type != "cpu" or "OMP_NUM_THREADS" in os.environ:
        return
    if not isinstance(source, Diffusion) or source.size < SMALL:
        torch.set_num_threads(1)


def open_source(path: str | Path, device: torch.device) -> Source:
    """The source of a checkpoint: of `scldm train`, of `scldm baseline`, or of a hub repository.

    Raises InputError naming what is missing, altered, or no checkpoint.
    """
    folder = Path(path)
    if (folder / "hashes.json").is_file() and not (folder / "model_index.json").is_file():
        return open_direct(folder, device)
    return Diffusion(SpeechToFacePipeline.from_pretrained(path).to(device))


def open_direct(folder: Path, device: torch.device) -> Direct:
    """The source of a baseline's checkpoint; InputError where it is something else."""
    check_hashes(folder)
    facts = read_json(folder / "facts.json")
    if facts.get("stage") != "baseline":
        raise InputError(f"{folder}: of stage {facts.get('stage')}, and no checkpoint; it draws no "
                         "portraits")
    return Direct(
        load_network(SpeechEncoder, folder / "speech_encoder").to(device),
        load_network(FaceDecoder, folder / "face_decoder").to(device), facts["latent"],
    )
