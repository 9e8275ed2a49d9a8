"""Speech encoder: the CNN of Speech2Face with a CBAM after each convolution stage (seed 003)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from timm.layers.cbam import CbamModule
from torch import Tensor, nn

from scldm.core.errors import InputError
from scldm.data.spectrogram import spectrogram

STAGE_ENDS = (2, 3, 4, 5, 8)  # the last convolution of each stage


class SpeechEncoder(ModelMixin, ConfigMixin):
    """Z^s = E_Speech(spectrogram).

    Convolutions 4x4 without padding: three, then three with one each, each stage closed by a pool,
    then three more of which the last two have stride 2; a CBAM closes each of the five stages,
    behind its pool where it has one. Pools halve time, as in Speech2Face, and for small models the
    last of them halve frequency too: pooled early, the harmonics of a voice are lost, and with them
    its pitch. Features are averaged over time; two dense layers lead to
    the latent dimension d = `latent_dim`.

    Args:
        latent_dim: d.
        widths: channels of the nine convolutions; paper: 64, 64, 128, 128, 128, 256, 512, 512, 512.
        hidden: width of the first dense layer; paper: 4096.
        first_stride: stride of the first convolution; paper: 1.
        frequency_pools: how many of the four pools, from the last, pool frequency too; paper: 0.
    """

    @register_to_config
    def __init__(
        self,
        latent_dim: int = 4096,
        widths: Sequence[int] = (64, 64, 128, 128, 128, 256, 512, 512, 512),
        hidden: int = 4096,
        first_stride: int = 1,
        frequency_pools: int = 0,
    ) -> None:
        super().__init__()
        channels = [2, *widths]

        def convolution(i: int, stride: int = 1) -> list[nn.Module]:
            return [
                nn.Conv2d(channels[i], channels[i + 1], 4, stride, bias=False),
                nn.BatchNorm2d(channels[i + 1]),
                nn.ReLU(inplace=True),
            ]

        def stage(index: int, *layers: nn.Module) -> nn.Sequential:
            width = widths[STAGE_ENDS[index]]
            pool = nn.MaxPool2d((2, 2) if index >= 4 - frequency_pools else (1, 2))
            ends = [pool] if index < 4 else []
            hidden = max(8, width // 16)  # of its channel attention; small stages keep some
            return nn.Sequential(*layers, *ends, CbamModule(width, rd_channels=hidden))

        first = [*convolution(0, first_stride), *convolution(1), *convolution(2)]
        last = [*convolution(6), *convolution(7, 2), *convolution(8, 2)]
        self.stages = nn.Sequential(
            stage(0, *first),
            stage(1, *convolution(3)),
            stage(2, *convolution(4)),
            stage(3, *convolution(5)),
            stage(4, *last),
        )
        self.head = nn.Sequential(
            nn.LazyLinear(hidden), nn.ReLU(inplace=True), nn.Linear(hidden, latent_dim)
        )
        try:
            with torch.no_grad():  # the dense layer learns its input width from one clip
                self.eval()(spectrogram(torch.zeros(1, 96_000)))
        except RuntimeError as error:  # too many pools: nothing is left to convolve
            sizes = f"first_stride {first_stride}, frequency_pools {frequency_pools}"
            reason = str(error).splitlines()[0][:100]
            raise InputError(f"speech: {sizes}: does not go through: {reason}") from None
        self.train()

    def forward(self, speech: Tensor) -> Tensor:
        """speech (B, 2, 257, 598) -> Z^s (B, d)."""
        # Loudness says nothing of a face: each clip enters with RMS 1.
        speech = speech / speech.square().mean((1, 2, 3), keepdim=True).sqrt().clamp(min=1e-6)
        features = self.stages[:4](speech.contiguous(memory_format=torch.channels_last))
        # On the CPU the last stage is float32 in bf16 runs too: it is small, and oneDNN's bf16
        # convolutions onto few pixels were seen to return NaN now and then (torch 2.15, AMX).
        device = speech.device.type
        with torch.autocast(device, enabled=device != "cpu" and torch.is_autocast_enabled(device)):
            features = self.stages[4](features.float() if device == "cpu" else features)
        with torch.autocast(device, enabled=False):
            return self.head(features.float().mean(dim=3).flatten(1))

    def hear(self, audio: Tensor) -> Tensor:
        """audio (B, 96000), 16 kHz mono in [-1, 1] -> Z^s (B, d)."""
        return self(spectrogram(audio))
