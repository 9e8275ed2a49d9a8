"""VoiceAdapter: p(s|v), from a face's embedding to a distribution of speaker embeddings."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn
from torch.nn import functional as F

from scldm.core.errors import InputError


@dataclass(frozen=True)
class Voices:
    """What the adapter makes of B faces: q(z|v) as mean and std (B, Z), z (B, Z) drawn from it, and
    speaker embeddings (B, D) of length 1. Without VAE the first three are empty, (B, 0).
    """

    mean: Tensor
    std: Tensor
    z: Tensor
    embedding: Tensor


class VoiceAdapter(ModelMixin, ConfigMixin):
    """A VAE of two linear layers each way (seed 000, Sec. 3.2): v -> q(z|v) -> z -> s.

    Args:
        face_width: F, of face embeddings v; paper: 512.
        embedding_width: D, of speaker embeddings s; paper: 192, SpeechT5's x-vectors: 512.
        hidden: width between the two layers.
        latent: Z, of z.
        floor: least standard deviation of q(z|v): MMD alone lets it go to 0, and with it the
            diversity of a face's voices.
        vae: off, two linear layers lead from v to s, the paper's ablation "w/o VAE".

    Raises InputError for a floor that is not in [0, 1).
    """

    @register_to_config
    def __init__(
        self, face_width: int = 512, embedding_width: int = 192, hidden: int = 512,
        latent: int = 64, floor: float = 0.3, vae: bool = True,
    ) -> None:
        super().__init__()
        if not 0 <= floor < 1:
            raise InputError(f"adapter.floor {floor}: a standard deviation of 0 or more, below 1")

        def two(wide: int, narrow: int) -> nn.Sequential:
            return nn.Sequential(nn.Linear(wide, hidden), nn.SiLU(), nn.Linear(hidden, narrow))

        self.encoder = two(face_width, 2 * latent) if vae else None
        self.decoder = two(latent if vae else face_width, embedding_width)

    @property
    def width(self) -> int:
        """Z, of the noise that chooses a voice; without VAE F, and the noise changes nothing."""
        return self.config["face_width" if self.encoder is None else "latent"]

    def posterior(self, faces: Tensor) -> tuple[Tensor, Tensor]:
        """v (B, F) -> mean and standard deviation (B, Z) of q(z|v); without VAE, v and 0."""
        if self.encoder is None:
            return faces, torch.zeros_like(faces)
        mean, log_variance = self.encoder(faces).float().chunk(2, dim=1)
        floor = self.config["floor"]
        return mean, (log_variance.clamp(-20, 20).exp() + floor**2).sqrt()

    def decode(self, z: Tensor) -> Tensor:
        """z (B, Z) -> s (B, D), of length 1: L_Rec ignores length, and L_cen would shrink it."""
        return F.normalize(self.decoder(z).float(), dim=1)

    def forward(self, faces: Tensor, noise: Tensor | None = None) -> Voices:
        """v (B, F) and noise (B, Z), standard normal (None: the mean) -> Voices."""
        mean, std = self.posterior(faces)
        if self.encoder is None:
            none = faces[:, :0]
            return Voices(none, none, none, self.decode(faces))
        z = mean if noise is None else mean + std * noise
        return Voices(mean, std, z, self.decode(z))
