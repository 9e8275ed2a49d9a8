"""The networks of stage 1 as one module, built from its configuration."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from scldm.core.errors import InputError
from scldm.core.seeding import torch_generator
from scldm.data.faces import to_unit
from scldm.data.spectrogram import spectrogram
from scldm.encoders.bundle import Encoders
from scldm.encoders.face import FaceDecoder, FaceEncoder
from scldm.encoders.foreign import start_face_encoder
from scldm.encoders.speech import SpeechEncoder
from scldm.pretraining.config import PretrainConfig


@dataclass(frozen=True)
class Seen:
    """What stage 1 makes of a batch of B pairs and further faces."""

    speech: Tensor | None  # Z^s (B, d), where a term of the loss asks for it
    face: Tensor  # Z^f (B + extra, d)
    real: Tensor  # (B + extra, 3, S, S) in [-1, 1]
    decoded: Tensor  # D_Face(Z^f + noise), like `real`
    speech_class: Tensor | None  # (B, values): logits of the value that matches
    face_class: Tensor | None  # (B + extra, values)


class Collaboration(nn.Module):
    """E_Speech, E_Face, D_Face, the learnt temperature of L_cl, and a classifier if there is one.

    The classifier is linear and the same for Z^s and Z^f; it names the value that matches. Without
    `hears` the clips are passed over: a face autoencoder learns alone.
    """

    def __init__(
        self, encoders: Encoders, latent_noise: float, classifier: nn.Linear | None = None,
        hears: bool = True,
    ) -> None:
        super().__init__()
        self.speech_encoder = encoders.speech_encoder
        self.face_encoder = encoders.face_encoder
        self.face_decoder = encoders.face_decoder
        self.latent_noise = latent_noise
        self.classifier, self.hears = classifier, hears
        self.speech_encoder.requires_grad_(hears)
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)), requires_grad=hears)

    @property
    def encoders(self) -> Encoders:
        """The three networks, as handed on to stage 2."""
        return Encoders(self.speech_encoder, self.face_encoder, self.face_decoder)

    def with_noise(self, latents: Tensor, noise: Tensor) -> Tensor:
        """Latents as the decoder sees them in training; standard normal noise, of their shape."""
        rms = latents.detach().float().square().mean().sqrt()
        return latents + self.latent_noise * rms * noise

    def forward(self, audio: Tensor, faces: Tensor, noise: Tensor) -> Seen:
        """audio (B, 96000), faces (B + extra, 3, S, S) uint8, noise like Z^f -> Seen."""
        real = to_unit(faces)
        latents = self.face_encoder(real)
        decoded = self.face_decoder(self.with_noise(latents, noise))
        face = latents.flatten(1)
        if not self.hears:
            return Seen(None, face, real, decoded, None, None)
        speech = self.speech_encoder(spectrogram(audio))
        if self.classifier is None:
            return Seen(speech, face, real, decoded, None, None)
        return Seen(speech, face, real, decoded, self.classifier(speech), self.classifier(face))


def build(config: PretrainConfig, values: int = 0) -> Collaboration:
    """The networks that `config` describes, with weights drawn from its seed.

    `values`: how many values the column that matches has, for the classifier.

    Raises InputError when the image side does not go through the encoder's pools, or a decoder to
    come does not undo as many.
    """
    shape = config.face.model_dump(exclude={"weights"})
    side, shrink = config.data.image_size, 2 ** len(config.face.stages)
    if side % shrink:
        raise InputError(
            f"data.image_size {side}: use a multiple of {shrink} with these face.stages"
        )
    if config.refine.stages and len(config.refine.stages) != len(config.face.stages):
        raise InputError(f"refine.stages: use {len(config.face.stages)} stages, as face.stages has")
    torch.manual_seed(config.seed)
    latent_dim = config.face.latent_channels * (side // shrink) ** 2
    encoders = Encoders(
        SpeechEncoder(latent_dim=latent_dim, **config.speech.model_dump()),
        FaceEncoder(**shape),
        FaceDecoder(**shape),
    )
    if config.face.weights:
        start_face_encoder(encoders.face_encoder, config.face.weights)
    classifier = nn.Linear(latent_dim, values) if config.loss.attribute and values else None
    hears = bool(config.loss.contrastive or config.loss.attribute)
    model = Collaboration(encoders, config.loss.latent_noise, classifier, hears)
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def latent_noise(config: PretrainConfig, stream: str, step: int, count: int, rank: int) -> Tensor:
    """Standard normal noise like Z^f for `count` faces, of (seed, stream, step, rank)."""
    side = config.data.image_size // 2 ** len(config.face.stages)
    generator = torch_generator(config.seed, f"{stream}-{rank}", step)
    return torch.randn(count, config.face.latent_channels, side, side, generator=generator)
